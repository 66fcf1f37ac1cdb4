"""Inversion in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from .errors import GanInvError
from .inversion import METHODS, Inversion
from .photos import load_target
from .run import Callback, Resume
from .zoo import Bundle

Photo = str | os.PathLike[str] | Image.Image


def invert(
    photo: Photo | Tensor | Sequence[Photo],
    gan: Bundle,
    method: str = "near-perfect",
    config: Any = None,
    align: str = "face",
    callback: Callback | None = None,
    resume: str | Path | None = None,
) -> Inversion:
    """Find one or several photos in a generator.

    Args:
        photo: a file that Pillow can read, a Pillow image, several of them, or a tensor ``[N, 3, R, R]`` in [-1, 1] of any floating type
            (used as it is, in float32; bytes are refused, :func:`ganinv.photos.from_uint8` converts them).
        gan: the bundle from :func:`load`.
        method: a name in ``ganinv.inversion.METHODS``, such as ``"near-perfect"`` or ``"psp"``; ``ganinv methods`` lists them.
        config: the method's configuration dataclass; its defaults for ``None``.
        align: how a file is framed: ``"face"``, ``"center"`` (the central square) or ``"none"`` (already ``R x R``).
        callback: called after every step with a ``Progress``.
        resume: file in which an interrupted run keeps its state; the same call then goes on where it stopped. Removed at the end.

    Gradients are recorded also within ``torch.no_grad()``, and the caller's random numbers are left alone.

    :warns ImageWarning: what a photo's owner should know of how it was read; a tensor that seems to be in [0, 1].

    Raises:
        GanInvError: whatever is wrong with the photo, the bundle or the method's name, and what to do about it.
    """
    if method not in METHODS:
        raise GanInvError(f"There is no method {method!r}: choose from {', '.join(METHODS)}.")
    if isinstance(photo, Tensor):
        target = photo
    else:
        photos = [photo] if isinstance(photo, str | os.PathLike | Image.Image) else list(photo)
        if not photos:
            raise GanInvError("There is no photo to invert: give at least one.")
        target = torch.cat([load_target(p, gan.resolution, align) for p in photos])
    entry = METHODS[method]
    config = config or entry.config
    if not isinstance(config, type(entry.config)):
        raise GanInvError(
            f"The method {method!r} takes a {type(entry.config).__name__} as its config, not a {type(config).__name__}."
        )
    state = None if resume is None else Resume.for_run(Path(resume), gan, target, method, config)
    result = entry.function(gan, target, config, callback, state)
    if state is not None:
        state.remove()
    return result
