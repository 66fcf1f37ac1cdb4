r"""Projection: optimise the latent code (and the noise) of a fixed generator until it draws the photo.

The StyleGAN2 projector (Karras et al. 2020, App. D) with its schedules, in three spaces: *Z* (a teaching baseline), *W* (one vector for all
layers, the original) and *W+* (one vector a layer, Abdal et al. 2019), each from one starting point or the best of several; the
first is the mean, or where an encoder puts the photo (the hybrid of Zhu et al. 2016):

.. math::

    \min_{w, n} \; d(x, G(w + \epsilon_t, n)) + \lambda_n L_\mathrm{noise}(n), \qquad
    \epsilon_t \sim \mathcal N(0, \sigma_t^2), \quad \sigma_t = 0.05\, \sigma_w \max(0, 1 - t / 0.75)^2

with :math:`\sigma_w^2 = \mathbb E \lVert w - \bar w \rVert^2`, :math:`t` running from 0 to 1, and :math:`d` a perceptual distance, an MSE, or both.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from ..losses.noise_regularisation import noise_regularisation, normalise_noise_
from ..perception.features import EFFICIENTNET
from ..run import Callback, Loop, Resume
from ..settings import Checked, Count, Divisor, Positive, Seed, SettingError, Share, Switch, Weight, encoder_of, one_of
from ..stylegan2.controls import Controls
from .chunks import in_chunks
from .register import SEARCH, method
from .result import Inversion, config_dict

if TYPE_CHECKING:
    from ..zoo import Bundle


RESTARTS = {"z": 4, "w": 1, "w_plus": 1}
RESTART_PSI = 0.7  # how far towards w_avg the random starting points in W and W+ are drawn in (ours)


@dataclass(frozen=True)
class Projection(Checked):
    """Defaults are NVIDIA's where they have one; restarts, ``mse_weight`` and the trunk are ours (theirs is VGG16 alone, at 256 px).

    Attributes:
        space: ``"z"``, ``"w"`` or ``"w_plus"``.
        lr_rampdown, lr_rampup: parts of the steps over which the learning rate falls and rises; 0 for none.
        restarts: starting points tried side by side, of which the one that ends nearest is kept, photo by photo; 4 in Z and 1 in W and W+ for
            ``None``. In Z all are random; in W and W+ the first is ``w_avg``, and the others are random codes truncated towards it.
        z_prior: weight of ``|z|^2 / z_dim`` in Z (Bora et al. 2017).
        encoder: in W and W+, the ReStyle encoder, by name or file, whose code is the first starting point in the place of ``w_avg``: the hybrid of
            encoder and search, which needs fewer steps.
        optimise_noise: optimise the noise maps as well (in W and W+).
    """

    space: Annotated[str, one_of(*RESTARTS)] = "w_plus"
    steps: Count = 500
    lr: Weight = 0.1
    lr_rampdown: Share = 0.25
    lr_rampup: Share = 0.05
    initial_noise_factor: Weight = 0.05
    noise_ramp: Divisor = 0.75
    w_avg_samples: Positive = 10_000
    perceptual_weight: Weight = 1.0
    mse_weight: Weight = 1.0
    trunk: str = EFFICIENTNET
    optimise_noise: Switch = True
    regularize_noise_weight: Weight = 1e5
    restarts: Positive | None = None
    z_prior: Weight = 1e-3
    encoder: Annotated[str, encoder_of("restyle-psp", "restyle-e4e")] | None = None
    seed: Seed = 303

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder and self.space == "z":
            raise SettingError("encoder: encoders find codes in W+, and the search in Z cannot start from them")


IMAGE2STYLEGAN = Projection(
    space="w_plus",
    steps=1000,
    lr=0.01,
    lr_rampdown=0.0,
    lr_rampup=0.0,
    initial_noise_factor=0.0,
    perceptual_weight=0.125,
    mse_weight=0.25,
    optimise_noise=False,
)
"""Image2StyleGAN (Abdal et al. 2019): W+ from ``w_avg`` by Adam at a constant rate, without jitter and without noise maps.

