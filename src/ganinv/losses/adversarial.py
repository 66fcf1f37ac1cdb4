r"""The non-saturating logistic GAN loss with R1 and path-length regularisation, as StyleGAN2 is trained.

With logits :math:`D(\cdot)` and :math:`\mathrm{sp}(t) = \mathrm{softplus}(t) = \log(1 + e^t)`,

.. math::

    L_G = \mathbb{E}_z\, \mathrm{sp}(-D(G(z))), \qquad
    L_D = \mathbb{E}_x\, \mathrm{sp}(-D(x)) + \mathbb{E}_z\, \mathrm{sp}(D(G(z))), \qquad
    R_1 = \mathbb{E}_x \lVert \nabla_x D(x) \rVert^2 .

The discriminator's side is Goodfellow et al. 2014's :math:`-\mathbb{E}_x \log D(x) - \mathbb{E}_z \log(1 - D(G(z)))` with
:math:`D` read as a probability through the sigmoid; the generator's side replaces :math:`\log(1 - D)` by :math:`-\log D`, whose gradient does
not vanish while the discriminator wins. Near-perfect inversion uses the same two sides for a single pair: the target as the only real
image, its reconstruction as the only fake (:math:`L_\mathrm{adv\,local}`).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def generator_loss(logits_fake: Tensor) -> Tensor:
    """:math:`L_G`, a scalar, from the logits ``[N, 1]`` of generated images."""
    return F.softplus(-logits_fake).mean()


def discriminator_loss(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """:math:`L_D`, a scalar, from the logits of real images ``[M, 1]`` and of generated images ``[N, 1]`` (detached from the generator)."""
    return F.softplus(-logits_real).mean() + F.softplus(logits_fake).mean()


def r1_from_logits(logits_real: Tensor, real: Tensor) -> Tensor:
    r""":math:`R_1` when the logits are known, one for each real image; ``real`` must have required gradients before they were computed.

    Sharing them saves the discriminator a pass over the real images. Of ``real``, any shape will do, ``[N, 3, R, R]`` for images.
    """
    (gradient,) = torch.autograd.grad(logits_real.sum(), real, create_graph=True)
    return gradient.square().sum() / logits_real.numel()


def r1_penalty(D: nn.Module, real_images: Tensor) -> Tensor:
    r""":math:`R_1` (Mescheder et al. 2018), a scalar, for real images ``[N, 3, R, R]`` in [-1, 1].

    It is neither halved nor weighted: the discriminator minimises :math:`\frac{\gamma}{2} R_1` beside :math:`L_D`, and where the penalty is
    computed only every k-th step (*lazy regularisation*, k = 16), k times that.
    """
    real_images = real_images.detach().requires_grad_()
    return r1_from_logits(D(real_images), real_images)


def path_length_penalty(images: Tensor, ws: Tensor, mean_length: Tensor, decay: float = 0.01) -> tuple[Tensor, Tensor]:
    r"""Path-length regularisation (StyleGAN2, Sec. 3.2), which asks a step in W to change the image by a fixed amount.

    .. math::

        \mathbb{E}_{w, y} \left( \lVert J_w^T y \rVert_2 - a \right)^2, \qquad y \sim \mathcal{N}(0, I) / \sqrt{HW}

    where :math:`a` follows the mean length and :math:`\lVert \cdot \rVert_2^2` is averaged over the layers that receive :math:`w`.

    Args:
        images: ``[N, 3, H, W]``, the output of ``G.synthesis(ws)``.
        ws: ``[N, num_ws, w_dim]``, requiring gradients.
        mean_length: the running mean :math:`a`, a scalar tensor, 0 at first.
        decay: weight of the new lengths in the running mean.

    Returns:
        the penalty (a scalar, to be weighted by 2, and by k when computed every k-th step) and the new ``mean_length``.
    """
    noise = torch.randn_like(images, device="cpu").to(images.device) / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
    lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
    mean_length = mean_length.lerp(lengths.detach().mean(), decay)
    return (lengths - mean_length).square().mean(), mean_length
