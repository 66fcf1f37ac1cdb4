"""Every solver on every inverse problem and photo, and the curves of the papers: error against the number of measurements."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..errors import GanInvError
from ..inverse import Operator, Recovery, operator, recover
from ..inverse.operators import Gaussian
from ..inverse.register import find
from ..perception.features import EFFICIENTNET
from ..report import draw
from ..zoo import Bundle
from .backends import LOCAL
from .photos import Photos
from .profiles import FAST, FULL, check_profile, default_config
from .table import Study, run_study
from .tasks import Progress, Variant

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASUREMENTS = (20, 50, 100, 200, 500, 1000, 2500, 5000, 10_000)  # those of Bora et al. 2017 on CelebA, thinned out
CURVES = tuple(f"gaussian:{m}" for m in MEASUREMENTS)
COMPARED = ("csgm", "pgd-gan", "lasso-dct", "lasso-wavelet")
FAST_CURVES = ("gaussian:100", "gaussian:1000")


@dataclass(frozen=True)
class Problem(Variant):
    """A column: a solver (``method``) under a configuration, for one problem.

    Attributes:
        problem: the operator's name.
        noise, seed: as in :func:`ganinv.inverse.recover`.
    """

    problem: str = ""
    noise: float = 0.0
    seed: int = 0

    @property
    def function(self) -> Callable[..., Recovery]:
        find(self.method)  # what there is not is said before the work
        return partial(solve, solver=self.method, problem=self.problem, noise=self.noise, seed=self.seed)

    @property
    def identity(self) -> tuple[str, ...]:
        return ("recovery", *super().identity, self.problem, repr(self.noise), repr(self.seed))

    def operator(self, resolution: int) -> Operator:
        """What measures."""
        return operator(self.problem, resolution, self.seed)


def solve(gan: Bundle, target: Tensor, config: Any, solver: str, problem: str, noise: float, seed: int) -> Recovery:
    """A task: measure the photo, and recover it."""
    return recover(gan, target, problem, solver, config, noise, seed)


@dataclass
class RecoveryStudy(Study):
    """A study whose variants are :class:`Problem`."""

    def curves(self, column: str = "mse") -> dict[str, tuple[list[int], list[float]]]:
        """``{solver: (numbers of Gaussian measurements, means over the photos)}``, ascending, of those that were measured at two numbers at least."""
        found: dict[str, dict[int, float]] = {}
        for name, variant in self.variants.items():
            op = variant.operator(self.gan.resolution) if isinstance(variant, Problem) else None
            if isinstance(op, Gaussian) and not math.isnan(mean := self.mean(name, column)):
                found.setdefault(variant.method, {})[op.m] = mean
        return {
            solver: (sorted(points), [points[m] for m in sorted(points)])
            for solver, points in found.items()
            if len(points) > 1
        }

    def figure(self) -> Figure:
        """The curves, on logarithmic axes."""
        from .. import plots

        labels = dict(xlabel="measurements m", ylabel="error per pixel (MSE)")
        return plots.curves(self.curves(), log="xy", **labels)

    def summary(self) -> dict[str, Any]:
        found = super().summary()
        for name, variant in self.variants.items():
            if isinstance(variant, Problem):
                facts = {"solver": variant.method, "problem": variant.problem, "noise": variant.noise}
                found["methods"][name] |= facts | {"measurements": variant.operator(self.gan.resolution).m}
        return found | {"curves": {solver: dict(zip(*curve, strict=True)) for solver, curve in self.curves().items()}}

    def save(self, folder: str | Path) -> Path:
        """Besides what every study writes, ``curves.png``, if there are some.

        Raises:
            GanInvError: as :meth:`Study.save`.
        """
        saved = super().save(folder)
        if self.curves() and (failure := draw(saved / "curves.png", self.figure)):
            raise GanInvError(f"{saved / 'curves.png'} {failure}: the other results are there.")
        return saved


def recovery(
    gan: Bundle,
    photos: Photos,
    problems: Sequence[str] | None = None,
    solvers: Sequence[str] | None = None,
    configs: Mapping[str, Any] | None = None,
    noise: float = 0.0,
    seed: int = 0,
    profile: str = FULL,
    source: str = "",
    trunk: str = EFFICIENTNET,
    samples: int | None = None,
    jobs: int = 1,
    backend: str = LOCAL,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> RecoveryStudy:
    """Measure every photo in every way, and recover it by every solver. Errors are of the whole photo, with what was measured of it.

    Args:
        problems: names of operators; by default Gaussian measurements from 20 to 10,000, as far as the resolution has so many pixels.
        solvers: names in ``SOLVERS``; by default the two papers' and the two they are compared with.
        configs: configurations by solver; the defaults of ``SOLVERS`` for those that are missing.
        noise, seed: see :func:`ganinv.inverse.recover`.
        profile: ``"full"``, or ``"fast"``, which cuts those defaults to 20 steps a stage, and the default problems to two: a try.
        samples: random images behind the Fréchet distance of a generator that was tuned (by default 0, which measures none).
        source, trunk, jobs, backend, cache, progress: see :func:`ganinv.study.compare`.

    Raises:
        GanInvError: no such solver or problem, or as :func:`ganinv.study.compare`.
    """
    check_profile(profile)
    if problems is None:
        wanted = FAST_CURVES if profile == FAST else CURVES
        problems = [name for name in wanted if int(name.partition(":")[2]) <= 3 * gan.resolution**2]
    variants: dict[str, Variant] = {}
    for solver in solvers or COMPARED:
        config = (configs or {}).get(solver) or default_config(find(solver).config, gan, profile)
        for problem in problems:
            name = operator(problem, gan.resolution, seed).name
            variants[f"{solver} {name}"] = Problem(solver, config, name, noise, seed)
    label = {"set": source, "profile": profile, "noise": f"{noise:g}" if noise else ""}
    study = RecoveryStudy("study recovery", gan, photos, variants, trunk, samples or 0, label)
    return run_study(study, jobs, backend, cache, progress)


def crossover(
    curve: tuple[Sequence[float], Sequence[float]], rival: tuple[Sequence[float], Sequence[float]]
) -> float | None:
    """From how many measurements on the ``rival`` has the smaller error, each a pair (measurements, errors); ``None`` if it never has.

    Between measured numbers both are straight lines on logarithmic axes. The last crossing counts, and 0 is returned where the rival always wins.
    """
    ms = np.array(sorted({*curve[0]} & {*rival[0]}), dtype=float)
    if not len(ms):
        return None
    ours, theirs = (np.log([dict(zip(*one, strict=True))[m] for m in ms]) for one in (curve, rival))
    behind = theirs - ours  # of the rival
    if behind[-1] >= 0:
        return None
    ahead = np.flatnonzero(behind >= 0)
    if not len(ahead):
        return 0.0
    i = ahead[-1]
    share = behind[i] / (behind[i] - behind[i + 1])
    return float(np.exp(np.log(ms[i]) + share * (np.log(ms[i + 1]) - np.log(ms[i]))))