The authors published no code. The rate of .01 and Adam's betas are those of an independent implementation (read) and of the paper (recalled). From
the paper as we recall it: the start for faces, the noise maps left alone, equal weights of the perceptual and the pixel term, and 5000 steps (1500
in that implementation). Ours: 1000 steps; EfficientNet-Lite0 for four layers of VGG-16; and equal weights carried over to this trunk, whose
distances are about eight times those usual for perceptual networks, and to the MSE of images in [-1, 1], four times that of [0, 1]."""


def learning_rate(config: Projection, t: float) -> float:
    """Ramp up over the first 5 %, stay, and fall along a cosine over the last 25 % (t from 0 to 1)."""
    down = min(1.0, (1 - t) / config.lr_rampdown) if config.lr_rampdown else 1.0
    up = min(1.0, t / config.lr_rampup) if config.lr_rampup else 1.0
    return config.lr * (0.5 - 0.5 * math.cos(math.pi * down)) * up


def w_statistics(gan: Bundle, samples: int) -> tuple[Tensor, float]:
    """Mean ``w_avg`` ``[w_dim]`` and the scalar spread ``sigma_w`` (root of the mean squared distance) of random w."""
    z = gan.randn([samples, gan.G.z_dim], torch.Generator().manual_seed(123))
    with torch.no_grad():
        w = gan.G.mapping(z)[:, 0]
    w_avg = w.mean(dim=0)
    return w_avg, (w - w_avg).square().sum(dim=1).mean().sqrt().item()


class Distance:
    """``d(x, .)`` for fixed targets: ``perceptual_weight`` times the trunk's distance plus ``mse_weight`` times the MSE, ``[N]``."""

    def __init__(self, target: Tensor, config: Projection):
        from ..perception.perceptual import load_perceptual  # lpips and torchvision take a second or two to import

        self.target, self.config = target, config
        self.perceptual = load_perceptual(config.trunk, target.device) if config.perceptual_weight else None
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


