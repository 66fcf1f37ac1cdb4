"""Configurations of any method: cut down to a try (the fast profile, whose numbers mean little), and fitted to a bundle."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ..errors import GanInvError
from ..inversion.near_perfect import INITIAL
from ..inversion.pti import PIVOT
from ..report import SAMPLES
from ..settings import encoder_names, shortened
from ..zoo import Bundle

FULL, FAST = "full", "fast"
FAST_STEPS, FAST_SAMPLES, FAST_PHOTOS = 20, 200, 2


def check_profile(profile: str) -> None:
    if profile not in (FULL, FAST):
        raise GanInvError(f"there is no profile {profile!r}: choose full or fast.")


def default_config(config: Any, gan: Bundle, profile: str) -> Any:
    """A method's default configuration as ``profile`` and the bundle want it."""
    config = suited(config, gan)
    return shortened(config, FAST_STEPS) if profile == FAST else config


def default_samples(profile: str) -> int:
    """The random images behind a Fréchet distance."""
    return FAST_SAMPLES if profile == FAST else SAMPLES


def suited(config: Any, gan: Bundle) -> Any:
    """``config``, with stand-ins for what the bundle comes without.

    Samples of the untouched generator for real images, and a projection for a start (near-perfect inversion's ``initial``, PTI's ``pivot``) by an
    encoder that does not ship with it.
    """
    changes: dict[str, Any] = {}
    if getattr(config, "reals", "") == "reference" and gan.reference is None:
        changes["reals"] = "generator"
    for name, start in (("initial", INITIAL), ("pivot", PIVOT)):
        if missing_encoders(getattr(config, name, None), gan):
            changes[name] = start
    return dataclasses.replace(config, **changes) if changes else config


def missing_encoders(config: Any, gan: Bundle) -> list[str]:
    """The encoders in ``config`` that neither ship with the bundle nor are named as a file."""
    return [name for name in encoder_names(config) if name not in gan.encoders and Path(name).suffix != ".safetensors"]
