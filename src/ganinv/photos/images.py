"""From any picture file to the tensors that networks take, and back.

Networks see float tensors [N, 3, H, W] in [-1, 1], sRGB. Files hold rotated, transparent, palette, CMYK, 16-bit, animated, wide-gamut or broken
pictures. Everything in between is here.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..errors import GanInvError
from ..files import atomic_path, shown

MAX_PIXELS = 100_000_000  # 300 MB as RGB; larger than any phone's usual photo, smaller than a decompression bomb
# elsewhere a second frame is a thumbnail, a depth map or a layer
ANIMATED = {
    "GIF",
    "PNG",
    "WEBP",
    "AVIF",
    "FLI",
    "TIFF",
}
VECTOR = {"EPS", "WMF"}  # Pillow hands these to other programs to draw
# brands, in the first bytes of a file
HEIF = {
    b"heic",
    b"heix",
    b"heim",
    b"heis",
    b"hevc",
    b"hevx",
    b"hevm",
    b"hevs",
    b"mif1",
    b"msf1",
}
GREY = {"1", "L", "LA", "La"}


class ImageWarning(UserWarning):
    """A picture was read, but not quite as its owner may expect: only a first frame, one face of several, guessed colours or range."""


# --- reading ----------------------------------------------------------------------------------------------------------------------------


def read_image(
    source: str | os.PathLike[str] | IO[bytes] | Image.Image, *, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Read a picture as 8-bit sRGB, upright and opaque.

    EXIF rotation is applied, transparency laid over white, 16-bit and float greyscale scaled to 8 bit, the embedded ICC profile converted to sRGB.

    :param source: a path, an open binary file, or a PIL image (left unchanged).
    :param max_pixels: refuse larger pictures before decoding them (Pillow's own limit of 2 * ``Image.MAX_IMAGE_PIXELS`` stays).
    :raises GanInvError: for URLs, missing files, folders, non-images, truncated or too large files, and pictures that hold NaN.
    :warns ImageWarning: for an animation (the first frame is used), an unreadable ICC profile or an unknown value range.
    """
    name = name_of(source)
    try:
        if isinstance(source, Image.Image):
            _check_size(source, name, max_pixels)
            return _to_srgb(source, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is the one that counts
            opened = _open(_checked(source, name), name)
        with opened:
            _check_size(opened, name, max_pixels)
            if opened.format in VECTOR:
                raise GanInvError(f"{name} is a vector drawing ({opened.format}); export it as PNG first")
            animated = opened.format in ANIMATED and getattr(opened, "is_animated", False)
            opened.load()
            image = _to_srgb(opened, name)
    except GanInvError:
        raise
    except UnidentifiedImageError as error:
        raise GanInvError(f"{name} is not an image that Pillow can read; convert it to PNG or JPEG first") from error
    except Image.DecompressionBombError as error:
        raise GanInvError(f"{name} has too many pixels; scale it down below {max_pixels:,} pixels first") from error
    except PermissionError as error:
        raise GanInvError(f"{name} may not be read; change its permissions") from error
    except (
        Exception
    ) as error:  # decoders of broken files raise anything from OSError and SyntaxError to struct.error and MemoryError
        raise GanInvError(f"{name} is damaged or truncated ({error}); get an intact copy of it") from error
    if animated:
        warnings.warn(f"{name} is animated or has several pages; only the first is used", ImageWarning, stacklevel=2)
    return image


def name_of(source: Any) -> str:
    if isinstance(source, (str, os.PathLike)):
        return shown(source)
    return str(getattr(source, "filename", None) or getattr(source, "name", None) or "the image")


def _checked(source: Any, name: str) -> Any:
    if hasattr(source, "read"):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise GanInvError(
            f"an image is a path, an open binary file or a PIL image, not {type(source).__name__}; for a tensor use to_pil first"
        )
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/|data:", name):  # two letters at least: C:/ is a Windows drive
        raise GanInvError(f"{name[:200]} is a URL; download the picture first and give the file")
    path = os.fspath(source)
    if os.path.isdir(path):
        raise GanInvError(f"{name} is a folder; give one image file")
    if not os.path.exists(path):
        raise GanInvError(f"there is no file {name}; check the path")
    if not os.path.isfile(path):
        raise GanInvError(f"{name} is not a regular file; give an image file")
    if os.path.getsize(path) == 0:
        raise GanInvError(f"{name} is empty; get an intact copy of it")
    return path


def _open(source: str | IO[bytes], name: str) -> Image.Image:
    """Pillow's ``open``, and with the extra ``ganinv[heic]`` for what phones take as well; by the content, as HEIC often comes as ``.jpg``."""
    try:
        return Image.open(source)
    except UnidentifiedImageError:
        if not _is_heif(source):
            raise
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise GanInvError(
            f"{name} is a HEIC picture, which needs pillow-heif: pip install 'ganinv[heic]', or convert it to JPEG first"
        ) from None
    register_heif_opener()
    return Image.open(source)


def _is_heif(source: str | IO[bytes]) -> bool:
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            head = file.read(12)
    else:
        source.seek(0)
        head = source.read(12)
        source.seek(0)
    return head[4:8] == b"ftyp" and head[8:12] in HEIF


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise GanInvError(f"{name} has no pixels ({width} x {height}); give a picture")
    if width * height > max_pixels:
        raise GanInvError(f"{name} has {width} x {height} pixels; scale it down below {max_pixels:,} pixels first")


def _to_srgb(image: Image.Image, name: str) -> Image.Image:
    """Any mode of Pillow's -> opaque, upright RGB."""
    profile = image.info.get("icc_profile")
    with suppress(Exception):  # EXIF that cannot be parsed says nothing about the rotation
        image = ImageOps.exif_transpose(image)

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_8_bit(image, name)
    alpha = None
    if image.has_transparency_data:
        unmultiplied = image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode))
        alpha = unmultiplied.convert("RGBA").getchannel("A")
        image = unmultiplied.convert("RGBA").convert("L" if image.mode in GREY else "RGB")
    if image.mode not in ("L", "RGB", "CMYK", "LAB"):  # the modes that a profile can belong to
        image = image.convert("L" if image.mode in GREY else "RGB")

    if profile or image.mode == "LAB":
        image = _convert_profile(image, profile, name)
    image = image.convert("RGB")
    if alpha is not None:
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    image.info.clear()
    return image


