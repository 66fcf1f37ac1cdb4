r"""HFGI: what e4e's image lacks, fed into the generator's feature maps (Wang et al. 2022, "High-fidelity GAN inversion for image attribute editing").

A code is too small for all of a photo. The rest is the *distortion map*; two networks bring it back:

.. math::

    \Delta = x - G(w^+), \qquad (g, h) = E_c\big(\mathrm{ADA}(\Delta, G(w))\big), \qquad F \leftarrow F \odot (1 + g) + h

:math:`w^+` is e4e's code, :math:`w` the code to be drawn: :math:`w^+` itself at inversion, an edited one later. *Adaptive distortion alignment*
(ADA) moves the map to where the features of :math:`G(w)` now are, the consultation encoder :math:`E_c` turns it into a gain and a shift for the
feature maps F of the layer ``conv0`` at a quarter of the size (64 px for the authors' inputs of 256 px, 16 px for 64).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..encoders.consultation import Consultation
from ..encoders.weights import encoder_for
from ..run import Callback, Resume
from ..stylegan2 import Generator
from ..stylegan2.generator import Fusion
from .psp import Encode, encode
from .result import Inversion, config_dict

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
