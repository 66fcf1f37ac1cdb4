"""The StyleGAN2 discriminator in the "resnet" architecture, with NVIDIA's parameter names."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .generator import FullyConnectedLayer, check_resolution
from .ops import LRELU_GAIN, binomial_filter, conv2d_down, lrelu, num_channels, widen


class Conv2dLayer(nn.Module):
    """Convolution with equalised learning rate, optional 2x downsampling, bias and leaky ReLU."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool = True,
        activation: str = "lrelu",
        down: int = 1,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        self.down, self.activation, self.conv_clamp = down, activation, conv_clamp
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros([out_channels])) if bias else None
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.register_buffer("resample_filter", binomial_filter())

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        # folded into the weights: lrelu(a x) = a lrelu(x)
        scale = gain * LRELU_GAIN if self.activation == "lrelu" else gain
        weight = (self.weight * (self.weight_gain * scale)).to(x.dtype)
        bias = None if self.bias is None else (self.bias * scale).to(x.dtype)
        x = (
            conv2d_down(x, weight, self.resample_filter, bias)
            if self.down == 2
            else F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        )
        if self.activation == "lrelu":
            x = lrelu(x)
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp * gain, self.conv_clamp * gain)


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the size; the top block also turns RGB into features."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        tmp_channels: int,
        out_channels: int,
        img_channels: int = 3,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        self.register_buffer("resample_filter", binomial_filter())
        if in_channels == 0:
            self.fromrgb = Conv2dLayer(img_channels, tmp_channels, 1, conv_clamp=conv_clamp)
        self.conv0 = Conv2dLayer(tmp_channels, tmp_channels, 3, conv_clamp=conv_clamp)
        self.conv1 = Conv2dLayer(tmp_channels, out_channels, 3, down=2, conv_clamp=conv_clamp)
        self.skip = Conv2dLayer(tmp_channels, out_channels, 1, bias=False, activation="linear", down=2)

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "fromrgb"):
            x = self.fromrgb(x)
        half = math.sqrt(0.5)  # the sum of two branches keeps its variance
        return self.skip(x, gain=half) + self.conv1(self.conv0(x), gain=half)


def minibatch_std(x: Tensor, group_size: int | None) -> Tensor:
    """Append one channel: the standard deviation across each group of images, averaged over features and pixels.

    It lets the discriminator see the variety of a batch (Progressive GAN, Karras et al. 2018, Sec. 3). ``group_size`` is capped at the batch
    size, which it must then divide.

    Raises:
        ValueError: the batch size is not a multiple of the group size.
    """
    n, c, h, w = x.shape
    group = n if group_size is None else min(group_size, n)
    if n % group:
        raise ValueError(f"the batch size {n} must be a multiple of the minibatch-std group size {group}")
    y = x.reshape(group, -1, c, h, w)  # [G, n/G, C, H, W]: image i belongs to group i mod (n/G)
    y = (y - y.mean(dim=0)).square().mean(dim=0)
    y = (y + 1e-8).sqrt().mean(dim=(1, 2, 3)).reshape(-1, 1, 1, 1)
    return torch.cat([x, y.repeat(group, 1, h, w)], dim=1)


class DiscriminatorEpilogue(nn.Module):
    """Minibatch standard deviation, a convolution and two fully connected layers: features ``[N, C, 4, 4]`` to logits ``[N, 1]``."""

    def __init__(self, in_channels: int, mbstd_group_size: int | None = 4, conv_clamp: float | None = None):
        super().__init__()
        self.mbstd_group_size = mbstd_group_size
        self.conv = Conv2dLayer(in_channels + 1, in_channels, 3, conv_clamp=conv_clamp)
        self.fc = FullyConnectedLayer(in_channels * 16, in_channels, activation="lrelu")
        self.out = FullyConnectedLayer(in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(minibatch_std(widen(x), self.mbstd_group_size))
        return self.out(self.fc(x.flatten(1)))


class Discriminator(nn.Module):
    """StyleGAN2 discriminator: blocks ``b{img_resolution} ... b8`` and the epilogue ``b4``.

    Args:
        img_resolution: power of two from 8 to 1024.
        channel_base, channel_max: feature maps at resolution r are ``min(channel_base // r, channel_max)``.
        conv_clamp: clamp activations to this magnitude, or ``None``.
        mbstd_group_size: images compared by the minibatch standard deviation; ``None`` for the whole batch.
    """

    def __init__(
        self,
        img_resolution: int = 1024,
        channel_base: int = 32768,
        channel_max: int = 512,
        conv_clamp: float | None = None,
        mbstd_group_size: int | None = 4,
        img_channels: int = 3,
    ):
        super().__init__()
        check_resolution(img_resolution)
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.config: dict[str, Any] = dict(
            img_resolution=img_resolution,
            channel_base=channel_base,
            channel_max=channel_max,
            conv_clamp=conv_clamp,
            mbstd_group_size=mbstd_group_size,
        )
        self.block_resolutions = [2**i for i in range(int(math.log2(img_resolution)), 2, -1)]
        for res in self.block_resolutions:
            channels, out = (
                num_channels(res, channel_base, channel_max),
                num_channels(res // 2, channel_base, channel_max),
            )
            top = res == img_resolution
            setattr(
                self, f"b{res}", DiscriminatorBlock(0 if top else channels, channels, out, img_channels, conv_clamp)
            )
        self.b4 = DiscriminatorEpilogue(num_channels(4, channel_base, channel_max), mbstd_group_size, conv_clamp)

    def forward(self, img: Tensor) -> Tensor:
        """Logits ``[N, 1]`` (positive: looks real) of images ``[N, 3, R, R]`` in [-1, 1]."""
        if img.shape[-2:] != (self.img_resolution, self.img_resolution):
            raise ValueError(
                f"this discriminator takes images of {self.img_resolution}x{self.img_resolution} pixels, not {img.shape[-2]}x{img.shape[-1]}"
            )
        x = img
        for res in self.block_resolutions:
            x = getattr(self, f"b{res}")(x)
        return self.b4(x)
