r"""e4e: an encoder that stays near W, so that its codes can be edited (Tov et al. 2021, "Designing an encoder for StyleGAN image manipulation").

.. math::

    w^+_0 = \bar w + E_0(x), \qquad w^+_i = w^+_0 + \Delta_i(x)

One vector for all layers and an offset for each: :class:`ganinv.encoders.style.StyleEncoder` with ``progressive``. Training
(:mod:`ganinv.training.e4e`) unlocks the offsets one after the other, keeps them small, and has a critic that tells the codes from those of the
mapping network: :class:`LatentCritic`. At inversion it is one pass, like pSp's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..run import Callback, Resume
from .chunks import in_chunks
from .psp import Encode, encode
from .register import ENCODER, method
from .result import Inversion

if TYPE_CHECKING:
    from ..zoo import Bundle

E4E = Encode(encoder="e4e")


@method("e4e", E4E, "one pass of an encoder that stays near W", ENCODER, recipe="e4e")
@in_chunks(64)
def e4e(
    gan: Bundle,
    target: Tensor,
    config: Encode | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Inversion:
    """Invert photos ``[N, 3, R, R]`` in [-1, 1] by one pass of e4e's encoder.

    Raises:
        GanInvError: the photos are not finite, or not of the generator's resolution, or the bundle has no such encoder.
    """
    return encode("e4e", gan, target, config or E4E, callback, resume)


class LatentCritic(nn.Module):
    """Tells a w of the mapping network from an encoder's: four linear layers (Nitzan et al. 2020), a logit ``[N, 1]`` for ``[N, w_dim]``."""

    def __init__(self, w_dim: int):
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Linear(w_dim, w_dim), nn.LeakyReLU(0.2)]
        self.net = nn.Sequential(*layers, nn.Linear(w_dim, 1))

    def forward(self, w: Tensor) -> Tensor:
        return self.net(w)
