"""What an inversion is given: a photo read and framed, or a tensor that is checked."""

from __future__ import annotations

import os
import warnings
from typing import IO

import torch
from PIL import Image
from torch import Tensor

from ..errors import GanInvError
from .images import ImageWarning, from_pil, name_of, read_image

ALIGNMENTS = ("face", "center", "none")


def load_target(
    source: str | os.PathLike[str] | IO[bytes] | Image.Image, resolution: int, align: str = "face"
) -> Tensor:
    """Read a picture as an inversion target: float [1, 3, resolution, resolution] in [-1, 1].

    :param align: ``"face"`` finds the face and frames it as the training faces are (:func:`ganinv.photos.faces.align_face`); ``"center"`` takes the
        centre square; ``"none"`` takes the picture as it is, which has to have the right size.
    :raises GanInvError: as :func:`read_image`; no face; wrong size with ``"none"``; an unknown ``align``.
    """
    if align not in ALIGNMENTS:
        raise GanInvError(f"align={align!r} is unknown; use one of {', '.join(ALIGNMENTS)}")
    if resolution < 1:
        raise GanInvError(f"resolution={resolution} is not possible; give the generator's resolution")
    name, image = name_of(source), read_image(source)
    if align == "face":
        from .faces import align_face  # only this way needs the detector, and torchvision takes a second to import

        image = align_face(image, resolution, name=name)
    elif align == "center":
        if min(image.size) < resolution / 2:
            warnings.warn(
                f"{name} is only {image.width} x {image.height} and is enlarged to {resolution}",
                ImageWarning,
                stacklevel=2,
            )
        image = center_square(image, resolution)
    elif image.size != (resolution, resolution):
        width, height = image.size
        raise GanInvError(
            f'{name} is {width} x {height}, but align="none" needs {resolution} x {resolution}; use align="face" or "center"'
        )
    return from_pil(image)


def center_square(image: Image.Image, resolution: int) -> Image.Image:
    """The largest square in the middle, scaled to ``resolution`` (LANCZOS)."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((resolution, resolution), Image.Resampling.LANCZOS)


def check_images(images: Tensor, resolution: int) -> Tensor:
    """Images as an inversion uses them, float32 and apart from any graph: float [N, 3, resolution, resolution], N >= 1, finite, in about [-1, 1].

    :raises GanInvError: saying what is wrong and how to put it right.
    :warns ImageWarning: for images that have no dark pixel, as if they were in [0, 1].
    """
    if not isinstance(images, Tensor):
        raise GanInvError(f"images have to be a tensor, not {type(images).__name__}; read files with load_target")
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[0] < 1:
        raise GanInvError(
            f"images have to be [N, 3, {resolution}, {resolution}], not {list(images.shape)}; load_target makes them so"
        )
    if tuple(images.shape[2:]) != (resolution, resolution):
        raise GanInvError(
            f"images are {images.shape[3]} x {images.shape[2]}, but the generator makes {resolution} x {resolution}; "
            f"read them with load_target(path, {resolution})"
        )
    if not images.is_floating_point():
        raise GanInvError(
            f"images have to be float in [-1, 1], not {str(images.dtype).removeprefix('torch.')}; use from_uint8 for bytes"
        )
    if not torch.isfinite(images).all():
        raise GanInvError("images hold NaN or infinite values; read them again with load_target")
    low, high = images.min().item(), images.max().item()
    if low < -1.5 or high > 1.5:
        raise GanInvError(
            f"image values run from {low:.3g} to {high:.3g}, but [-1, 1] is expected; bytes become that by from_uint8"
        )
    if 0 <= low < high <= 1:
        said = f"image values run from {low:.3g} to {high:.3g}, but [-1, 1] is expected; if they are in [0, 1], give 2 * images - 1"
        warnings.warn(said, ImageWarning, stacklevel=2)
    if images.requires_grad:
        images = images.detach()
    images = images.to("cpu", torch.float32)
    # one that was made in inference mode could not take part in a gradient
    return images.clone() if images.is_inference() else images
