"""Ensemble's encoder: a photo of which a part is hidden, to a code (Chai et al. 2021)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .style import INPUT_SIZE, WIDTHS, Trunk


class MaskedEncoder(nn.Module):
    """Images and their masks to one vector a layer, what is added to ``w_avg``: ``[N, num_ws, w_dim]``.

    The paper's is a ResNet-34 of four input channels, at 256 px; here it is the residual trunk that pSp has, too, at the generator's resolution.
    Kept: a 1x1 convolution to all the vectors' entries, and their means over the image. That the result is an offset from ``w_avg`` is ours.
    """

    def __init__(self, resolution: int, num_ws: int, w_dim: int):
        super().__init__()
        self.config: dict[str, Any] = dict(resolution=resolution, num_ws=num_ws, w_dim=w_dim)
        self.num_ws, self.w_dim = num_ws, w_dim
        self.input_size = min(resolution, INPUT_SIZE)
        self.trunk = Trunk(in_channels=4)
        self.head = nn.Conv2d(WIDTHS[-1], num_ws * w_dim, 1)
        for parameter in self.head.parameters():
            parameter.data.mul_(0.1)  # begin near w_avg
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Offsets from images ``[N, 3, R, R]`` in [-1, 1] and masks ``[N, 1, R, R]``, 1 where a pixel is known."""
        x = torch.cat([x * mask, mask], dim=1)
        if x.shape[-1] > self.input_size:
            x = F.interpolate(x, size=(self.input_size, self.input_size), mode="area")
        features = self.trunk(x.contiguous(memory_format=torch.channels_last))[-1]
        return self.head(features).mean(dim=(2, 3)).unflatten(1, (self.num_ws, self.w_dim))
