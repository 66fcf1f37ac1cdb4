"""Which photos a study looks at: those held out from training, the portraits that ship with variants of them, or a folder."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..errors import GanInvError, sentence
from ..files import shown
from ..photos import from_uint8, load_target
from ..zoo import Bundle

Photos = dict[str, Tensor]
Complain = Callable[[str], None]
HELDOUT = 8  # of the bundle's held-out images, unless more are asked for

# not in every list of media types
CAMERA = {
    ".dng",
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
    ".raf",
    ".orf",
    ".rw2",
    ".pef",
    ".heic",
    ".heif",
    ".hif",
}

# What makes a face that the generator was not trained on: each keeps the shape [1, 3, R, R] and the range.
VARIANTS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x,
    " mirrored": lambda x: x.flip(3),
    " grey": lambda x: (
        (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True).expand_as(x).contiguous()
    ),
    " half": lambda x: torch.cat([x[..., : x.shape[3] // 2], torch.zeros_like(x[..., x.shape[3] // 2 :])], dim=3),
}


def photo_set(
    name: str | os.PathLike[str],
    gan: Bundle,
    limit: int | None = None,
    align: str = "face",
    complain: Complain | None = None,
) -> Photos:
    """The photos ``{name: [1, 3, R, R] in [-1, 1]}`` of a set.

    Args:
        name: ``"heldout"`` (in the domain: images from where the training images came, never trained on), ``"real"`` (the real photos that
            ship with the bundle, and each mirrored, in grey, and with its right half covered in grey), or a folder of pictures.
        limit: at most so many (for ``"heldout"`` 8 by default, else all).
        align: how the pictures of a folder are framed, see :func:`ganinv.photos.load_target`.
        complain: see :func:`load_photos`.

    Raises:
        GanInvError: the bundle has no such images, or there is no such folder, or it holds no picture that can be used.
    """
    if limit is not None and limit < 1:
        raise GanInvError(f"a study needs at least one photo, not {limit}.")
    if name == "heldout":
        if gan.heldout is None:
            raise GanInvError(f"{gan.name} comes without held-out images: name a folder of pictures instead.")
        return {f"heldout-{i:02}": from_uint8(image[None]) for i, image in enumerate(gan.heldout[: limit or HELDOUT])}
    if name == "real":
        if not gan.photos:
            raise GanInvError(f"{gan.name} comes without photos: name a folder of pictures instead.")
        photos = {stem: load_target(path, gan.resolution, "none") for stem, path in gan.photos.items()}
        varied = {f"{stem}{variant}": change(x) for variant, change in VARIANTS.items() for stem, x in photos.items()}
        return dict(list(varied.items())[:limit])
    folder = Path(name)
    if not folder.is_dir():
        raise GanInvError(f"{name} is no set of photos: give heldout, real, or a folder of pictures.")
    return load_photos(pictures_in(folder)[:limit], gan, align, complain)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, by name: see :func:`is_picture`.

    Raises:
        GanInvError: there are none, or it cannot be read.
    """
    try:
        files = [path for path in sorted(folder.iterdir()) if is_picture(path)]
    except OSError as error:
        raise GanInvError(
            f"{shown(folder)} cannot be read ({error.strerror or error}): change its permissions."
        ) from error
    if not files:
        raise GanInvError(f"{shown(folder)} holds no pictures: name a folder that does.")
    return files


def is_picture(path: Path) -> bool:
    """Whether a file in a folder of pictures is to be read, or else to be complained of: what is called a picture, in formats that Pillow does not
    know as well; and what has no suffix, if it holds one."""
    if path.name.startswith(".") or path.is_dir():
        return False
    suffix = path.suffix.lower()
    if suffix:
        kind = mimetypes.guess_type(f"_{suffix}")[0] or ""
        return kind.startswith("image/") or suffix in Image.registered_extensions() or suffix in CAMERA
    try:
        with Image.open(path):
            return True
    except Exception:  # decoders raise anything
        return False


def load_photos(
    files: Iterable[str | os.PathLike[str]], gan: Bundle, align: str = "face", complain: Complain | None = None
) -> Photos:
    """Read picture files, or photos that ship by their names; equal names are numbered.

    Args:
        complain: called with one sentence for every file that cannot be used, and the others are read; without it the first one raises.

    Raises:
        GanInvError: a file cannot be used; with ``complain``, none of them can.
    """
    photos: Photos = {}
    for file in files:
        shipped = gan.shipped(file)
        path, framing = (Path(file), align) if shipped is None else (shipped, "none")
        try:
            target = load_target(path, gan.resolution, framing)
        except Exception as error:  # one picture is not to cost the others
            if complain is None:
                raise
            complain(str(error) if isinstance(error, GanInvError) else f"{shown(path)} failed ({sentence(error)})")
            continue
        stem, suffix = shown(path.stem), shown(path.suffix)
        names = (f"{stem}{suffix}" if i == 1 else f"{stem}-{i}{suffix}" for i in range(1, len(photos) + 2))
        photos[next(name for name in names if name not in photos)] = target
    if not photos:
        raise GanInvError("none of the pictures can be used: give at least one that can.")
    return photos
