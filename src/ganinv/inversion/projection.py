r"""Projection: optimise the latent code (and the noise) of a fixed generator until it draws the photo.

The StyleGAN2 projector (Karras et al. 2020, App. D) with its schedules, in three spaces: *Z* (a teaching baseline with restarts), *W* (one
vector for all layers, the original) and *W+* (one vector a layer, Abdal et al. 2019):

.. math::

    \min_{w, n} \; d(x, G(w + \epsilon_t, n)) + \lambda_n L_\mathrm{noise}(n), \qquad
    \epsilon_t \sim \mathcal N(0, \sigma_t^2), \quad \sigma_t = 0.05\, \sigma_w \max(0, 1 - t / 0.75)^2

with :math:`\sigma_w^2 = \mathbb E \lVert w - \bar w \rVert^2`, :math:`t` running from 0 to 1, and :math:`d` a perceptual distance, an MSE, or both.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..features import EFFICIENTNET
from ..images import check_images
from ..losses.noise_regularisation import noise_regularisation, normalise_noise_
from .loop import Callback, Loop, Resume
from .result import Inversion, config_dict

if TYPE_CHECKING:
    from ..zoo import Bundle


@dataclass(frozen=True)
class Projection:
    """Defaults are NVIDIA's where they have one; ``mse_weight`` and the trunk are ours (theirs is VGG16 alone, at 256 px).

    Attributes:
        space: ``"z"``, ``"w"`` or ``"w_plus"``.
        restarts: starting points tried side by side in Z; the best is kept. (W and W+ start from ``w_avg``.)
        z_prior: weight of ``|z|^2 / z_dim`` in Z (Bora et al. 2017).
        optimise_noise: optimise the noise maps as well (in W and W+).
    """

    space: str = "w_plus"
    steps: int = 500
    lr: float = 0.1
    lr_rampdown: float = 0.25
    lr_rampup: float = 0.05
    initial_noise_factor: float = 0.05
    noise_ramp: float = 0.75
    w_avg_samples: int = 10_000
    perceptual_weight: float = 1.0
    mse_weight: float = 1.0
    trunk: str = EFFICIENTNET
    optimise_noise: bool = True
    regularize_noise_weight: float = 1e5
    restarts: int = 4
    z_prior: float = 1e-3
    seed: int = 303

    def __post_init__(self) -> None:
        if self.space not in ("z", "w", "w_plus"):
            raise ValueError(f"space must be 'z', 'w' or 'w_plus', not {self.space!r}")


def learning_rate(config: Projection, t: float) -> float:
    """Ramp up over the first 5 %, stay, and fall along a cosine over the last 25 % (t from 0 to 1)."""
    down = min(1.0, (1 - t) / config.lr_rampdown)
    return config.lr * (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, t / config.lr_rampup)


def w_statistics(gan: Bundle, samples: int) -> tuple[Tensor, float]:
    """Mean ``w_avg`` ``[w_dim]`` and the scalar spread ``sigma_w`` (root of the mean squared distance) of random w."""
    z = torch.randn(samples, gan.G.z_dim, generator=torch.Generator().manual_seed(123))
    with torch.no_grad():
        w = gan.G.mapping(z)[:, 0]
    w_avg = w.mean(dim=0)
    return w_avg, (w - w_avg).square().sum(dim=1).mean().sqrt().item()


class Distance:
    """``d(x, .)`` for fixed targets: ``perceptual_weight`` times the trunk's distance plus ``mse_weight`` times the MSE, ``[N]``."""

    def __init__(self, target: Tensor, config: Projection):
        from ..losses.perceptual import load_perceptual  # lpips and torchvision take a second or two to import

        self.target, self.config = target, config
        self.perceptual = load_perceptual(config.trunk) if config.perceptual_weight else None
        if self.perceptual:
            with torch.no_grad():
                self.features = self.perceptual.features(target)

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The distance and, for the record, the MSE."""
        mse = (image - self.target).square().mean(dim=(1, 2, 3))
        distance = self.config.mse_weight * mse
        if self.perceptual:
            distance = distance + self.config.perceptual_weight * self.perceptual(image, self.features)
        return distance, mse


def projection(
    gan: Bundle, target: Tensor, config: Projection | None = None, callback: Callback | None = None, resume: Resume | None = None
) -> Inversion:
    """Project photos ``[N, 3, R, R]`` in [-1, 1] into ``config.space``, all N side by side; the optimised noise is returned too.

    Raises:
        GanInvError: the photos are not finite, or not of the generator's resolution.
    """
    config = config or Projection()
    check_images(target, gan.G.img_resolution)
    start = time.perf_counter() - (resume.seconds if resume else 0.0)
    return (_project_z if config.space == "z" else _project_w)(gan, target, config, callback, resume, start)


def _project_w(gan: Bundle, target: Tensor, config: Projection, callback: Callback | None, resume: Resume | None, start: float) -> Inversion:
    G, n = gan.G, len(target)
    w_avg, sigma_w = w_statistics(gan, config.w_avg_samples)
    random = [torch.Generator().manual_seed(config.seed) for _ in range(n)]  # one a photo: a batch gives what single photos give
    rows = G.num_ws if config.space == "w_plus" else 1
    w = w_avg.repeat(n, rows, 1).requires_grad_()
    noise = {name: torch.stack([torch.randn(m.shape[1:], generator=r) for r in random]).requires_grad_() for name, m in G.synthesis.noise().items()}
    if not config.optimise_noise:
        noise = {}
    with torch.no_grad():
        initial = G.synthesis(w_avg.repeat(n, G.num_ws, 1))
    distance = Distance(target, config)
    adam = torch.optim.Adam([w, *noise.values()], lr=config.lr, betas=(0.9, 0.999))
    history: list[dict[str, float]] = []
    loop = Loop(f"projection into {config.space}", config.steps, callback, resume, w=w, noise=noise, adam=adam, history=history, **_named(random))
    for step in loop:
        t = step / config.steps
        adam.param_groups[0]["lr"] = learning_rate(config, t)
        jitter = sigma_w * config.initial_noise_factor * max(0.0, 1 - t / config.noise_ramp) ** 2
        ws = w + jitter * torch.stack([torch.randn(w.shape[1:], generator=r) for r in random])
        image = G.synthesis(ws.expand(-1, G.num_ws, -1), noise=noise)
        d, mse = distance(image)
        loss = d.sum()
        if noise:
            loss = loss + config.regularize_noise_weight * noise_regularisation(noise).sum()
        grads = torch.autograd.grad(loss, [w, *noise.values()])
        for p, g in zip([w, *noise.values()], grads, strict=True):
            p.grad = g
        adam.step()
        normalise_noise_({name: m.data for name, m in noise.items()})
        history += [{"photo": i, "step": step, "distance": d[i].item(), "mse": mse[i].item()} for i in range(n)]
        loop.report(distance=d.mean(), mse=mse.mean())
    ws = w.detach().expand(-1, G.num_ws, -1).clone()
    return Inversion(
        f"projection-{config.space.replace('_', '')}",
        gan,
        target,
        ws,
        {name: m.detach() for name, m in noise.items()} or None,
        initial=initial,
        history=history,
        seconds=time.perf_counter() - start,
        config=config_dict(config),
    )


def _project_z(gan: Bundle, target: Tensor, config: Projection, callback: Callback | None, resume: Resume | None, start: float) -> Inversion:
    G, n, r = gan.G, len(target), config.restarts
    points = torch.randn(r, G.z_dim, generator=torch.Generator().manual_seed(config.seed))
    z = points.repeat(n, 1).requires_grad_()  # row i * r + k: photo i, restart k
    distance = Distance(target.repeat_interleave(r, dim=0), config)
    adam = torch.optim.Adam([z], lr=config.lr)
    history: list[dict[str, float]] = []
    with torch.no_grad():
        initial = G.synthesis(G.mapping(points[:1])).expand(n, -1, -1, -1)
    loop = Loop("projection into z", config.steps, callback, resume, z=z, adam=adam, history=history)
    for step in loop:
        adam.param_groups[0]["lr"] = learning_rate(config, step / config.steps)
        d, mse = distance(G.synthesis(G.mapping(z)))
        loss = d + config.z_prior * z.square().mean(dim=1)
        (z.grad,) = torch.autograd.grad(loss.sum(), z)
        adam.step()
        best = mse.reshape(n, r).min(dim=1).values
        history += [{"photo": i, "step": step, "mse": best[i].item()} for i in range(n)]
        loop.report(distance=d.mean(), mse=best.mean())
    with torch.no_grad():
        ws = G.mapping(z)
        d, _ = distance(G.synthesis(ws))
        winner = d.reshape(n, r).argmin(dim=1) + torch.arange(n) * r
    return Inversion(
        "projection-z", gan, target, ws[winner], initial=initial, history=history, seconds=time.perf_counter() - start, config=config_dict(config)
    )


def _named(random: list[torch.Generator]) -> dict[str, torch.Generator]:
    return {f"random{i}": generator for i, generator in enumerate(random)}
