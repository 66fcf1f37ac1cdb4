"""When a claim counts as *held*: the one rule of the book and of the package.

A claim is about a mean over photos or seeds, and has a size: "HFGI's MSE is lower than e4e's", "by four times at least". Both sides are measured on
the same photos, so that what is looked at are the differences, photo by photo (or the ratios, through their logarithms).

- **held**: their mean lies on the claim's side of what was asked, by more than two standard errors;
- **not held**: it lies on the other side, by more than two standard errors;
- **undecided**: else, for chance may explain it; and always with fewer than ``FEWEST`` values.

"Two" is the number for many photos: of few, the standard error is itself a guess, so the limit is Student's, such that chance alone crosses it on
either side in one of twenty repetitions (4.3 standard errors for three photos, 3.2 for four, 2.4 for eight, 2.0 for sixty-four).

What has no chance in it, such as two implementations that should agree or a target that was set beforehand, is no matter of statistics:
:func:`within` compares one number with a limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

HELD, NOT_HELD, UNDECIDED = "held", "not held", "undecided"
FEWEST = 3  # values; with fewer nothing is decided
LEVEL = 0.05  # how often chance alone, on either side, decides a claim in which there is nothing


@dataclass(frozen=True)
class Verdict:
    """What the numbers say of a claim. True in an ``if`` where it is held.

    Attributes:
        claim: in words.
        verdict: ``"held"``, ``"not held"`` or ``"undecided"``.
        size: the mean difference, the geometric mean of the ratios, the rank correlation, or the measured number; NaN without a value.
        standard_error: of ``size`` (of its logarithm for a ratio, so relative); ``None`` for what has none.
        n: photos or seeds; 1 for a measured number.
        asked: what ``size`` was compared with.
        kind: ``"difference"``, ``"ratio"``, ``"rank correlation"`` or ``"number"``.
    """

    claim: str
    verdict: str
    size: float
    standard_error: float | None
    n: int
    asked: float
    kind: str = "difference"

    def __bool__(self) -> bool:
        return self.verdict == HELD

    @property
    def measured(self) -> str:
        """The numbers behind the verdict, such as ``-0.034 ± 0.004, n = 64``."""
        if self.kind == "number":
            return f"{self.size:.3g}, limit {self.asked:.3g}"
        if self.standard_error is None:
            return f"n = {self.n}" if math.isnan(self.size) else f"{_signed(self)}, n = {self.n}"
        error = f" ± {100 * self.standard_error:.2g} %" if self.kind == "ratio" else f" ± {self.standard_error:.2g}"
        asked = "" if self.asked == (1.0 if self.kind == "ratio" else 0.0) else f", asked {self.asked:.3g}"
        return f"{_signed(self)}{error}{asked}, n = {self.n}"

    @property
    def interval(self) -> tuple[float, float]:
        """Between what the true difference, or ratio, lies in nineteen of twenty repetitions; NaN without a standard error."""
        if self.standard_error is None or self.kind not in ("difference", "ratio"):
            return math.nan, math.nan
        reach = _limit(self.n) * self.standard_error
        if self.kind == "ratio":
            return self.size / math.exp(reach), self.size * math.exp(reach)
        return self.size - reach, self.size + reach

    def __str__(self) -> str:
        return f"{self.verdict}: {self.claim} ({self.measured})"


def _limit(n: int) -> float:
    """Student's limit: how many standard errors count as more than chance."""
    return float(stats.t.ppf(1 - LEVEL / 2, n - 1))


def _signed(verdict: Verdict) -> str:
    """The size as it is printed."""
    if verdict.kind == "ratio":
        return f"{verdict.size:{'.3f' if 0.1 < verdict.size < 10 else '.3g'}} times"
    if verdict.kind == "rank correlation":
        return f"rank correlation {verdict.size:+.2f}"
    return f"{verdict.size:+.3g}"


