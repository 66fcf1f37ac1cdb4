"""Studies: many photos, many methods or settings, one table (``ganinv compare``, ``ganinv ablate`` and ``ganinv study recovery``).

.. code-block:: python

    from ganinv.study import ablate, compare, photo_set

    photos = photo_set("heldout", gan, limit=8)
    study = compare(gan, photos, jobs=2)
    study.rows, study.summary(), study.save("comparison/")

Every (photo, variant) is a task of its own: it may run in any process of any machine, and its outcome is kept in the user's cache, so that a
study that was stopped goes on and one that is repeated is instant.
"""

from __future__ import annotations

from .ablation import Ablation, Ordering, ablate
from .claims import Claim, claims
from .comparison import compare
from .domains import STYLES, domain_distance, domains, style_position, styled_reference
from .held import Verdict, correlated, held, together, within
from .photos import load_photos, photo_set
from .recovery import RecoveryStudy, crossover, recovery
from .table import Row, Study
from .tasks import Failure, Variant

__all__ = [
    "STYLES",
    "Ablation",
    "Claim",
    "Failure",
    "Ordering",
    "RecoveryStudy",
    "Row",
    "Study",
    "Variant",
    "Verdict",
    "ablate",
    "claims",
    "compare",
    "correlated",
    "crossover",
    "domain_distance",
    "domains",
    "held",
    "load_photos",
    "photo_set",
    "recovery",
    "style_position",
    "styled_reference",
    "together",
    "within",
]
