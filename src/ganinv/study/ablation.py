r"""What each loss of near-perfect inversion is for: the method without one of them at a time.

The paper's slides report, for the full loss and without :math:`L_\mathrm{recon}`, :math:`L_\mathrm{adv\,local}` and :math:`L_\mathrm{global}`,
MSE .050, .155, .080, .052 and FID 5.21, 3.04, 4.13, 164.7. Their data, budget and scale are unknown, so what can be looked for elsewhere are
the orderings; each is looked for here, photo by photo, and reported as held, not held or undecided (:mod:`ganinv.study.held`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GanInvError
from ..inversion import THREE_LOSSES, TUNED_NOISE, NearPerfect
from ..perception.features import EFFICIENTNET
from ..zoo import Bundle
from .backends import LOCAL
from .held import HELD, NOT_HELD, UNDECIDED, Verdict, held, together
from .photos import Photos
from .profiles import FULL as FULL_PROFILE
from .profiles import check_profile, default_config, default_samples, suited
from .table import Study, run_study
from .tasks import Progress, Variant

FULL, NO_RECON, NO_ADV, NO_GLOBAL = "full", "w/o L_recon", "w/o L_adv_local", "w/o L_global"
ROWS: dict[str, dict[str, Any]] = {
    FULL: {},
    NO_RECON: {"lambda_recon": 0.0},
    NO_ADV: {"lambda_adv": 0.0},
    NO_GLOBAL: {"lambda_global": 0.0},
}
LEAST = 1e-12  # what a number counts at least, so that a ratio exists
ENOUGH = 8  # photos; with fewer the outputs say so


@dataclass(frozen=True)
class Ordering:
    """One of the paper's findings, looked for in this study.

    Attributes:
        claim: the ordering, in words.
        column: what it is about, ``"mse"`` or ``"frechet_after"``.
        paper: the ratio to the full loss that the slides report for the variant that the claim is about (for the last, w/o L_adv_local).
        ratio: the same ratio of the means here.
        held: ``True`` or ``False`` where the photos decide it, ``None`` where chance may explain what they show.
        agreeing, photos: on how many single photos it holds, of how many.
        measured: the numbers of the comparison that decides: a ratio (a difference for the first ordering), its standard error, the photos.
    """

    claim: str
    column: str
    paper: float
    ratio: float
    held: bool | None
    agreeing: int
    photos: int
    measured: str = ""

    @property
    def verdict(self) -> str:
        """``"held"``, ``"not held"`` or ``"undecided"``."""
        return UNDECIDED if self.held is None else HELD if self.held else NOT_HELD


Values = dict[str, NDArray[np.float64]]  # of each variant, one a photo


@dataclass(frozen=True)
class Finding:
    """An ordering of the slides' table: each pair's first is larger than its second, by the variants' values or by how far these are from the full
    loss's. ``paper`` is the slides' ratio to the full loss of ``variant``."""

    variant: str
    column: str
    paper: float
    claim: str
    pairs: tuple[tuple[str, str], ...]
    apart_from_full: bool = False

    def sides(self, values: Values) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """For each pair what should be the larger, and the smaller, photo by photo."""
        shown = {name: _apart(each, values[FULL]) for name, each in values.items()} if self.apart_from_full else values
        return [(shown[more], shown[less]) for more, less in self.pairs]

    def agreeing(self, values: Values) -> int:
        """On how many photos all pairs are in order."""
        return int(np.all([more > less for more, less in self.sides(values)], axis=0).sum())

    def verdict(self, values: Values) -> Verdict:
        return together(
            self.claim,
            [held(self.claim, more, less, ratio=not self.apart_from_full) for more, less in self.sides(values)],
        )


FINDINGS = [
    Finding(
        NO_GLOBAL,
        "mse",
        0.052 / 0.050,
        "dropping L_global changes the MSE least (as a ratio)",
        ((NO_RECON, NO_GLOBAL), (NO_ADV, NO_GLOBAL)),
        apart_from_full=True,
    ),
    Finding(
        NO_GLOBAL,
        "frechet_after",
        164.7 / 5.21,
        "dropping L_global gives the worst Fréchet distance",
        ((NO_GLOBAL, FULL), (NO_GLOBAL, NO_RECON), (NO_GLOBAL, NO_ADV)),
    ),
    Finding(
        NO_RECON,
        "mse",
        0.155 / 0.050,
        "dropping L_recon gives the worst MSE",
        ((NO_RECON, FULL), (NO_RECON, NO_ADV), (NO_RECON, NO_GLOBAL)),
    ),
    Finding(
        NO_RECON,
        "frechet_after",
        3.04 / 5.21,
        "dropping L_recon gives the best Fréchet distance",
        ((FULL, NO_RECON), (NO_ADV, NO_RECON), (NO_GLOBAL, NO_RECON)),
    ),
    Finding(NO_ADV, "mse", 0.080 / 0.050, "dropping L_adv_local raises the MSE", ((NO_ADV, FULL),)),
    Finding(
        NO_ADV,
        "frechet_after",
        4.13 / 5.21,
        "among the variants that keep L_global, the full loss has the worst Fréchet distance",
        ((FULL, NO_RECON), (FULL, NO_ADV)),
    ),
]


def _apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far two positive numbers are from each other as a ratio, whichever is the larger: the length of its logarithm."""
    return np.abs(np.log(a / b))


