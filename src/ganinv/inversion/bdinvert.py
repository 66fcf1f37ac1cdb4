r"""BDInvert: a feature map in place of the coarse layers, besides a code for the fine ones (Kang et al. 2021, the space F/W+).

.. math::

    (f, w^+) = \arg\min \; \lVert x - \hat x \rVert^2 + \lambda_\mathrm{p}\, d(x, \hat x) + \lambda_f \lVert f - f_0 \rVert^2
    + \lambda_n \lVert n(w^+) \rVert^2, \qquad \hat x = G(f, w^+), \quad f_0 = E_f(x)

The *base code* f replaces the output of an early layer, with it all that comes before, and the RGB summed up so far. It keeps its position in
the image, so that a face which is shifted or turned, and which no code can draw, is within reach; the *detail code* w+ steers the layers
after it and is what an edit moves. An encoder gives f's start and holds it there; :math:`n` is the norm of P-norm+ space, which holds w+ among the
codes that the mapping network makes (Zhu et al. 2020):

.. math::

    p = \mathrm{LeakyReLU}_{5}(w), \qquad n(w) = \Lambda^{-1/2} C^\top (p - \mu)

with :math:`\mu, C, \Lambda` the mean, the principal axes and the variances of p: the slope 5 undoes the mapping network's last activation, of slope
.2, and before it codes are close to a Gaussian. All norms are means over their entries.

Rows of w+ that only layers before the base read (the first two, for a base of 8x8) change nothing in the image; :math:`n` alone moves them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from ..encoders.base_code import BaseCodeEncoder
from ..encoders.weights import encoder_for
from ..perception.features import EFFICIENTNET
from ..run import Callback, Loop, Resume
from ..settings import Checked, Count, Several, Weight, encoder_of
from ..stylegan2.controls import Controls
from .chunks import in_chunks
from .register import SEARCH, method
from .result import Inversion, config_dict

if TYPE_CHECKING:
    from ..zoo import Bundle


@dataclass(frozen=True)
class PNormSpace:
    """The coordinates n(w), in which the mapping network's codes have mean 0 and the identity as covariance.

    Attributes:
        mean: :math:`\\mu` ``[w_dim]``.
        axes: :math:`C`, the principal axes as columns ``[w_dim, w_dim]``.
        scale: root of the variance along each, ``[w_dim]``.
    """

    mean: Tensor
    axes: Tensor
    scale: Tensor

    @classmethod
    def of(cls, gan: Bundle, samples: int = 100_000) -> PNormSpace:
        """From ``samples`` random codes (the paper takes a million, in 512 dimensions). Directions without variance count as a millionth of the
        largest one."""
        z = gan.randn([samples, gan.G.z_dim], torch.Generator().manual_seed(123))
        with torch.no_grad():
            p = to_p(gan.G.mapping(z)[:, 0])
        variance, axes = torch.linalg.eigh(torch.cov(p.t()).cpu())  # not every device has it
        return cls(p.mean(dim=0), gan.place(axes), gan.place(variance.clamp(min=1e-6 * variance.max().item()).sqrt()))

    def __call__(self, ws: Tensor) -> Tensor:
        """n(w) of codes ``[..., w_dim]``, the same shape."""
        return (to_p(ws) - self.mean) @ self.axes / self.scale


def to_p(ws: Tensor) -> Tensor:
    """Codes before the mapping network's last LeakyReLU (up to its constant gain): ``w`` where it is positive, ``5 w`` where it is negative."""
    return F.leaky_relu(ws, 5.0)


@dataclass(frozen=True)
class BDInvert(Checked):
    """The authors' settings, but for the trunk (theirs is VGG16), whose distances are about eight times LPIPS': their weight of 10 is 1.25 here.

    Attributes:
        encoder: name of a base code encoder that ships with the bundle, or the file of one.
        base_weight: holds f at the encoder's guess.
        norm_weight: holds w+ among likely codes; the dial between reconstruction and editing.
        samples: random codes that P-norm+ space is computed from.
    """

    encoder: Annotated[str, encoder_of("bdinvert")] = "bdinvert"
    steps: Count = 1200
    lr: Weight = 0.01
    mse_weight: Weight = 1.0
    perceptual_weight: Weight = 1.25
    base_weight: Weight = 10.0
    norm_weight: Weight = 0.01
    trunk: str = EFFICIENTNET
    samples: Several = 100_000


@method("bdinvert", BDInvert(), "optimise feature maps of an early layer beside w+", SEARCH, recipe="bdinvert")
@in_chunks(8)
def bdinvert(
    gan: Bundle,
    target: Tensor,
    config: BDInvert | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Inversion:
    """Invert photos ``[N, 3, R, R]`` in [-1, 1], all N side by side, with the generator's constant noise; the base codes are ``Inversion.base``.

    Raises:
        GanInvError: the photos are not finite, or not of the generator's resolution, or the bundle has no such encoder.
    """
    from ..perception.perceptual import load_perceptual  # lpips and torchvision take a second or two to import

    config = config or BDInvert()
    began = time.perf_counter() - (resume.seconds if resume else 0.0)
    encoder = encoder_for("bdinvert", gan, config.encoder, BaseCodeEncoder)
    S, n, layer = gan.G.synthesis, len(target), encoder.layer
    space = PNormSpace.of(gan, config.samples)
    perceptual = load_perceptual(config.trunk, target.device) if config.perceptual_weight else None
    w = gan.G.mapping.w_avg.repeat(n, gan.G.num_ws, 1)
    with torch.no_grad():
        features = perceptual.features(target) if perceptual else None
        f0 = encoder(target)
        initial = S(w, base={layer: f0})
    f = f0.clone().requires_grad_()
    w.requires_grad_()
    adam = torch.optim.Adam([f, w], lr=config.lr)
    history: list[dict[str, float]] = []
    loop = Loop("bdinvert", config.steps, callback, resume, f=f, w=w, adam=adam, history=history)
    for step in loop:
        image = S(w, base={layer: f})
        mse = (image - target).square().mean(dim=(1, 2, 3))
        distance = perceptual(image, features) if perceptual and features else torch.zeros_like(mse)
        base = (f - f0).square().mean(dim=(1, 2, 3))
        norm = space(w).square().mean(dim=(1, 2))
        loss = (
            config.mse_weight * mse
            + config.perceptual_weight * distance
            + config.base_weight * base
            + config.norm_weight * norm
        )
        adam.zero_grad()
        loss.sum().backward()  # a sum, so that no photo knows of the others
        adam.step()
        terms = {"mse": mse, "distance": distance, "base": base, "norm": norm}
        history += [
            {"photo": i, "step": step, **{name: term[i].item() for name, term in terms.items()}} for i in range(n)
        ]
        loop.report(**{name: term.mean() for name, term in terms.items()})
    return Inversion(
        "bdinvert",
        gan,
        target,
        w.detach(),
        Controls.of(base={layer: f.detach()}),
        initial=initial,
        history=history,
        seconds=time.perf_counter() - began,
        config=config_dict(config),
    )
