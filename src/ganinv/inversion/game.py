r"""The game that goes on while the generator is tuned: the discriminator's move, then the generator's.

.. math::

    L_\mathrm{adv\,local} + L_\mathrm{global}

share one discriminator and one pass of it: the photo stands among the real images and its reconstruction among the fakes, each weighed apart
from the others.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..losses.adversarial import r1_from_logits
from ..losses.global_cohesion import GeneratorReals, RealImages, Reals
from .clone import Fakes

if TYPE_CHECKING:
    from ..zoo import Bundle


class Game:
    r"""A copy of the discriminator that plays on.

    Args:
        D: the discriminator to copy; never changed.
        reals: the images that stand for "real".
        lambda_adv, lambda_global: weights of the photo's part and of all others'.
        lr: Adam's learning rate.
        r1: weight of :math:`R_1` where it is due.
    """

    def __init__(self, D: nn.Module, reals: Reals, lambda_adv: float, lambda_global: float, lr: float, r1: float):
        self.D, self.reals, self.lambda_adv, self.lambda_global, self.r1 = (
            copy.deepcopy(D),
            reals,
            lambda_adv,
            lambda_global,
            r1,
        )
        self.adam = torch.optim.Adam(self.D.requires_grad_(True).parameters(), lr=lr, betas=(0.0, 0.99), fused=True)

    @property
    def state(self) -> dict[str, Any]:
        """What an interrupted run keeps."""
        return {"D": self.D, "adam_D": self.adam, "reals": self.reals}

    def judge(self, x: Tensor, fake: Fakes, penalised: bool) -> dict[str, Tensor]:
        r"""The discriminator's move: up at the photos ``x`` ``[n, 3, R, R]`` (where they are pinned) and the real images, down at the fakes.

        Returns:
            ``loss_D``, and ``r1`` where it was ``penalised``.
        """
        real = self.reals.batch(len(fake.others))
        if fake.pinned:
            real = torch.cat([x, real])
        logits_real = self.D(real.requires_grad_(penalised))
        loss = self._weigh(*by_part(logits_real, fake.pinned, sign=-1)) + self._weigh(
            *by_part(self.D(fake.images.detach()), fake.pinned, sign=1)
        )
        row = {}
        if penalised:
            row["r1"] = r1_from_logits(logits_real, real)
            loss = loss + self.r1 * row["r1"]
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return {**row, "loss_D": loss}

    def persuade(self, fake: Fakes) -> tuple[dict[str, Tensor], Tensor]:
        """The generator's move: up at its fakes.

        Returns:
            the terms ``adv_local`` ``[pinned]`` and ``global`` (a scalar), as far as there are such images, and their weighted sum.
        """
        self.D.requires_grad_(False)
        local, rest = by_part(self.D(fake.images), fake.pinned, sign=-1)
        self.D.requires_grad_(True)
        terms = ({"adv_local": local} if fake.pinned else {}) | ({"global": rest} if len(fake.others) else {})
        return terms, self._weigh(local, rest)

    def _weigh(self, local: Tensor, rest: Tensor) -> Tensor:
        """Both parts of an adversarial loss, weighted, a scalar; ``local`` (by its mean) may be empty."""
        return self.lambda_global * rest + self.lambda_adv * local.sum() / max(len(local), 1)


def new_game(
    gan: Bundle,
    reals: str,
    seed: int,
    lambda_adv: float,
    lambda_global: float,
    lr: float,
    r1_gamma: float,
    r1_interval: int,
) -> Game | None:
    """The game with the bundle's discriminator, or ``None`` where it has none, or where no adversarial term counts.

    Args:
        reals: ``"reference"`` (the bundle's training images, where it has them) or ``"generator"`` (samples of the untouched generator).
        r1_interval: how many of the discriminator's moves lie between two that are penalised, with as many times the weight.
    """
    if gan.D is None or not (lambda_adv or lambda_global):
        return None
    reference = gan.reference if reals == "reference" else None
    images = GeneratorReals(gan.G, seed) if reference is None else RealImages(reference, seed, device=gan.device)
    return Game(gan.D, images, lambda_adv, lambda_global, lr, r1_gamma / 2 * r1_interval)


def by_part(logits: Tensor, pinned: int, sign: int) -> tuple[Tensor, Tensor]:
    """``softplus(sign * logit)`` of each pinned image (they come first), ``[pinned]``, and its mean over the others."""
    losses = F.softplus(sign * logits[:, 0])
    return losses[:pinned], losses[pinned:].mean() if len(losses) > pinned else losses.new_zeros([])
