"""Inversions are kept, so that studies share them: what ``compare`` has inverted, ``study edits`` edits, and the other way round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..cache import fingerprint, software
from ..errors import GanInvError
from ..inversion import Inversion
from ..zoo import Bundle
from .backends import LOCAL

WORTH_KEEPING = 2.0  # seconds; what an encoder answers at once is not


def shelves(
    root: Path, gan: Bundle, variants: Mapping[str, str], photos: Mapping[str, Tensor], backend: str
) -> dict[tuple[str, str], Path | None]:
    """The folder of every photo's inversion by every variant, under ``root``; ``None``, where the work is done on other machines.

    Args:
        variants: by name, what an inversion depends on besides the bundle and the photo.
    """
    if backend != LOCAL:
        return {(photo, name): None for name in variants for photo in photos}
    base = fingerprint(gan.G, gan.D, gan.reference, f"{gan.device.type} {gan.precision}", software())
    return {
        (photo, name): root / "inversions" / fingerprint(base, depends, photos[photo])
        for name, depends in variants.items()
        for photo in photos
    }


def inverted(
    gan: Bundle, target: Tensor, config: Any, function: Callable[..., Inversion], folder: Path | None
) -> Inversion:
    """The inversion in ``folder`` by as many threads as there are now, or a new one by ``function``, which is left there.

    A folder that cannot be written costs nothing but the work when the inversion is asked for again.
    """
    if folder is None:
        return function(gan, target, config)
    place = folder / f"{torch.get_num_threads()} threads"
    with suppress(GanInvError):
        return Inversion.load(place, gan)
    found = function(gan, target, config)
    if found.seconds >= WORTH_KEEPING:
        with suppress(GanInvError):
            found.save(place)
    return found
