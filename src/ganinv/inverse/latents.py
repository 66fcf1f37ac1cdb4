r"""Where a search for an image goes: among the codes z (Bora et al. 2017), or in W or W+, which a style-based generator adds.

Random z are on a sphere, because StyleGAN2's mapping network divides z by its length; so :math:`\lVert z \rVert^2`, the prior of Bora et al., says
nothing about the image there. In W and W+ the counterpart does: how far a code is from the average, in units of the spread of random codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from ..inversion.projection import RESTART_PSI
from ..settings import one_of

if TYPE_CHECKING:
    from ..zoo import Bundle

Space = Annotated[str, one_of("z", "w", "w_plus")]


class Latents:
    """The codes of ``n`` images from ``restarts`` starting points each; row ``i * restarts + k`` is image i from start k.

    In Z all starts are random; in W and W+ the first is ``w_avg``, and the others are random codes truncated towards it. All images have the same.

    Attributes:
        values: ``[n * restarts, z_dim]``, or ``[n * restarts, 1 or num_ws, w_dim]``: what is optimised.
    """

    def __init__(self, gan: Bundle, space: str, n: int, restarts: int, seed: int):
        self.gan, self.space, G = gan, space, gan.G
        z = gan.randn([restarts, G.z_dim], torch.Generator().manual_seed(seed))
        if space == "z":
            starts = z
        else:
            with torch.no_grad():
                w = torch.lerp(G.mapping.w_avg, G.mapping(z)[:, :1], RESTART_PSI)
            w[0] = G.mapping.w_avg
            starts = w.expand(-1, G.num_ws if space == "w_plus" else 1, -1)
        self.values = starts.repeat(n, *[1] * (starts.ndim - 1)).requires_grad_()

    @property
    def ws(self) -> Tensor:
        """``[n * restarts, num_ws, w_dim]``."""
        if self.space == "z":
            return self.gan.G.mapping(self.values)
        return self.values.expand(-1, self.gan.G.num_ws, -1)

    def draw(self) -> Tensor:
        """The images ``[n * restarts, 3, R, R]``."""
        return self.gan.G.synthesis(self.ws)

    def prior(self) -> Tensor:
        r""":math:`\lVert z \rVert^2`, or :math:`d \, \lVert w - \bar w \rVert^2 / \sigma_w^2` with d the dimension of w (a mean over the rows of
        W+), ``[n * restarts]``: about the dimension, for random codes."""
        if self.space == "z":
            return self.values.square().sum(dim=1)
        away = (self.values - self.gan.G.mapping.w_avg) / self.gan.sigma_w
        return self.gan.G.w_dim * away.square().sum(dim=2).mean(dim=1)