@method("projection-wplus", Projection(space="w_plus"), "optimise one w a layer and the noise", SEARCH)
@method("projection-w", Projection(space="w"), "optimise one w and the noise (StyleGAN2's projector)", SEARCH)
@method("projection-z", Projection(space="z", lr=0.05), "optimise z, several restarts", SEARCH)
@in_chunks(8)
def projection(
    gan: Bundle,
    target: Tensor,
    config: Projection | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Inversion:
    """Project photos ``[N, 3, R, R]`` in [-1, 1] into ``config.space``, all N side by side; the optimised noise is returned too.

    Raises:
        GanInvError: the photos are not finite, or not of the generator's resolution.
    """
    config = config or Projection()
    start = time.perf_counter() - (resume.seconds if resume else 0.0)
    return (_project_z if config.space == "z" else _project_w)(gan, target, config, callback, resume, start)


def _project_w(
    gan: Bundle, target: Tensor, config: Projection, callback: Callback | None, resume: Resume | None, start: float
) -> Inversion:
    G, n, r = gan.G, len(target), config.restarts or RESTARTS[config.space]
    w_avg, sigma_w = w_statistics(gan, config.w_avg_samples)
    rows = G.num_ws if config.space == "w_plus" else 1
    starts = starting_points(gan, w_avg, r, config.seed).expand(n, r, rows, G.w_dim).clone()
    if config.encoder:
        from .restyle import ReStyle, restyle  # here, since methods are listed in the order in which they are imported

        found = restyle(gan, target, ReStyle(config.encoder), callback, resume).ws
        starts[:, 0] = found if rows > 1 else found.mean(dim=1, keepdim=True)
    # Row i * r + k is photo i from starting point k. One generator a row, the same for each photo: a batch gives what single photos give.
    random = [torch.Generator().manual_seed(config.seed + k) for _ in range(n) for k in range(r)]
    w = starts.flatten(0, 1).requires_grad_()
    noise = {
        name: torch.stack([gan.randn(m.shape[1:], g) for g in random]).requires_grad_()
        for name, m in G.synthesis.noise().items()
    }
    if not config.optimise_noise:
        noise = {}
    with torch.no_grad():
        initial = G.synthesis(w.expand(-1, G.num_ws, -1))
    distance = Distance(target.repeat_interleave(r, dim=0), config)
    adam = torch.optim.Adam([w, *noise.values()], lr=config.lr, betas=(0.9, 0.999))
    history: list[dict[str, float]] = []
    loop = Loop(
        f"projection into {config.space}",
        config.steps,
        callback,
        resume,
        w=w,
        noise=noise,
        adam=adam,
        history=history,
        **_named(random),
    )
    for step in loop:
        t = step / config.steps
        adam.param_groups[0]["lr"] = learning_rate(config, t)
        jitter = sigma_w * config.initial_noise_factor * max(0.0, 1 - t / config.noise_ramp) ** 2
        ws = w + jitter * torch.stack([gan.randn(w.shape[1:], g) for g in random])
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
        _record(history, loop, step, d, mse, r)
    with torch.no_grad():
        ws = w.expand(-1, G.num_ws, -1)
        winner = nearest(distance(G.synthesis(ws, noise=noise))[0] if r > 1 else w.new_zeros(n), r)
    return Inversion(
        f"projection-{config.space.replace('_', '')}",
        gan,
        target,
        ws[winner].detach().clone(),
        Controls.of(noise={name: m.detach()[winner] for name, m in noise.items()}),
        initial=initial[winner],
        history=history,
        seconds=time.perf_counter() - start,
        config=config_dict(config),
    )


def _project_z(
    gan: Bundle, target: Tensor, config: Projection, callback: Callback | None, resume: Resume | None, start: float
) -> Inversion:
    G, n, r = gan.G, len(target), config.restarts or RESTARTS["z"]
    starts = gan.randn([r, G.z_dim], torch.Generator().manual_seed(config.seed))
    z = starts.repeat(n, 1).requires_grad_()  # row i * r + k: photo i, restart k
    distance = Distance(target.repeat_interleave(r, dim=0), config)
    adam = torch.optim.Adam([z], lr=config.lr)
    history: list[dict[str, float]] = []
    with torch.no_grad():
        initial = G.synthesis(G.mapping(starts))
    loop = Loop("projection into z", config.steps, callback, resume, z=z, adam=adam, history=history)
    for step in loop:
        adam.param_groups[0]["lr"] = learning_rate(config, step / config.steps)
        d, mse = distance(G.synthesis(G.mapping(z)))
        loss = d + config.z_prior * z.square().mean(dim=1)
        (z.grad,) = torch.autograd.grad(loss.sum(), z)
        adam.step()
        _record(history, loop, step, d, mse, r)
    with torch.no_grad():
        ws = G.mapping(z)
        winner = nearest(distance(G.synthesis(ws))[0], r)
    return Inversion(
        "projection-z",
        gan,
        target,
        ws[winner],
        initial=initial[winner % r],
        history=history,
        seconds=time.perf_counter() - start,
        config=config_dict(config),
    )


def starting_points(gan: Bundle, w_avg: Tensor, restarts: int, seed: int) -> Tensor:
    """``w_avg``, and for each further restart a random w truncated towards it: ``[restarts, 1, w_dim]``."""
    z = gan.randn([restarts - 1, gan.G.z_dim], torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return torch.cat([w_avg[None], torch.lerp(w_avg, gan.G.mapping(z)[:, 0], RESTART_PSI)])[:, None]


def nearest(distance: Tensor, restarts: int) -> Tensor:
    """The row of each photo's nearest restart, ``[N]``, from the distances ``[N * restarts]``."""
    return distance.reshape(-1, restarts).argmin(dim=1) + torch.arange(
        0, len(distance), restarts, device=distance.device, dtype=torch.long
    )


def _record(
    history: list[dict[str, float]], loop: Loop, step: int, distance: Tensor, mse: Tensor, restarts: int
) -> None:
    """Add a row for the restart of each photo that is nearest at this step."""
    best = nearest(distance, restarts)
    distance, mse = distance[best], mse[best]
    history += [
        {"photo": i, "step": step, "distance": distance[i].item(), "mse": mse[i].item()} for i in range(len(best))
    ]
    loop.report(distance=distance.mean(), mse=mse.mean())


def _named(random: list[torch.Generator]) -> dict[str, torch.Generator]:
    return {f"random{i}": generator for i, generator in enumerate(random)}