@dataclass
class Ablation(Study):
    """A study of near-perfect inversion's losses; ``orderings`` are the paper's, looked for here."""

    orderings: list[Ordering] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        orderings = [{**asdict(ordering), "verdict": ordering.verdict} for ordering in self.orderings]
        return {**super().summary(), "orderings": orderings}

    def markdown(self) -> str:
        lines = [
            "",
            "## The paper's orderings",
            "",
            "| ordering | ratio to full: paper | here | verdict | by | photos that agree |",
            "|---|---:|---:|---|---|---:|",
        ]
        lines += [
            f"| {o.claim} | {o.paper:.2f} | {o.ratio:.2f} | {o.verdict} | {o.measured} | {o.agreeing} of {o.photos} |"
            for o in self.orderings
        ]
        if not self.orderings:
            lines[3:] = ["They could not be looked for: some variant has no result."]
        elif self.orderings[0].photos < ENOUGH:
            lines += ["", f"Fewer than {ENOUGH} photos: no verdict to rely on."]
        return super().markdown() + "\n".join(lines) + "\n"


def full_loss(tune_noise: bool = False) -> NearPerfect:
    """The paper's three losses and nothing besides: ``THREE_LOSSES``, or ``TUNED_NOISE`` without its tether."""
    return replace(TUNED_NOISE, lambda_locality=0.0) if tune_noise else THREE_LOSSES


def ablate(
    gan: Bundle,
    photos: Photos,
    config: NearPerfect | None = None,
    tune_noise: bool = False,
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
        tune_noise: by default weights alone (``THREE_LOSSES``). With tuned noise the random images of the manifold hardly change, so that the
            Fréchet distances say less.
        profile, source, trunk, samples, jobs, backend, cache, progress: see :func:`ganinv.study.compare`.

    Raises:
        GanInvError: as :func:`ganinv.study.compare`; a bundle without discriminator; a ``config`` in which one of the losses is off.
    """
    check_profile(profile)
    base: NearPerfect = suited(config, gan) if config else default_config(full_loss(tune_noise), gan, profile)
    if off := [name for change in ROWS.values() for name in change if not getattr(base, name)]:
        raise GanInvError(f"an ablation starts from all three losses, but {off[0]} is 0: give it a weight.")
    if gan.D is None:
        raise GanInvError(
            f"near-perfect inversion needs the discriminator that {gan.name} was trained with, and its file holds none."
        )
    variants = {name: Variant("near-perfect", replace(base, **change)) for name, change in ROWS.items()}
    label = {"set": source, "profile": profile, "tuned": "weights and noise" if base.tune_noise else "weights only"}
    samples = default_samples(profile) if samples is None else samples
    study = run_study(Ablation("ablate", gan, photos, variants, trunk, samples, label), jobs, backend, cache, progress)
    study.orderings = find_orderings(study)
    return study


def find_orderings(study: Study, findings: Sequence[Finding] = FINDINGS) -> list[Ordering]:
    """The paper's orderings in the results of ``study``; those about a column that some variant lacks are left out."""
    rows = {(row.image, row.method): row for row in study.rows}
    # photos that every variant was run on
    whole = [photo for photo in study.photos if all((photo, name) in rows for name in ROWS)]
    orderings = []
    for finding in findings:
        found = {name: [getattr(rows[photo, name], finding.column) for photo in whole] for name in ROWS}
        if not whole or any(value is None for each in found.values() for value in each):
            continue
        values = {name: np.maximum(each, LEAST) for name, each in found.items()}
        verdict = finding.verdict(values)
        ratio = float(values[finding.variant].mean() / values[FULL].mean())
        decided = {HELD: True, NOT_HELD: False}.get(verdict.verdict)
        numbers = (finding.agreeing(values), len(whole), verdict.measured)
        orderings.append(Ordering(finding.claim, finding.column, finding.paper, ratio, decided, *numbers))
    return orderings
