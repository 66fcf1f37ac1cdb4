"""Inversion methods: one file each, one interface.

A method is a function ``method(gan, target, config, callback, resume) -> Inversion``; :data:`METHODS` names them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .divergence import DivergenceWarning
from .loop import Callback, Loop, Progress, Resume
from .near_perfect import PIVOTAL_TUNING, THREE_LOSSES, WEIGHTS_ONLY, NearPerfect, near_perfect
from .projection import Projection, projection
from .pti import PTI, pti
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
    "pti": Method(pti, PTI(), "pivot in W, then tune the generator"),
    "near-perfect": Method(near_perfect, NearPerfect(), "tune the generator, and hold its manifold"),
}

__all__ = [
    "METHODS",
    "PIVOTAL_TUNING",
    "PTI",
    "THREE_LOSSES",
    "WEIGHTS_ONLY",
    "Callback",
    "DivergenceWarning",
    "Inversion",
    "Loop",
    "Method",
    "NearPerfect",
    "Progress",
    "Projection",
    "Resume",
    "near_perfect",
    "projection",
    "pti",
]
