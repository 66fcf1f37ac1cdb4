"""Growing StyleGAN2 while it trains: both networks from one resolution to the next (Karras et al. 2018), or to more channels.

The skip generator grows naturally: its new block adds an RGB contribution that is faded in (``rgb_gain`` in ``synthesis``).
The discriminator blends its new block with the old way in (:class:`FadingDiscriminator`).
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import GanInvError
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


def wider_generator(G: Generator, channel_base: int, channel_max: int) -> Generator:
    """A generator with more channels that draws the same images as ``G``, after Net2WiderNet (Chen, Goodfellow and Shlens 2016).

    The new channels compute random features that nothing listens to yet: their outgoing weights are zero, so training decides their use.

    Raises:
        GanInvError: some layer would lose channels.
    """
    wide = Generator(**{**G.config, "channel_base": channel_base, "channel_max": channel_max})
    return cast(Generator, _embed(G, wide))


def wider_discriminator(D: Discriminator, channel_base: int, channel_max: int) -> Discriminator:
    """A discriminator with more channels that judges as ``D`` does, up to the new channels' share in the minibatch standard deviation."""
    wide = Discriminator(**{**D.config, "channel_base": channel_base, "channel_max": channel_max})
    return cast(Discriminator, _embed(D, wide))


def _embed(net: nn.Module, wide: nn.Module) -> nn.Module:
    """Write the weights of ``net`` into the first channels of ``wide`` and cut the new channels off from the old ones."""
    state = wide.state_dict()
    for key, old in net.state_dict().items():
        new = state[key]
        if any(a > b for a, b in zip(old.shape, new.shape, strict=True)):
            raise GanInvError(
                f"{key} would shrink from {list(old.shape)} to {list(new.shape)}: a network can only be made wider."
            )
        if key.endswith("weight") and old.ndim > 1:
            layer, wide_layer = (n.get_submodule(key.removesuffix(".weight")) for n in (net, wide))
            # Equalised learning rate divides by the square root of the fan-in, which has grown; demodulation has no such factor.
            old = old * (getattr(layer, "weight_gain", 1.0) / getattr(wide_layer, "weight_gain", 1.0))
            new[: len(old)] = 0
        new[tuple(slice(n) for n in old.shape)] = old
        if key == "b4.conv.weight":  # the minibatch standard deviation is the last input channel
            new[: len(old), old.shape[1] - 1] = 0
            new[: len(old), -1] = old[:, -1]
    wide.load_state_dict(state)
    return wide


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
