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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import torch
from torch import Tensor, nn

from ..encoders.consultation import Consultation
from ..encoders.weights import encoder_for, identity
from ..errors import GanInvError
from ..run import Callback, Resume
from ..settings import Checked, Switch, encoder_of
from ..stylegan2 import Generator
from ..stylegan2.controls import Controls
from .chunks import in_chunks
from .psp import Encode, encode
from .register import PASSES, method
from .result import Inversion, config_dict

if TYPE_CHECKING:
    from ..zoo import Bundle


@dataclass(frozen=True)
class HFGI(Checked):
    """One pass of e4e, and one of the consultation.

    Attributes:
        encoder: name of a :class:`Consultation` that ships with the bundle, or the file of one.
        basic_encoder: the encoder that gives the code: the one that the consultation was trained with.
        consult: without it, the result is that of ``basic_encoder``.
    """

    encoder: Annotated[str, encoder_of("hfgi")] = "hfgi"
    basic_encoder: Annotated[str, encoder_of("psp", "e4e")] = "e4e"
    consult: Switch = True


def aligned(inversion: Inversion, ws: Tensor, styles: Mapping[str, Tensor]) -> Controls:
    """The fusion for other codes: the photo's distortion map, moved to where the edited image now has the features that it belongs to."""
    if not inversion.controls:  # inverted with consult=False
        return inversion.controls
    consultation, G = encoder_for("hfgi", inversion.gan, inversion.config["encoder"], Consultation), inversion.gan.G
    return _fusion(consultation, G, inversion.target, low_fidelity(G, inversion.ws), low_fidelity(G, ws, styles))


def low_fidelity(G: Generator, ws: Tensor, styles: Mapping[str, Tensor] | None = None) -> Tensor:
    """The image ``[N, 3, R, R]`` of the code alone, clamped to [-1, 1]."""
    with torch.no_grad():
        return G.synthesis(ws, styles=styles).clamp(-1, 1)


def _fusion(
    consultation: Consultation, G: Generator, target: Tensor, reconstruction: Tensor, image: Tensor
) -> Controls:
    """What to fuse into the feature maps of ``image`` so that it gets what ``reconstruction`` lacks of ``target``."""
    with torch.no_grad():
        return Controls.of(
            fusion=consultation(consultation.scaled(target - reconstruction), consultation.scaled(image))[0]
        )


def _check_pair(consultation: Consultation, basic: nn.Module, config: HFGI) -> None:
    """A consultation knows the faults of the encoder that it was trained over, and of no other."""
    trained_over = cast("dict[str, Any]", consultation.card).get("basic_encoder")
    if trained_over is not None and trained_over != identity(basic):
        raise GanInvError(
            f"the consultation {config.encoder} was trained over another encoder than {config.basic_encoder}: name that one as basic_encoder."
        )


@method("hfgi", HFGI(), "e4e, and what it missed fused into the features", PASSES, recipe="hfgi", adapt=aligned)
@in_chunks(64)
def hfgi(
    gan: Bundle,
    target: Tensor,
    config: HFGI | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Inversion:
    """Invert photos ``[N, 3, R, R]`` in [-1, 1]: e4e's code, and the ``fusion`` that brings back what its image lacks.

    :meth:`Inversion.render` draws other codes with the fusion :func:`aligned` to them.

    Raises:
        GanInvError: the photos are not finite, or not of the generator's resolution, or the bundle has no such encoder.
    """
    config = config or HFGI()
    start = time.perf_counter()
    inversion = encode("hfgi", gan, target, Encode(config.basic_encoder), callback, resume)
    if config.consult:
        consultation = encoder_for("hfgi", gan, config.encoder, Consultation)
        _check_pair(consultation, gan.encoder(config.basic_encoder), config)
        image = low_fidelity(gan.G, inversion.ws)
        inversion.controls = _fusion(consultation, gan.G, target, image, image)
        inversion.initial = image
    inversion.config, inversion.seconds = config_dict(config), time.perf_counter() - start
    return inversion