def _to_8_bit(image: Image.Image, name: str) -> Image.Image:
    """Greyscale with 16 or 32 bits or floats -> 8 bits, by the range that its values fit: 0..1 (floats), 0..255, 0..65535, or whatever they span."""
    values = np.asarray(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise GanInvError(f"{name} holds NaN or infinite pixels; write it again with finite values")
    low, high = 0.0, 65535.0
    if not image.mode.startswith("I;16"):
        least, most = values.min(), values.max()
        ranges = [1.0, 255.0, 65535.0] if image.mode == "F" else [255.0, 65535.0]
        fits = [top for top in ranges if least >= 0 and most <= top]
        if fits:
            high = fits[0]
        else:
            low, high = least, max(most, np.nextafter(least, np.float32(np.inf)))
            message = (
                f"{name} has values from {least:g} to {most:g}, no usual range; they are stretched to black and white"
            )
            warnings.warn(message, ImageWarning, stacklevel=4)
    return Image.fromarray(np.rint((values - low) / (high - low) * 255).astype(np.uint8))


def _convert_profile(image: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        warnings.warn(
            f"the colour profile in {name} cannot be used; its colours are taken as they are",
            ImageWarning,
            stacklevel=4,
        )
        return image
    assert converted is not None  # only with inPlace=True
    return converted


# --- tensors, arrays and files --------------------------------------------------------------------------------------------------------------


def from_uint8(images: Tensor) -> Tensor:
    """uint8 0..255 -> float in [-1, 1], any shape; :func:`to_uint8` undoes it exactly."""
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Float in [-1, 1] -> uint8, any shape: rounded, and clipped where a generator goes beyond the range.

    :raises GanInvError: for NaN, which would become some arbitrary colour.
    """
    if torch.isnan(images).any():
        raise GanInvError("images hold NaN; if an optimisation made them, lower its learning rate")
    return (images.detach().float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)


def from_pil(image: Image.Image) -> Tensor:
    """RGB picture -> float [1, 3, H, W] in [-1, 1]."""
    return from_uint8(torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None])


def to_pil(images: Tensor) -> list[Image.Image]:
    """[N, 3, H, W] or [3, H, W], float in [-1, 1] or uint8 -> N pictures."""
    pixels = images.detach() if images.dtype == torch.uint8 else to_uint8(images)
    pixels = pixels[None] if pixels.ndim == 3 else pixels
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise GanInvError(f"images have to be [N, 3, H, W] or [3, H, W], not {list(images.shape)}")
    return [Image.fromarray(one) for one in pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()]


def save_png(path: str | os.PathLike[str], image: Image.Image | Tensor) -> None:
    """Write one picture (PIL, or a tensor [3, H, W] or [1, 3, H, W]) as PNG: whole or not at all."""
    if Path(path).suffix.lower() != ".png":
        raise GanInvError(f"{path} has to end in .png, the format that pictures are saved in")
    if isinstance(image, Tensor):
        pictures = to_pil(image)
        if len(pictures) != 1:
            raise GanInvError(f"{path} holds one picture, but {len(pictures)} were given; save them one by one")
        image = pictures[0]
    try:
        with atomic_path(path) as temporary:
            image.save(temporary, format="PNG", optimize=True)
    except OSError as error:
        raise GanInvError(f"{path} cannot be written ({error.strerror or error}); choose another folder") from error
