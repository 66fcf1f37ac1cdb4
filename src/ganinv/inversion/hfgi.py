r"""HFGI: what e4e's image lacks, fed into the generator's feature maps (Wang et al. 2022, "High-fidelity GAN inversion for image attribute editing").

A code is too small for all of a photo. The rest is the *distortion map*; two networks bring it back:

.. math::

    \Delta = x - G(w^+), \qquad (g, h) = E_c\big(\mathrm{ADA}(\Delta, G(w))\big), \qquad F \leftarrow F \odot (1 + g) + h

:math:`w^+` is e4e's code, :math:`w` the code to be drawn: :math:`w^+` itself at inversion, an edited one later. *Adaptive distortion alignment*
(ADA) moves the map to where the features of :math:`G(w)` now are, the consultation encoder :math:`E_c` turns it into a gain and a shift for the
feature maps F of the layer ``conv0`` at a quarter of the size (64 px for the authors' inputs of 256 px, 16 px for 64).

Kept from the authors' code: both networks' stages and skips, the layer that is fused, the order of the steps. Scaled: the widths, 16, 24, 32, 48 in
ADA (16, 32, 48, 64 there) and 16, 32, 64 in the consultation encoder (32, 48, 64 there), heads as wide as the feature maps, and two residual units a
stage (three there), one in ADA's last. Ours: the units have squeeze and excitation; ADA ends in a convolution, where theirs ends in a unit; and both
heads end at zero, so that an untrained network leaves e4e's image as it is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..run import Callback, Resume
from ..stylegan2 import Generator
from ..stylegan2.generator import Fusion
from .backbone import INPUT_SIZE, PReLU, Unit
from .psp import Encode, encode
from .result import Inversion, config_dict
from .weights import encoder_for

if TYPE_CHECKING:
    from ..zoo import Bundle


@dataclass(frozen=True)
class HFGI:
    """One pass of e4e, and one of the consultation.

    Attributes:
        encoder: name of a :class:`Consultation` that ships with the bundle, or the file of one.
        basic_encoder: the encoder that gives the code: the one that the consultation was trained with.
        consult: without it, the result is that of ``basic_encoder``.
    """

    encoder: str = "hfgi"
    basic_encoder: str = "e4e"
    consult: bool = True


def hfgi(gan: Bundle, target: Tensor, config: HFGI | None = None, callback: Callback | None = None, resume: Resume | None = None) -> Inversion:
    """Invert photos ``[N, 3, R, R]`` in [-1, 1]: e4e's code, and the ``fusion`` that brings back what its image lacks.

    Raises:
        GanInvError: the photos are not finite, or not of the generator's resolution, or the bundle has no such encoder.
    """
    config = config or HFGI()
    start = time.perf_counter()
    inversion = encode("hfgi", gan, target, Encode(config.basic_encoder), callback, resume)
    if config.consult:
        consultation = encoder_for("hfgi", gan, config.encoder, Consultation)
        image = low_fidelity(gan.G, inversion.ws)
        inversion.fusion, inversion.initial = _fusion(consultation, gan.G, target, image, image), image
    inversion.config, inversion.seconds = config_dict(config), time.perf_counter() - start
    return inversion


def edit(inversion: Inversion, ws: Tensor) -> Tensor:
    """Draw an inversion by :func:`hfgi` with edited codes ``[N, num_ws, w_dim]``, its distortion map aligned to the edited image: ``[N, 3, R, R]``.

    With ``inversion.ws`` it is the reconstruction. :meth:`Inversion.render` instead leaves the details where they were before the edit.

    Raises:
        GanInvError: the bundle does not have the consultation that made the inversion.
    """
    if inversion.fusion is None:  # inverted with consult=False
        return inversion.render(ws)
    consultation, G = encoder_for("hfgi", inversion.gan, inversion.config["encoder"], Consultation), inversion.gan.G
    fusion = _fusion(consultation, G, inversion.target, low_fidelity(G, inversion.ws), low_fidelity(G, ws))
    return replace(inversion, fusion=fusion).render(ws)


def low_fidelity(G: Generator, ws: Tensor) -> Tensor:
    """The image ``[N, 3, R, R]`` of the code alone, clamped to [-1, 1]."""
    with torch.no_grad():
        return G.synthesis(ws).clamp(-1, 1)


def _fusion(consultation: Consultation, G: Generator, target: Tensor, reconstruction: Tensor, image: Tensor) -> dict[str, Fusion]:
    """What to fuse into the feature maps of ``image`` so that it gets what ``reconstruction`` lacks of ``target``."""
    with torch.no_grad():
        return consultation(consultation.scaled(target - reconstruction), consultation.scaled(image))[0]


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
            raise ValueError(f"HFGI fuses a layer at a quarter of the resolution, and there is none for {resolution} px: 32 px is the least")
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
    return nn.Sequential(nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), PReLU(channels))


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
