"""Many pictures in one: laid out to be looked at, or packed into one file without loss."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from ..errors import GanInvError
from ..files import atomic_path
from .images import read_image, to_pil


def magnify(image: Image.Image, factor: int) -> Image.Image:
    """Enlarge by a whole factor with every pixel kept as a square: small pictures are to be seen as they are, not smoothed."""
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def tile(images: Tensor | Sequence[Image.Image], columns: int | None = None) -> Image.Image:
    """Lay N pictures of one size out in rows of ``columns`` (about a square by default), black where none is left."""
    pictures = to_pil(images) if isinstance(images, Tensor) else list(images)
    if not pictures:
        raise GanInvError("there are no pictures to lay out; give at least one")
    width, height = pictures[0].size
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    sheet = Image.new("RGB", (columns * width, math.ceil(len(pictures) / columns) * height))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * width, i // columns * height))
    return sheet


def pack_images(images: Tensor, path: str | os.PathLike[str]) -> None:
    """Store uint8 [N, 3, H, W] without loss as one sheet that any viewer opens; the suffix, ``.webp`` or ``.png``, chooses the format.

    Bytes a 64 x 64 picture, on 256 training faces of ``faces64``: raw 12,288, PNG 6,992, JPEG 2000 5,945, WebP 5,979.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or images.numel() == 0:
        raise GanInvError(
            f"only uint8 [N, 3, H, W] can be packed, not {images.dtype} {list(images.shape)}; use to_uint8 first"
        )
    options: dict[str, Any] = {
        ".webp": {"format": "WEBP", "lossless": True, "quality": 90, "method": 6},
        ".png": {"format": "PNG", "optimize": True},
    }.get(Path(path).suffix.lower(), {})
    if not options:
        raise GanInvError(f"{path} has to end in .webp or .png, the two formats that pictures are packed in")
    sheet = tile(images)
    if options["format"] == "WEBP" and max(sheet.size) > 16383:
        raise GanInvError(
            f"{path} would be {sheet.width} x {sheet.height} pixels, more than WebP holds; pack it as .png or in parts"
        )
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = " ".join(map(str, (len(images), *images.shape[2:])))
    with atomic_path(path) as temporary:
        sheet.save(temporary, exif=exif, **options)


def unpack_images(path: str | os.PathLike[str]) -> Tensor:
    """Read a file of :func:`pack_images`: uint8 [N, 3, H, W].

    :raises GanInvError: for a file that is missing, damaged or no such sheet.
    """
    sheet = read_image(path)
    with Image.open(path) as file:
        description = str(file.getexif().get(ExifTags.Base.ImageDescription, ""))
    numbers = (
        [int(word) for word in description.split()]
        if re.fullmatch(r"\d{1,6} \d{1,5} \d{1,5}", description)
        else [0, 0, 0]
    )
    count, height, width = numbers
    if (
        0 in numbers
        or sheet.width % width
        or sheet.height % height
        or (sheet.width // width) * (sheet.height // height) < count
    ):
        raise GanInvError(f"{path} is a picture but no sheet of packed images; write it with pack_images")
    pixels = torch.from_numpy(np.array(sheet)).reshape(sheet.height // height, height, sheet.width // width, width, 3)
    return pixels.permute(0, 2, 4, 1, 3).reshape(-1, 3, height, width)[:count].contiguous()
