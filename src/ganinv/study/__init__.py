"""Studies: many photos, many methods or settings, one table (``ganinv compare`` and ``ganinv ablate``).

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
from .domains import domain_distance, domains
from .photos import load_photos, photo_set
from .table import Row, Study
from .tasks import Failure, Variant

__all__ = [
    "Ablation",
    "Claim",
    "Failure",
    "Ordering",
    "Row",
    "Study",
    "Variant",
    "ablate",
    "claims",
    "compare",
    "domain_distance",
    "domains",
    "load_photos",
    "photo_set",
]
