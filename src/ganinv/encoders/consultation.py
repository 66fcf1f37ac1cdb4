"""HFGI's two networks: one aligns a distortion map to an image, one turns it into gains and shifts of feature maps (Wang et al. 2022).

Kept from the authors' code: both networks' stages and skips, the layer that is fused, the order of the steps. Scaled: the widths, 16, 24, 32, 48 in
ADA (16, 32, 48, 64 there) and 16, 32, 64 in the consultation encoder (32, 48, 64 there), heads as wide as the feature maps, and two residual units a
stage (three there), one in ADA's last. Ours: the units have squeeze and excitation; ADA ends in a convolution, where theirs ends in a unit; and both
heads end at zero, so that an untrained network leaves e4e's image as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..settings import SettingError
from ..stylegan2 import Generator
from ..stylegan2.generator import Fusion
from .style import INPUT_SIZE, PReLU, Unit


class Consultation(nn.Module):
    """Both networks: distortion maps and the images to align them to, in; gains and shifts of feature maps, out.

    Args:
        resolution: of the generator, 32 at least; images above 256 px are averaged down to that.
        channels: of the feature maps that are fused.
        widths: of ADA, from full size to an eighth of it.
        consultation_widths: of the consultation encoder, from full size to a quarter of it.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        widths: Sequence[int] = (16, 24, 32, 48),
        consultation_widths: Sequence[int] = (16, 32, 64),
    ):
        super().__init__()
        if resolution < 32:
            raise SettingError(
                f"HFGI fuses a layer at a quarter of the resolution, and there is none for {resolution} px: 32 px is the least"
            )
        self.config: dict[str, Any] = dict(
            resolution=resolution, channels=channels, widths=list(widths), consultation_widths=list(consultation_widths)
        )
        self.input_size = min(resolution, INPUT_SIZE)
        self.layer = f"b{self.input_size // 4}.conv0"
        self.ada = ADA(widths)
        self.encoder = ConsultationEncoder(channels, consultation_widths)
        self.to(memory_format=torch.channels_last)

    @classmethod
    def for_generator(cls, G: Generator) -> Consultation:
        """One that suits the feature maps of ``G``."""
        layer = G.synthesis.layer(f"b{min(G.img_resolution, INPUT_SIZE) // 4}.conv0")
        return cls(G.img_resolution, len(layer.weight))

    def scaled(self, images: Tensor) -> Tensor:
        """Images at the size that the networks take, in their memory layout."""
        if images.shape[-1] > self.input_size:
            images = F.interpolate(images, size=(self.input_size, self.input_size), mode="area")
        return images.contiguous(memory_format=torch.channels_last)

    def forward(self, distortion: Tensor, image: Tensor) -> tuple[dict[str, Fusion], Tensor]:
        """The argument ``fusion`` of a synthesis, and the aligned map.

        Args:
            distortion: map ``[N, 3, S, S]``, in [-2, 2], S the input size.
            image: low-fidelity images ``[N, 3, S, S]`` in [-1, 1] that it is aligned to.
        """
        aligned = self.ada(distortion, image)
        return {self.layer: self.encoder(aligned)}, aligned


def _stem(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), PReLU(channels)
    )


def _stage(in_channels: int, channels: int, stride: int, units: int = 2) -> nn.Sequential:
    return nn.Sequential(Unit(in_channels, channels, stride), *[Unit(channels, channels, 1) for _ in range(units - 1)])


class ADA(nn.Module):
    """Adaptive distortion alignment: a U-shaped network from a map and an image (6 channels) to the map in the image's geometry."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        a, b, c, d = widths
        self.stem = _stem(6, a)
        self.down = nn.ModuleList([_stage(a, b, 2), _stage(b, c, 2), _stage(c, d, 2)])
        self.up = nn.ModuleList([_stage(d + c, c, 1), _stage(c + b, b, 1), _stage(b + a, a, 1, units=1)])
        self.last = nn.Conv2d(a, 3, 3, 1, 1, bias=False)
        self.last.weight.data.mul_(0.1)  # begin near no distortion at all

    def forward(self, distortion: Tensor, image: Tensor) -> Tensor:
        x = self.stem(torch.cat([distortion, image], dim=1))
        skips = []
        for stage in self.down:
            skips.append(x)
            x = stage(x)
        for stage in self.up:
            x = stage(torch.cat([F.interpolate(x, scale_factor=2.0, mode="bilinear"), skips.pop()], dim=1))
        return self.last(x)


def _head(in_channels: int, channels: int) -> nn.Sequential:
    last = nn.Conv2d(channels, channels, 3, 1, 1)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(nn.Conv2d(in_channels, channels, 3, 1, 1), nn.LeakyReLU(0.2), last)


class ConsultationEncoder(nn.Module):
    """A distortion map ``[N, 3, S, S]`` to the gain and the shift ``[N, channels, S/4, S/4]`` of feature maps."""

    def __init__(self, channels: int, widths: Sequence[int]):
        super().__init__()
        a, b, c = widths
        self.trunk = nn.Sequential(_stem(3, a), _stage(a, b, 2), _stage(b, c, 2))
        self.gain, self.shift = _head(c, channels), _head(c, channels)

    def forward(self, distortion: Tensor) -> Fusion:
        x = self.trunk(distortion)
        return self.gain(x), self.shift(x)
