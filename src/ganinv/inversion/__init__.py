"""Inversion methods: one file each, one interface.

A method is a function ``method(gan, target, config, callback, resume) -> Inversion``; :data:`METHODS` names them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..run import Callback, DivergenceWarning, Loop, Progress, Resume
from .bdinvert import BDInvert, bdinvert
from .e4e import E4E, e4e
from .ensemble import Ensemble, ensemble
from .hfgi import HFGI, hfgi
from .near_perfect import PIVOTAL_TUNING, THREE_LOSSES, WEIGHTS_ONLY, NearPerfect, near_perfect
from .projection import Projection, projection
from .psp import Encode, psp
from .pti import PTI, pti
from .restyle import RESTYLE_E4E, RESTYLE_PSP, ReStyle, restyle
from .result import Inversion


@dataclass(frozen=True)
class Method:
    """A named method: its function, its default configuration, and a line that says what it is."""

    function: Callable[..., Inversion]
    config: Any
    summary: str


METHODS: dict[str, Method] = {
    "projection-z": Method(projection, Projection(space="z", lr=0.05), "optimise z, several restarts"),
    "projection-w": Method(projection, Projection(space="w"), "optimise one w and the noise (StyleGAN2's projector)"),
    "projection-wplus": Method(projection, Projection(space="w_plus"), "optimise one w a layer and the noise"),
    "psp": Method(psp, Encode("psp"), "one pass of an encoder into W+"),
    "e4e": Method(e4e, E4E, "one pass of an encoder that stays near W"),
    "restyle-psp": Method(restyle, RESTYLE_PSP, "an encoder that corrects itself, into W+"),
    "restyle-e4e": Method(restyle, RESTYLE_E4E, "an encoder that corrects itself, near W"),
    "bdinvert": Method(bdinvert, BDInvert(), "optimise feature maps of an early layer beside w+"),
    "hfgi": Method(hfgi, HFGI(), "e4e, and what it missed fused into the features"),
    "ensemble": Method(ensemble, Ensemble(), "an encoder, then L-BFGS in W+"),
    "pti": Method(pti, PTI(), "pivot near W, then tune the generator"),
    "near-perfect": Method(near_perfect, NearPerfect(), "tune the generator, and hold its manifold"),
}

__all__ = [
    "E4E",
    "HFGI",
    "METHODS",
    "PIVOTAL_TUNING",
    "PTI",
    "RESTYLE_E4E",
    "RESTYLE_PSP",
    "THREE_LOSSES",
    "WEIGHTS_ONLY",
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
    "near_perfect",
    "projection",
    "psp",
    "pti",
    "restyle",
]
