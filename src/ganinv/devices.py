"""Where networks compute, and random numbers that are the same everywhere.

Seeded numbers are drawn on the CPU, in float32, and then moved, so that a seed means the same picture on every device and under any of PyTorch's
defaults. What an inversion leaves, its clones and its caches are on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from inspect import signature
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from .errors import GanInvError

AUTO, PREFERRED = "auto", ("cuda", "mps", "cpu")
F = TypeVar("F", bound=Callable[..., Any])


def choose(device: str | torch.device) -> torch.device:
    """The device of a name: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; for ``"auto"``, the first that there is of CUDA, MPS and the CPU.

    Raises:
        GanInvError: PyTorch cannot compute there.
    """
    if device == AUTO:
        return next(found for name in PREFERRED if (found := _usable(name)) is not None)
    found = _usable(device)
    if found is None:
        raise GanInvError(
            f"PyTorch {torch.__version__} has no device {str(device)!r} to compute on here: use cpu, or auto for the fastest there is."
        )
    return found


def _usable(device: str | torch.device) -> torch.device | None:
    """The device with its number (``cuda:0``, the same for all its names), or ``None`` where a tensor does not come back from it."""
    if isinstance(device, torch.device) and device.type == "cpu":
        return device
    try:
        there = torch.zeros(1, device=device, dtype=torch.float32)
        return there.device if there.item() == 0 else None
    except (RuntimeError, AssertionError, NotImplementedError):  # no such name, no driver, or not compiled in
        return None


def describe(device: torch.device) -> str:
    """A device for a report: ``"cpu"``, or ``"cuda:0 (NVIDIA H200)"``."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def randn(shape: Sequence[int], random: torch.Generator, device: str | torch.device = "cpu") -> Tensor:
    """Standard normal numbers of ``shape``, float32, drawn on the CPU by ``random`` and moved to ``device``."""
    return torch.randn(tuple(shape), generator=random, device="cpu", dtype=torch.float32).to(device)


def rand(shape: Sequence[int], random: torch.Generator) -> Tensor:
    """Numbers of ``shape`` between 0 and 1, float32, drawn on the CPU by ``random``: for decisions, which are taken there."""
    return torch.rand(tuple(shape), generator=random, device="cpu", dtype=torch.float32)


def randint(end: int, shape: Sequence[int], random: torch.Generator) -> Tensor:
    """Whole numbers of ``shape`` from 0 to ``end - 1``, drawn on the CPU by ``random``."""
    return torch.randint(end, tuple(shape), generator=random, device="cpu", dtype=torch.long)


def once_per_device(load: F) -> F:
    """``lru_cache`` for a function with an argument ``device``, by whatever name that comes: ``"cuda"`` and ``cuda:0`` share what is kept."""
    kept, known = lru_cache(load), signature(load)

    @wraps(load)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = known.bind(*args, **kwargs)
        given.apply_defaults()
        return kept(**{**given.arguments, "device": choose(given.arguments["device"])})

    call.cache_clear = kept.cache_clear  # type: ignore[attr-defined]
    return cast("F", call)
