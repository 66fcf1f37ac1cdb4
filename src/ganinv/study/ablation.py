r"""What each loss of near-perfect inversion is for: the method without one of them at a time.

The paper's slides report, for the full loss and without :math:`L_\mathrm{recon}`, :math:`L_\mathrm{adv\,local}` and :math:`L_\mathrm{global}`,
MSE .050, .155, .080, .052 and FID 5.21, 3.04, 4.13, 164.7. Their data, budget and scale are unknown, so what can be looked for elsewhere are
the orderings; each is computed here and reported as held or not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..errors import GanInvError
from ..inversion import METHODS, THREE_LOSSES, NearPerfect
from ..perception.features import EFFICIENTNET
from ..zoo import Bundle
from .backends import LOCAL
from .photos import Photos
from .profiles import FULL as FULL_PROFILE
from .profiles import check_profile, default_config, default_samples, suited
from .table import Study, run_study
from .tasks import Progress, Variant

FULL, NO_RECON, NO_ADV, NO_GLOBAL = "full", "w/o L_recon", "w/o L_adv_local", "w/o L_global"
ROWS: dict[str, dict[str, Any]] = {FULL: {}, NO_RECON: {"lambda_recon": 0.0}, NO_ADV: {"lambda_adv": 0.0}, NO_GLOBAL: {"lambda_global": 0.0}}
ENOUGH = 8  # photos; with fewer the outputs say so


@dataclass(frozen=True)
class Ordering:
    """One of the paper's findings, looked for in this study.

    Attributes:
        claim: the ordering, in words.
        column: what it is about, ``"mse"`` or ``"frechet_after"``.
        paper: the ratio to the full loss that the slides report for the variant that the claim is about (for the last, w/o L_adv_local).
        ratio: the same ratio of the means here.
        held: whether the ordering holds for the means here.
        agreeing, photos: on how many single photos it holds, of how many.
    """

    claim: str
    column: str
    paper: float
    ratio: float
    held: bool
    agreeing: int
    photos: int


# The variant that is looked at, the column, the slides' ratio, the claim, and when it holds for the values of all variants.
Holds = Callable[[dict[str, float]], bool]
CLAIMS: list[tuple[str, str, float, str, Holds]] = [
    (
        NO_GLOBAL,
        "mse",
        0.052 / 0.050,
        "dropping L_global changes the MSE least (as a ratio)",
        lambda v: all(_apart(v[NO_GLOBAL], v[FULL]) <= _apart(v[other], v[FULL]) for other in (NO_RECON, NO_ADV)),
    ),
    (
        NO_GLOBAL,
        "frechet_after",
        164.7 / 5.21,
        "dropping L_global gives the worst Fréchet distance",
        lambda v: all(v[NO_GLOBAL] > v[other] for other in (FULL, NO_RECON, NO_ADV)),
    ),
    (
        NO_RECON,
        "mse",
        0.155 / 0.050,
        "dropping L_recon gives the worst MSE",
        lambda v: all(v[NO_RECON] > v[other] for other in (FULL, NO_ADV, NO_GLOBAL)),
    ),
    (
        NO_RECON,
        "frechet_after",
        3.04 / 5.21,
        "dropping L_recon gives the best Fréchet distance",
        lambda v: all(v[NO_RECON] < v[other] for other in (FULL, NO_ADV, NO_GLOBAL)),
    ),
    (NO_ADV, "mse", 0.080 / 0.050, "dropping L_adv_local raises the MSE", lambda v: v[NO_ADV] > v[FULL]),
    (
        NO_ADV,
        "frechet_after",
        4.13 / 5.21,
        "among the variants that keep L_global, the full loss has the worst Fréchet distance",
        lambda v: all(v[FULL] > v[other] for other in (NO_RECON, NO_ADV)),
    ),
]


def _apart(a: float, b: float) -> float:
    """How many times the smaller goes into the larger."""
    return max(a, b) / max(min(a, b), 1e-12)


@dataclass
class Ablation(Study):
    """A study of near-perfect inversion's losses; ``orderings`` are the paper's, looked for here."""

    orderings: list[Ordering] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        orderings = [{**asdict(ordering), "verdict": "held" if ordering.held else "not held"} for ordering in self.orderings]
        return {**super().summary(), "orderings": orderings}

    def markdown(self) -> str:
        lines = [
            "",
            "## The paper's orderings",
            "",
            "| ordering | ratio to full: paper | here | verdict | photos that agree |",
            "|---|---:|---:|---|---:|",
        ]
        lines += [
            f"| {o.claim} | {o.paper:.2f} | {o.ratio:.2f} | {'held' if o.held else 'not held'} | {o.agreeing} of {o.photos} |" for o in self.orderings
        ]
        if not self.orderings:
            lines[3:] = ["They could not be looked for: some variant has no result."]
        elif self.orderings[0].photos < ENOUGH:
            lines += ["", f"Fewer than {ENOUGH} photos: no verdict to rely on."]
        return super().markdown() + "\n".join(lines) + "\n"


def full_loss(weights_only: bool = False) -> NearPerfect:
    """The paper's three losses and nothing besides: near-perfect inversion's defaults without their tether, or ``THREE_LOSSES``."""
    return THREE_LOSSES if weights_only else replace(METHODS["near-perfect"].config, lambda_locality=0.0)


def ablate(
    gan: Bundle,
    photos: Photos,
    config: NearPerfect | None = None,
    weights_only: bool = False,
    profile: str = FULL_PROFILE,
    source: str = "",
    trunk: str = EFFICIENTNET,
    samples: int | None = None,
    jobs: int = 1,
    backend: str = LOCAL,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Ablation:
    """Invert every photo with the full loss and without each of its three parts, and look for the paper's orderings.

    Args:
        config: the full loss; by default :func:`full_loss`.
        weights_only: by default weights alone (``THREE_LOSSES``). With tuned noise the random images of the manifold hardly change, so that the
            Fréchet distances say less.
        profile, source, trunk, samples, jobs, backend, cache, progress: see :func:`ganinv.study.compare`.

    Raises:
        GanInvError: as :func:`ganinv.study.compare`; a bundle without discriminator; a ``config`` in which one of the losses is off.
    """
    check_profile(profile)
    base: NearPerfect = suited(config, gan) if config else default_config(full_loss(weights_only), gan, profile)
    if off := [name for change in ROWS.values() for name in change if not getattr(base, name)]:
        raise GanInvError(f"an ablation starts from all three losses, but {off[0]} is 0: give it a weight.")
    if gan.D is None:
        raise GanInvError(f"near-perfect inversion needs the discriminator that {gan.name} was trained with, and its file holds none.")
    variants = {name: Variant("near-perfect", replace(base, **change)) for name, change in ROWS.items()}
    label = {"set": source, "profile": profile, "tuned": "weights and noise" if base.tune_noise else "weights only"}
    samples = default_samples(profile) if samples is None else samples
    study = run_study(Ablation("ablate", gan, photos, variants, trunk, samples, label), jobs, backend, cache, progress)
    study.orderings = find_orderings(study)
    return study


def find_orderings(study: Study, claims: Sequence[tuple[str, str, float, str, Holds]] = CLAIMS) -> list[Ordering]:
    """The paper's orderings in the results of ``study``; those about a column that some variant lacks are left out."""
    rows = {(row.image, row.method): row for row in study.rows}
    whole = [photo for photo in study.photos if all((photo, name) in rows for name in ROWS)]  # photos that every variant was run on
    found = []
    for variant, column, paper, claim, holds in claims:
        values = [{name: getattr(rows[photo, name], column) for name in ROWS} for photo in whole]
        if not values or any(value is None for each in values for value in each.values()):
            continue
        means = {name: sum(each[name] for each in values) / len(values) for name in ROWS}
        agreeing = sum(holds(each) for each in values)
        found.append(Ordering(claim, column, paper, means[variant] / means[FULL], holds(means), agreeing, len(values)))
    return found
