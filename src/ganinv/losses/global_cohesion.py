r"""Global cohesion: go on training the GAN while one image is pinned, so that the rest of the manifold stays where it is.

.. math::

    L_\mathrm{global} = \mathbb{E}_x[\log D(x)] + \mathbb{E}_z[\log(1 - D(G(z)))]

(*Near Perfect GAN Inversion*, 2022) is the GAN's own loss, over its training images :math:`x` and random :math:`z`; both players minimise
their side in the non-saturating form of :mod:`ganinv.losses.adversarial`. Where the training images are not at hand, samples of the
generator as it was before can stand in for them: :class:`GeneratorReals`. That is our substitute, not the paper's.
"""

from __future__ import annotations

import copy
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..devices import randn
from ..stylegan2 import Generator
from .adversarial import discriminator_loss, generator_loss


def global_cohesion(G: Generator, D: nn.Module, z: Tensor) -> Tensor:
    """The generator's side of :math:`L_global`, a scalar, for random ``z`` ``[N, z_dim]``; every image gets fresh noise."""
    return generator_loss(D(G(z, noise_mode="random")))


def global_cohesion_discriminator(G: Generator, D: nn.Module, z: Tensor, reals: Tensor) -> Tensor:
    """The discriminator's side of :math:`L_global`, a scalar, for ``z`` ``[N, z_dim]`` and real images ``[M, 3, R, R]`` in [-1, 1].

    No gradient reaches the generator. R1 (:func:`ganinv.losses.adversarial.r1_penalty`) is left to the caller.
    """
    with torch.no_grad():
        fakes = G(z, noise_mode="random")
    return discriminator_loss(D(reals), D(fakes))


class Reals(Protocol):
    """An endless, seeded source of the images that stand for "real", whose place in the sequence can be saved and restored."""

    def batch(self, n: int) -> Tensor:
        """The next ``n`` images, ``[n, 3, R, R]`` in [-1, 1]."""
        ...

    def get_state(self) -> dict[str, Any]: ...

    def set_state(self, state: dict[str, Any]) -> None: ...


class RealImages:
    """Training images in random order, each once a pass and mirrored half of the time.

    The sequence depends on the seed alone, not on the sizes of the batches it is drawn in, so its state is one number.

    Args:
        images: uint8 ``[M, 3, R, R]``.
        seed: non-negative.
        mirror: flip left and right at random.
        device: where the batches go.
    """

    def __init__(self, images: Tensor, seed: int = 0, mirror: bool = True, device: torch.device | str = "cpu"):
        if images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
            raise ValueError(f"images must be uint8 [M, 3, R, R], not {images.dtype} {list(images.shape)}")
        self.images, self.seed, self.mirror, self.device = images, seed, mirror, device
        self.set_state({"seed": seed, "drawn": 0})

    def batch(self, n: int) -> Tensor:
        """The next ``n`` images, float ``[n, 3, R, R]`` in [-1, 1]."""
        indices, flips = [], []
        for _ in range(n):
            epoch, i = divmod(self.drawn, len(self.images))
            if epoch != self._epoch:
                self._shuffle(epoch)
            indices.append(self._order[i])
            flips.append(self._flip[i])
            self.drawn += 1
        images = (
            self.images[torch.from_numpy(np.array(indices, dtype=np.int64))].to(self.device, torch.float32) / 127.5 - 1
        )
        if not self.mirror:
            return images
        return torch.where(
            torch.from_numpy(np.array(flips, dtype=bool)).to(self.device)[:, None, None, None], images.flip(3), images
        )

    def _shuffle(self, epoch: int) -> None:
        rng = np.random.default_rng([self.seed, epoch])
        self._epoch, self._order, self._flip = (
            epoch,
            rng.permutation(len(self.images)),
            rng.random(len(self.images)) < 0.5,
        )

    def get_state(self) -> dict[str, Any]:
        """A JSON-able state: the seed, and how many images have been drawn."""
        return {"seed": self.seed, "drawn": self.drawn}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`get_state` was called."""
        self.seed, self.drawn = int(state["seed"]), int(state["drawn"])
        self._shuffle(self.drawn // len(self.images))


class GeneratorReals:
    """Samples of a frozen copy of the generator, in place of training images (``reals="generator"``).

    They hold the manifold to what the generator made before, its faults included.

    Args:
        G: copied, as it is now.
        seed: any integer.
        truncation_psi: below 1, the reals are more typical but less varied.
    """

    def __init__(self, G: Generator, seed: int = 0, truncation_psi: float = 1.0):
        self.G = copy.deepcopy(G).eval().requires_grad_(False)
        self.truncation_psi = truncation_psi
        self._random = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def batch(self, n: int) -> Tensor:
        """The next ``n`` images, ``[n, 3, R, R]``, clamped to [-1, 1], each with its own noise."""
        z = randn([n, self.G.z_dim], self._random, self.G.device)
        noise = self.G.synthesis.random_noise(n, self._random)
        return self.G.synthesis(self.G.mapping(z, self.truncation_psi), noise=noise).clamp(-1, 1)

    def get_state(self) -> dict[str, Any]:
        """The state of the random numbers; the weights are not part of it."""
        return {"random": self._random.get_state().clone()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`get_state` was called, for a copy of the same generator."""
        self._random.set_state(state["random"])
