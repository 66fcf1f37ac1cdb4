"""How learning rates fall."""

from __future__ import annotations

import math


def cosine(t: float, constant: float = 0.5) -> float:
    """Factor on a learning rate at time ``t`` from 0 to 1: 1 for the first part ``constant`` (1 for all), then down to 0 along a cosine."""
    return 1.0 if t <= constant else 0.5 + 0.5 * math.cos(math.pi * (t - constant) / (1 - constant))
