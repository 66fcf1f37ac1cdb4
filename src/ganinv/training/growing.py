"""Progressive growing (Karras et al. 2018) for StyleGAN2: carry both networks from one resolution to the next.

The skip generator grows naturally: its new block adds an RGB contribution that is faded in (``rgb_gain`` in ``synthesis``).
The discriminator blends its new block with the old way in (:class:`FadingDiscriminator`).
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from ..stylegan2 import Discriminator, Generator
from ..stylegan2.discriminator import Conv2dLayer, DiscriminatorBlock
from ..stylegan2.ops import downsample2d


def grow_generator(G: Generator, img_resolution: int) -> Generator:
    """A generator of ``img_resolution`` that keeps every weight of ``G``; the new blocks start at random."""
    grown = Generator(**{**G.config, "img_resolution": img_resolution})
    grown.load_state_dict({**grown.state_dict(), **G.state_dict()})
    return grown


def grow_discriminator(D: Discriminator, img_resolution: int) -> tuple[Discriminator, Conv2dLayer]:
    """A discriminator of ``img_resolution`` that keeps every weight of ``D`` but its fromRGB layer, which is returned for the fade."""
    grown = Discriminator(**{**D.config, "img_resolution": img_resolution})
    fromrgb = cast(Conv2dLayer, D.get_submodule(f"b{D.img_resolution}.fromrgb"))
    kept = {key: value for key, value in D.state_dict().items() if "fromrgb" not in key}
    grown.load_state_dict({**grown.state_dict(), **kept})
    return grown, copy.deepcopy(fromrgb)


class FadingDiscriminator(nn.Module):
    """``D`` while its top block is faded in: features = lerp(old fromRGB of the halved image, new block of the image, alpha)."""

    def __init__(self, D: Discriminator, old_fromrgb: Conv2dLayer | None = None):
        super().__init__()
        self.D, self.old_fromrgb = D, old_fromrgb
        self.alpha = 1.0

    def forward(self, img: Tensor) -> Tensor:
        if self.old_fromrgb is None or self.alpha >= 1:
            return self.D(img)
        top, *rest = (cast(DiscriminatorBlock, self.D.get_submodule(f"b{res}")) for res in self.D.block_resolutions)
        x = torch.lerp(self.old_fromrgb(downsample2d(img, top.resample_filter)), top(img), self.alpha)
        for block in rest:
            x = block(x)
        return self.D.b4(x)
