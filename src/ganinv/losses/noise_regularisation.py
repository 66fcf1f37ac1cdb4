r"""Keep optimised noise maps noise: uncorrelated with their neighbours at every scale (StyleGAN2, App. D).

.. math::

    L_\mathrm{noise} = \sum_i \sum_{j} \Big( \tfrac{1}{r^2} \sum_{x,y} n_{ij}(x, y)\, n_{ij}(x - 1, y) \Big)^2
                     + \Big( \tfrac{1}{r^2} \sum_{x,y} n_{ij}(x, y)\, n_{ij}(x, y - 1) \Big)^2

over the noise maps :math:`n_{i0}` and their versions :math:`n_{i,j+1}`, averaged over 2x2 pixels, down to 8 pixels; maps wrap around.
Without it, the image itself would be painted into the noise. The projector weighs it by 1e5.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_SIZE = 8


def _correlation(maps: Tensor, dim: int) -> Tensor:
    """Sum over the maps ``[N, K, r, r]`` of the squared mean product with the neighbour along ``dim``: ``[N]``."""
    return (maps * maps.roll(1, dims=dim)).mean(dim=(2, 3)).square().sum(dim=1)


def noise_regularisation(noise: Mapping[str, Tensor]) -> Tensor:
    """:math:`L_noise` of each image, ``[N]``; add them up for a batch whose images are optimised side by side.

    Args:
        noise: maps by layer, ``[N or 1, 1, r, r]``, r a power of two (``G.synthesis.noise()`` has this form).
    """
    batch = max(n.shape[0] for n in noise.values())
    by_size: dict[int, list[Tensor]] = {}
    for n in noise.values():
        by_size.setdefault(n.shape[-1], []).append(n.expand(batch, -1, -1, -1))
    levels = []
    while by_size:  # from the largest down; averaged maps join those that already have their size
        size = max(by_size)
        maps = torch.cat(by_size.pop(size), dim=1)
        levels.append(_correlation(maps, 3) + _correlation(maps, 2))
        if size > MIN_SIZE:
            by_size.setdefault(size // 2, []).append(F.avg_pool2d(maps, 2))
    return torch.stack(levels).sum(dim=0)


@torch.no_grad()
def normalise_noise_(noise: Mapping[str, Tensor]) -> None:
    """Shift every map ``[N, 1, r, r]`` to zero mean and scale it to unit root mean square, in place, after each step of the optimiser."""
    for n in noise.values():
        n -= n.mean(dim=(2, 3), keepdim=True)
        n *= (n.square().mean(dim=(2, 3), keepdim=True) + 1e-12).rsqrt()
