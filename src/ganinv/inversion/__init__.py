"""Inversion methods: one file each, one interface.

A method is a function ``method(gan, target, config, callback, resume) -> Inversion`` that registers itself; :data:`METHODS` names them, in the
order in which they are imported here, which is that of every table.
"""

# isort: off
from .register import METHODS, Method, method
from .result import Inversion
from .projection import Projection, projection
from .psp import Encode, psp
from .e4e import E4E, e4e
from .restyle import RESTYLE_E4E, RESTYLE_PSP, ReStyle, restyle
from .bdinvert import BDInvert, bdinvert
from .hfgi import HFGI, hfgi
from .ensemble import Ensemble, ensemble
from .pti import PTI, pti
from .near_perfect import PIVOTAL_TUNING, THREE_LOSSES, TUNED_NOISE, NearPerfect, near_perfect

# isort: on
from ..run import Callback, DivergenceWarning, Loop, Progress, Resume

__all__ = [
    "E4E",
    "HFGI",
    "METHODS",
    "PIVOTAL_TUNING",
    "PTI",
    "RESTYLE_E4E",
    "RESTYLE_PSP",
    "THREE_LOSSES",
    "TUNED_NOISE",
    "BDInvert",
    "Callback",
    "DivergenceWarning",
    "Encode",
    "Ensemble",
    "Inversion",
    "Loop",
    "Method",
    "NearPerfect",
    "Progress",
    "Projection",
    "ReStyle",
    "Resume",
    "bdinvert",
    "e4e",
    "ensemble",
    "hfgi",
    "method",
    "near_perfect",
    "projection",
    "psp",
    "pti",
    "restyle",
]
