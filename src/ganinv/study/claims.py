"""What a comparison of all methods should show, and whether it does: medians over the photos of a set, since one photo's seconds are noisy."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from ..inversion import METHODS
from .table import Study

ONE_PASS = ("psp", "e4e")
TUNING = ("pti", "near-perfect")  # they change the generator
OPTIMISERS = ("projection-z", "projection-w", "projection-wplus", "bdinvert", "ensemble", *TUNING)  # the others see a photo a few times at most
FACTORS = {"heldout": 4.0, "real": 8.0}  # how many times lower near-perfect's MSE should be than that of the best fixed generator


class Claim(NamedTuple):
    """A claim about a comparison, the numbers that decide it, in words, and whether they bear it out."""

    claim: str
    measured: str
    held: bool


def claims(heldout: Study, real: Study) -> list[Claim]:
    """The claims that :func:`ganinv.study.compare` by all methods should bear out on the held-out images and on the real photos.

    A method without a result is missing in the claims about it, which are then not held.
    """
    sets = {"heldout": heldout, "real": real}
    found = [_complete(name, study) for name, study in sets.items()]
    found.append(_beyond("every optimiser is slower than every one-pass encoder", heldout, "seconds", more=True))
    found.append(_beyond("every optimiser has a lower MSE than every one-pass encoder", heldout, "mse", more=False))
    found += [_factor(name, study) for name, study in sets.items()]
    found += [_best_perceptual(name, study) for name, study in sets.items()]
    return found


def medians(study: Study, column: str) -> dict[str, float]:
    """The median over the photos by method, for those that have results."""
    return {name: statistics.median(values) for name in study.variants if (values := study.column(name, column))}


def _complete(name: str, study: Study) -> Claim:
    have = {(row.method, row.image) for row in study.rows}
    missing = [(method, photo) for method in METHODS for photo in study.photos if (method, photo) not in have]
    total = len(METHODS) * len(study.photos)
    measured = f"{total - len(missing)} of {total}" + (f"; without {', '.join(sorted({method for method, _ in missing}))}" if missing else "")
    return Claim(f"{name}: every method has a result for every photo", measured, not missing)


def _beyond(claim: str, study: Study, column: str, more: bool) -> Claim:
    """Whether the medians of all optimisers lie above (``more``) or below those of all one-pass encoders."""
    found = medians(study, column)
    optimisers, encoders = ({name: found[name] for name in names if name in found} for names in (OPTIMISERS, ONE_PASS))
    if not optimisers or not encoders:
        return Claim(f"heldout: {claim}", "no results", False)
    nearest, limit = (min, max) if more else (max, min)
    optimiser, encoder = nearest(optimisers, key=optimisers.__getitem__), limit(encoders, key=encoders.__getitem__)
    exceptions = [name for name, value in optimisers.items() if (value <= found[encoder] if more else value >= found[encoder])]
    measured = f"{optimiser} {found[optimiser]:.3g}, {encoder} {found[encoder]:.3g}" + (f"; not {', '.join(exceptions)}" if exceptions else "")
    whole = len(optimisers) == len(OPTIMISERS) and len(encoders) == len(ONE_PASS)
    return Claim(f"heldout: {claim}", measured, whole and not exceptions)


def _factor(name: str, study: Study) -> Claim:
    claim = f"{name}: near-perfect's MSE is at least {FACTORS[name]:g} times lower than that of the best method with a fixed generator"
    found = medians(study, "mse")
    fixed = {method: value for method, value in found.items() if method not in TUNING}
    if "near-perfect" not in found or not fixed:
        return Claim(claim, "no results", False)
    best = min(fixed, key=fixed.__getitem__)
    ratio = fixed[best] / max(found["near-perfect"], 1e-12)
    return Claim(claim, f"{ratio:.1f} times ({found['near-perfect']:.2g}, {best} {fixed[best]:.2g})", ratio >= FACTORS[name])


def _best_perceptual(name: str, study: Study) -> Claim:
    claim = f"{name}: near-perfect has the best perceptual score"
    found = medians(study, "perceptual")
    own, others = found.pop("near-perfect", None), found
    if own is None or not others:
        return Claim(claim, "no results", False)
    best = min(others, key=others.__getitem__)
    return Claim(claim, f"{own:.3g}, {best} {others[best]:.3g}", own < others[best])