def held(
    claim: str,
    values: ArrayLike,
    rivals: ArrayLike | None = None,
    *,
    less: bool = False,
    at_least: float | None = None,
    ratio: bool = False,
) -> Verdict:
    """Whether ``values`` are larger than ``rivals`` (with ``less``: smaller), on the mean over photos or seeds; see the top of this file.

    Args:
        claim: in words, for the verdict.
        values: ``[n]``, one of each photo (or seed; average over the seeds of a photo first: only photos are independent).
        rivals: ``[n]``, of the same photos in the same order, or a number that all are compared with (0 by default, with ``ratio`` 1).
        less: the claim says that ``values`` are the smaller ones.
        at_least: by how much (a difference, 0 by default; with ``ratio`` how many times, 1 by default).
        ratio: compare by how many times, through logarithms, and not by difference. For errors, times and distances, whose size differs from photo
            to photo: a claim about their ratio is about all photos alike, one about the difference about those with the largest errors.

    Returns:
        the verdict. ``size`` and ``asked`` are of ``values - rivals``, or of ``values / rivals``: negative, or below 1, where ``less`` holds.

    Raises:
        ValueError: a value is not finite; the two sides do not pair; a ratio of values that are not positive.
    """
    a, b = _pair(values, float(ratio) if rivals is None else rivals)
    if ratio:
        if (a <= 0).any() or (b <= 0).any():
            raise ValueError(f"a ratio needs positive values ({claim})")
        a, b = np.log(a), np.log(b)
    if at_least is None:
        at_least = 1.0 if ratio else 0.0
    asked = (-1.0 if less else 1.0) * (math.log(at_least) if ratio else at_least)
    n, differences = len(a), a - b
    mean = float(differences.mean()) if n else math.nan
    error = float(differences.std(ddof=1) / math.sqrt(n)) if n > 1 else None
    verdict = UNDECIDED
    if error is not None and n >= FEWEST:
        beyond = (asked - mean) if less else (mean - asked)  # how far on the claim's side
        rounding = 8 * np.finfo(np.float64).eps * max(abs(asked), float(np.abs([a, b]).max()))
        chance = _limit(n) * error + rounding
        verdict = HELD if beyond > chance else NOT_HELD if beyond < -chance else UNDECIDED
    if ratio:
        return Verdict(claim, verdict, math.exp(mean), error, n, math.exp(asked), "ratio")
    return Verdict(claim, verdict, mean, error, n, asked + 0.0)


def _pair(values: ArrayLike, rivals: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = (np.asarray(side, dtype=np.float64) for side in (values, rivals))
    if a.ndim != 1 or b.shape not in ((), a.shape):
        raise ValueError(f"values and rivals are one number a photo, not of shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a claim cannot be decided by values that are not finite")
    return a, np.broadcast_to(b, a.shape)


def together(claim: str, verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict about several claims that are to be true at once, such as an ordering of variants: held if all are held, not held if one is not.

    Returns:
        the numbers of the claim that decides: of the first that is not held, else undecided, else of the one that was held most narrowly.

    Raises:
        ValueError: there are no claims.
    """
    if not verdicts:
        raise ValueError(f"no claims to take together ({claim})")
    for word in (NOT_HELD, UNDECIDED):
        if decisive := [verdict for verdict in verdicts if verdict.verdict == word]:
            return replace(decisive[0], claim=claim)
    return replace(min(verdicts, key=_margin), claim=claim)


def _margin(verdict: Verdict) -> float:
    """How many standard errors lie between what was measured and what was asked."""
    if not verdict.standard_error:
        return math.inf
    size, asked = (
        (math.log(verdict.size), math.log(verdict.asked)) if verdict.kind == "ratio" else (verdict.size, verdict.asked)
    )
    return abs(size - asked) / verdict.standard_error


def correlated(claim: str, a: ArrayLike, b: ArrayLike, *, negative: bool = False) -> Verdict:
    """Whether two orders of the same things agree: Spearman's rank correlation is positive (``negative``: negative).

    Decided by the share of the random pairings whose correlation is as far from 0 (:func:`scipy.stats.permutation_test`; all of them for few things):
    held or not held where it is below one in twenty. The standard error is that of Bonett and Wright (2000), of Fisher's transform back at the size.

    Args:
        a, b: ``[n]``.

    Raises:
        ValueError: as :func:`held`.
    """
    x, y = _pair(a, np.atleast_1d(np.asarray(b, dtype=np.float64)))
    n = len(x)
    if n < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Verdict(claim, UNDECIDED, math.nan, None, n, 0.0, "rank correlation")
    rx, ry = stats.rankdata(x), stats.rankdata(y)
    rho = float(np.corrcoef(rx, ry)[0, 1])

    def correlation(ranks: NDArray[np.float64], axis: int) -> Any:
        return ((ranks - rx.mean()) * (ry - ry.mean())).sum(axis=axis) / (n * rx.std() * ry.std())

    test = stats.permutation_test(
        (rx,), correlation, permutation_type="pairings", vectorized=True, n_resamples=9999, rng=np.random.default_rng(0)
    )
    error = (1 - rho**2) * math.sqrt((1 + rho**2 / 2) / (n - 3)) if n > 3 else None
    verdict = UNDECIDED if test.pvalue >= LEVEL else HELD if (rho < 0) is negative else NOT_HELD
    return Verdict(claim, verdict, rho, error, n, 0.0, "rank correlation")


def within(claim: str, value: float, limit: float) -> Verdict:
    """Whether a measured number is at most ``limit``: a fact about that number, without statistics.

    For identities that have no chance in them ("the two are one algorithm": their largest difference), and for targets set beforehand.

    Raises:
        ValueError: the value is not finite.
    """
    value, limit = float(value), float(limit)
    if not math.isfinite(value):
        raise ValueError(f"a claim cannot be decided by {value} ({claim})")
    return Verdict(claim, HELD if value <= limit else NOT_HELD, value, None, 1, limit, "number")
