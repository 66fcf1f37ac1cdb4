"""What a comparison of all methods should show, and whether it does.

What decides is :func:`ganinv.study.held.held`, on ratios photo by photo; printed beside it are medians over the photos of a set, since one photo's
seconds are noisy.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

from ..inversion import METHODS
from ..inversion.register import ENCODER, SEARCH, of_kind
from ..inversion.register import TUNING as TUNES
from .held import Verdict, held, together, within
from .table import Study

ONE_PASS, TUNING = of_kind(ENCODER), of_kind(TUNES)
OPTIMISERS = of_kind(SEARCH, TUNES)  # the others see a photo a few times at most
# how many times lower near-perfect's MSE, by weights, might be than that of the best fixed generator; the last is the paper's, on CelebA-HQ. Asked
# one after the other, since the verdicts say how far the photos go
FACTORS = (1.0, 3.0, 4.0)
LEAST = 1e-12  # what a number counts at least, so that a ratio exists


class Claim(NamedTuple):
    """A claim about a comparison, the medians behind it, in words, and whether the photos bear it out."""

    claim: str
    measured: str
    verdict: Verdict

    @property
    def held(self) -> bool:
        return bool(self.verdict)


def claims(heldout: Study, real: Study) -> list[Claim]:
    """The claims that :func:`ganinv.study.compare` by all methods might bear out on the held-out images and on the real photos.

    They are those of the paper and those that readers would make, also where they fail: what the photos said of each, with the shipped weights
    and the methods' own settings, is recorded beside the slow test that measures them. A method without a result is missing in the claims about
    it, which are then undecided.
    """
    sets = {"heldout": heldout, "real": real}
    found = [_complete(name, study) for name, study in sets.items()]
    found.append(_beyond("every optimiser is slower than every one-pass encoder", heldout, "seconds", more=True))
    found.append(_beyond("every optimiser has a lower MSE than every one-pass encoder", heldout, "mse", more=False))
    found += [_factor(name, study, times) for name, study in sets.items() for times in FACTORS]
    found += [_best_perceptual(name, study) for name, study in sets.items()]
    return found


def medians(study: Study, column: str) -> dict[str, float]:
    """The median over the photos by method, for those that have results."""
    return {name: statistics.median(values) for name in study.variants if (values := study.column(name, column))}


def _compared(
    claim: str, study: Study, column: str, pairs: list[tuple[str, str]], less: bool, at_least: float = 1.0
) -> Verdict:
    """The verdict about all pairs of methods at once, each on the photos that have results of both."""
    values = {(row.method, row.image): max(getattr(row, column), LEAST) for row in study.rows}
    verdicts = []
    for one, other in pairs:
        photos = [photo for photo in study.photos if (one, photo) in values and (other, photo) in values]
        sides = ([values[method, photo] for photo in photos] for method in (one, other))
        verdicts.append(held(claim, *sides, less=less, ratio=True, at_least=at_least))
    return together(claim, verdicts)


def _complete(name: str, study: Study) -> Claim:
    have = {(row.method, row.image) for row in study.rows}
    missing = [(method, photo) for method in METHODS for photo in study.photos if (method, photo) not in have]
    total = len(METHODS) * len(study.photos)
    measured = f"{total - len(missing)} of {total}" + (
        f"; without {', '.join(sorted({method for method, _ in missing}))}" if missing else ""
    )
    claim = f"{name}: every method has a result for every photo"
    return Claim(claim, measured, within(claim, len(missing), 0))


def _beyond(claim: str, study: Study, column: str, more: bool) -> Claim:
    """Whether all optimisers lie above (``more``) or below all one-pass encoders."""
    claim = f"heldout: {claim}"
    verdict = _compared(
        claim, study, column, [(optimiser, encoder) for optimiser in OPTIMISERS for encoder in ONE_PASS], less=not more
    )
    found = medians(study, column)
    optimisers, encoders = ({name: found[name] for name in names if name in found} for names in (OPTIMISERS, ONE_PASS))
    if not optimisers or not encoders:
        return Claim(claim, "no results", verdict)
    nearest, limit = (min, max) if more else (max, min)
    optimiser, encoder = nearest(optimisers, key=optimisers.__getitem__), limit(encoders, key=encoders.__getitem__)
    exceptions = [
        name for name, value in optimisers.items() if (value <= found[encoder] if more else value >= found[encoder])
    ]
    measured = f"{optimiser} {found[optimiser]:.3g}, {encoder} {found[encoder]:.3g}" + (
        f"; not {', '.join(exceptions)}" if exceptions else ""
    )
    return Claim(claim, measured, verdict)


def _factor(name: str, study: Study, times: float) -> Claim:
    lower = "lower" if times == 1 else f"at least {times:g} times lower"
    claim = f"{name}: near-perfect's MSE is {lower} than that of the best method with a fixed generator"
    found = medians(study, "mse")
    fixed = {method: value for method, value in found.items() if method not in TUNING}
    pairs = [("near-perfect", method) for method in (fixed or ONE_PASS)]  # lower than of each is lower than of the best
    verdict = _compared(claim, study, "mse", pairs, less=True, at_least=times)
    if "near-perfect" not in found or not fixed:
        return Claim(claim, "no results", verdict)
    best = min(fixed, key=fixed.__getitem__)
    ratio = fixed[best] / max(found["near-perfect"], LEAST)
    return Claim(claim, f"{ratio:.1f} times ({found['near-perfect']:.2g}, {best} {fixed[best]:.2g})", verdict)


def _best_perceptual(name: str, study: Study) -> Claim:
    claim = f"{name}: near-perfect has the best perceptual score"
    found = medians(study, "perceptual")
    own, others = found.pop("near-perfect", None), found
    verdict = _compared(
        claim, study, "perceptual", [("near-perfect", method) for method in (others or ONE_PASS)], less=True
    )
    if own is None or not others:
        return Claim(claim, "no results", verdict)
    best = min(others, key=others.__getitem__)
    return Claim(claim, f"{own:.3g}, {best} {others[best]:.3g}", verdict)
