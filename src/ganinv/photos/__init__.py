"""From any picture file to the tensors that networks take, and back; the detector that finds a face, and the frame around it."""

from __future__ import annotations

from .images import ImageWarning, from_pil, from_uint8, read_image, save_png, to_pil, to_uint8
from .sheets import magnify, pack_images, tile, unpack_images
from .target import check_images, load_target

__all__ = [
    "ImageWarning",
    "check_images",
    "from_pil",
    "from_uint8",
    "load_target",
    "magnify",
    "pack_images",
    "read_image",
    "save_png",
    "tile",
    "to_pil",
    "to_uint8",
    "unpack_images",
]
