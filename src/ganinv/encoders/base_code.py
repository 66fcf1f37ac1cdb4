"""BDInvert's encoder: a photo to the feature maps of an early layer (Kang et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (32, 64, 128)
FACTOR = 2 ** len(WIDTHS)  # the encoder sees the image at this multiple of the base's size


def base_size(resolution: int) -> int:
    """Side of the base code: 16, as in the paper, and an eighth of images below 128 px, but 8 at least."""
    return max(8, min(16, resolution // FACTOR))


class BaseCodeEncoder(nn.Module):
    """Images to base codes ``[N, channels, size, size]``, which replace the output of :attr:`layer`.

    The paper's network with its widths (128, 256, 512) divided by 4. Kept: the image comes in at 8 times the base's size; three times
    [three 3x3 convolutions with batch norm and LeakyReLU(.2), then a 2x2 mean]; two more convolutions, the last one bare. The paper resizes
    with Lanczos' kernel, here it is an antialiased cubic one (at 64 px there is nothing to resize).

    Args:
        size: side of the base code, see :func:`base_size`.
        channels: of the layer that it replaces.
    """

    def __init__(self, size: int, channels: int, widths: Sequence[int] = WIDTHS):
        super().__init__()
        self.config: dict[str, Any] = dict(size=size, channels=channels, widths=list(widths))
        self.layer = f"b{size}.conv0"
        self.input_size = size * 2 ** len(widths)
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            for _ in range(3):
                layers += _convolution(before, width)
                before = width
            layers.append(nn.AvgPool2d(2))
        layers += _convolution(before, channels)
        layers.append(nn.Conv2d(channels, channels, 3, 1, 1))
        self.body = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Base codes from images ``[N, 3, R, R]`` in [-1, 1]."""
        if x.shape[-1] != self.input_size:
            x = F.interpolate(x, size=(self.input_size, self.input_size), mode="bicubic", antialias=True)
        return self.body(x.contiguous(memory_format=torch.channels_last))


def _convolution(before: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(before, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
