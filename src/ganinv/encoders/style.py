r"""The network that pSp, e4e, ReStyle and the others share: a residual trunk, and small heads that turn feature maps into style vectors.

The papers use IR-SE-50, a face recognition network of 24 residual units for 256 px images, and heads of 512 channels. Here the input has the
generator's own resolution (images above 256 px are averaged down to that), the trunk has 9 units, and all widths are the papers' divided
by 4 to 8. Kept: the form of the units (batch norm first, PReLU, squeeze and excitation), the four stages that halve the size, the feature pyramid
over the last three, which layers read from which level, and the fully convolutional heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..settings import SettingError

WIDTHS, UNITS = (16, 32, 64, 128), (2, 2, 3, 2)
INPUT_SIZE = 256  # pixels at most, as in the papers
COARSE, MIDDLE = 3, 7  # style vectors 0 to 2 read the coarsest map, 3 to 6 the middle one, the rest the finest


class PReLU(nn.Module):
    """``max(x, 0) + a min(x, 0)`` with a slope a per channel: PyTorch's own takes four times as long on a CPU."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.full([channels, 1, 1], 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) - self.weight * F.relu(-x)


class SqueezeExcitation(nn.Module):
    """Scale every channel by a factor that two 1x1 convolutions compute from the means of all (Hu et al. 2018)."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.body = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.body(x.mean(dim=(2, 3), keepdim=True))


class Unit(nn.Module):
    """Residual unit of ArcFace's IR-SE networks: norm, conv, PReLU, conv (with the stride), norm, squeeze and excitation, plus a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        if in_channels == out_channels:
            self.shortcut: nn.Module = nn.MaxPool2d(1, stride)
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.body = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False),
            PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            SqueezeExcitation(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)


class Trunk(nn.Module):
    """Stem and four stages of :class:`Unit`; gives the maps at 1/4, 1/8 and 1/16 of the input's size, fine to coarse."""

    def __init__(self, in_channels: int = 3, widths: Sequence[int] = WIDTHS, units: Sequence[int] = UNITS):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), PReLU(widths[0])
        )
        stages, before = [], widths[0]
        for width, count in zip(widths, units, strict=True):
            stages.append(
                nn.Sequential(*[Unit(before if k == 0 else width, width, 2 if k == 0 else 1) for k in range(count)])
            )
            before = width
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1:]


class Map2Style(nn.Module):
    """Head of one layer: 3x3 convolutions of stride 2 until one pixel is left, then a linear layer to the style vector (``map2style`` in pSp)."""

    def __init__(self, in_channels: int, channels: int, size: int, w_dim: int):
        super().__init__()
        steps = int(math.log2(size))
        layers: list[nn.Module] = []
        for k in range(steps):
            layers += [nn.Conv2d(channels if k else in_channels, channels, 3, 2, 1), nn.LeakyReLU(0.01)]
        self.convs = nn.Sequential(*layers)
        self.linear = nn.Linear(channels if steps else in_channels, w_dim)
        self.linear.weight.data.mul_(0.1)  # begin near the code that the offsets are added to
        self.linear.bias.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


class StyleEncoder(nn.Module):
    """Images to one vector a layer, ``[N, num_ws, w_dim]``: what is added to ``w_avg`` (pSp, e4e) or to the code so far (ReStyle).

    Args:
        resolution: of the generator; images of that size come in.
        in_channels: 3, or 6 where a photo comes with its reconstruction so far (ReStyle).
        pyramid: whether the heads read three levels of a feature pyramid (pSp, e4e) or all the last map (ReStyle's simplified encoder).
        progressive: whether the heads give a vector for all layers and each layer's offset from it (e4e) or the vectors themselves (pSp).
        channels: of the pyramid and the heads.
    """

    def __init__(
        self,
        resolution: int,
        num_ws: int,
        w_dim: int,
        in_channels: int = 3,
        pyramid: bool = True,
        progressive: bool = False,
        channels: int = 64,
    ):
        super().__init__()
        if resolution < 16:
            raise SettingError(
                f"the encoder's trunk halves an image four times, so {resolution} px are too few: 16 px is the least"
            )
        self.config: dict[str, Any] = dict(
            resolution=resolution,
            num_ws=num_ws,
            w_dim=w_dim,
            in_channels=in_channels,
            pyramid=pyramid,
            progressive=progressive,
            channels=channels,
        )
        self.num_ws, self.pyramid, self.progressive = num_ws, pyramid, progressive
        self.input_size = min(resolution, INPUT_SIZE)
        self.stage = num_ws - 1  # the offsets in use: e4e unlocks them one after the other
        self.trunk = Trunk(in_channels)
        if pyramid:
            self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in WIDTHS[1:])
        sizes = (self.input_size // 16 * (2 ** self._level(i)) for i in range(num_ws))
        self.heads = nn.ModuleList(
            Map2Style(channels if pyramid else WIDTHS[-1], channels, size, w_dim) for size in sizes
        )
        self.to(memory_format=torch.channels_last)

    def _level(self, i: int) -> int:
        """Which map style vector ``i`` reads: 0 for the coarsest, 2 for the finest."""
        return (int(i >= COARSE) + int(i >= MIDDLE)) if self.pyramid else 0

    def forward(self, x: Tensor) -> Tensor:
        """Offsets ``[N, num_ws, w_dim]`` from images ``[N, in_channels, R, R]`` in [-1, 1]."""
        if x.shape[-1] > self.input_size:
            x = F.interpolate(x, size=(self.input_size, self.input_size), mode="area")
        c1, c2, c3 = self.trunk(x.contiguous(memory_format=torch.channels_last))
        levels = [c3]
        if self.pyramid:
            fine, middle, coarse = self.lateral
            p3 = coarse(c3)
            p2 = _doubled(p3) + middle(c2)
            levels = [p3, p2, _doubled(p2) + fine(c1)]
        if not self.progressive:
            return torch.stack([head(levels[self._level(i)]) for i, head in enumerate(self.heads)], dim=1)
        w0 = self.heads[0](levels[0])
        vectors = [w0] + [
            w0 + self.heads[i](levels[self._level(i)]) if i <= self.stage else w0 for i in range(1, self.num_ws)
        ]
        return torch.stack(vectors, dim=1)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
