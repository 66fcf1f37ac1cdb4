"""Between two generators of one ancestor: networks whose weights are mixed, number by number.

Generators that were trained on from the same weights can be mixed like that, since the same channel still does about the same in both (*deep
network interpolation*, Wang et al. 2019). Blocks may be mixed apart, the coarse from one and the fine from the other (Pinkney and Adler 2020).
"""

from __future__ import annotations

import copy

import torch

from ..errors import GanInvError
from .generator import Generator


def between(G: Generator, other: Generator, t: float, above: int = 0) -> Generator:
    r"""A frozen copy of ``G`` with the weights and buffers :math:`(1 - t)\,\theta_G + t\,\theta_\mathrm{other}`: ``G`` at 0, ``other`` at 1.

    Args:
        t: any number; beyond [0, 1] the change goes on.
        above: leave the mapping network and all blocks of at most that many pixels as they are in ``G``; 0 mixes everything.

    Raises:
        GanInvError: the two are not of the same sizes.
    """
    if G.config != other.config:
        raise GanInvError("only generators of the same sizes can be mixed: train one on from the other.")
    mixed = copy.deepcopy(G).eval().requires_grad_(False)
    theirs = other.state_dict()
    with torch.no_grad():
        for name, tensor in mixed.state_dict().items():
            if above and not (name.startswith("synthesis.b") and _pixels(name) > above):
                continue
            if tensor.is_floating_point():
                tensor.copy_((1 - t) * tensor + t * theirs[name].to(tensor))
    return mixed


def _pixels(name: str) -> int:
    """Of the block in ``"synthesis.b16.conv0.weight"``: 16."""
    return int(name.split(".")[1][1:])
