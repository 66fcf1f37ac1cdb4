"""Ensemble's encoder: a photo of which a part is hidden, to a code (Chai et al. 2021)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import GanInvError
from .style import StyleEncoder


class MaskedEncoder(nn.Module):
    """Images and their masks to one vector a layer, what is added to ``w_avg``: ``[N, num_ws, w_dim]``.

    Kept of the paper's: a residual network that is given the mask as a fourth channel, so that it can tell a hidden pixel from a grey one. The
    paper's is a ResNet-34 at 256 px that ends in the means of a map of codes; here it is pSp's network
    (:class:`~ganinv.encoders.style.StyleEncoder`) at the generator's resolution, so that it can begin as pSp, which it is where nothing is hidden
    and nothing was learned yet. That the result is an offset from ``w_avg`` is ours.
    """

    def __init__(self, resolution: int, num_ws: int, w_dim: int):
        super().__init__()
        self.config: dict[str, Any] = dict(resolution=resolution, num_ws=num_ws, w_dim=w_dim)
        self.num_ws, self.w_dim = num_ws, w_dim
        self.body = StyleEncoder(resolution, num_ws, w_dim, in_channels=4)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Offsets from images ``[N, 3, R, R]`` in [-1, 1] and masks ``[N, 1, R, R]``, 1 where a pixel is known."""
        return self.body(torch.cat([x * mask, mask], dim=1))

    @torch.no_grad()
    def begin_as(self, start: StyleEncoder) -> None:
        """Take over pSp's weights, and pay no attention to the mask yet.

        Raises:
            GanInvError: it is an encoder of another form, such as e4e's.
        """
        if start.config != self.body.config | {"in_channels": 3}:
            raise GanInvError(
                "Ensemble's encoder begins as one of pSp for the same generator: train that first, or leave out --start."
            )
        own, given = self.body.state_dict(), start.state_dict()
        stem = "trunk.stem.0.weight"
        given[stem] = torch.cat([given[stem].to(own[stem]), torch.zeros_like(own[stem][:, 3:])], dim=1)
        self.body.load_state_dict(given)
