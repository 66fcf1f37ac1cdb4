"""The fast profile: any method's configuration cut down to a try, so that a whole study takes minutes. Its numbers mean little."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..errors import GanInvError
from ..report import SAMPLES
from ..zoo import Bundle

FULL, FAST = "full", "fast"
FAST_STEPS, FAST_SAMPLES, FAST_PHOTOS = 20, 200, 2


def check_profile(profile: str) -> None:
    if profile not in (FULL, FAST):
        raise GanInvError(f"there is no profile {profile!r}: choose full or fast.")


def default_config(config: Any, gan: Bundle, profile: str) -> Any:
    """A method's default configuration as ``profile`` and the bundle want it."""
    return suited(shortened(config) if profile == FAST else config, gan)


def default_samples(profile: str) -> int:
    """The random images behind a Fréchet distance."""
    return FAST_SAMPLES if profile == FAST else SAMPLES


def shortened(config: Any, steps: int = FAST_STEPS) -> Any:
    """A copy of ``config`` in which no stage has more than ``steps`` steps: every field of that name, however deep."""
    return _everywhere(config, "steps", lambda own: min(own, steps))


def seeded(config: Any, seed: int) -> Any:
    """A copy of ``config`` with ``seed`` as the seed of every stage."""
    return _everywhere(config, "seed", lambda _: seed)


def _everywhere(config: Any, name: str, change: Callable[[Any], Any]) -> Any:
    """A copy of ``config`` in which every field ``name``, however deep, is what ``change`` makes of it."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _everywhere(value, name, change)
        elif field.name == name:
            changes[name] = change(value)
    return dataclasses.replace(config, **changes)


def suited(config: Any, gan: Bundle) -> Any:
    """``config``, with samples of the untouched generator for real images where the bundle comes without training images."""
    if getattr(config, "reals", "") == "reference" and gan.reference is None:
        return dataclasses.replace(config, reals="generator")
    return config
