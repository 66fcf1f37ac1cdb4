r"""Near-perfect inversion: move the *generator* until the photo lies on its manifold, and hold the rest of the manifold in place.

*Near Perfect GAN Inversion* (Feng, Shah, Gadde, Perona and Martinez, 2022). From an initial estimate :math:`w^*`, the synthesis network and the
discriminator go on playing their game with one image pinned:

.. math::

    L = I_p \cdot \big[ L_\mathrm{recon} + L_\mathrm{adv\,local} \big] + L_\mathrm{global}

* :math:`L_\mathrm{recon}`: Laplacian-pyramid L1 between the photo and :math:`G(w^*)`;
* :math:`L_\mathrm{adv\,local}`: the GAN loss with the photo as the only real and :math:`G(w^*)` as the only fake;
* :math:`L_\mathrm{global}`: the GAN loss over training images and random z;
* :math:`I_p`: 1 with probability p at each step, else 0.

The paper publishes no weights, schedules or p: every default here is ours, from the runs in ``benchmarks/README.md``. Two things go
beyond the paper: the constant noise maps of the pinned image can be tuned as well (``tune_noise``), and :math:`L_\mathrm{global}` can be
evaluated lazily, every k-th step with k times the weight (``global_interval``), as StyleGAN2 does with R1.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GanInvError
from ..images import check_images
from ..losses.adversarial import r1_penalty
from ..losses.global_cohesion import GeneratorReals, RealImages, Reals
from ..losses.laplacian_pyramid import laplacian_pyramid_loss
from ..losses.noise_regularisation import noise_regularisation
from ..stylegan2 import Generator
from .loop import Callback, Loop, Resume
from .projection import Projection, projection
from .result import Deltas, Inversion, config_dict, make_deltas
from .tuning import cosine, trainable_copy

if TYPE_CHECKING:
    from ..zoo import Bundle

INITIAL = Projection(space="w_plus", steps=200, perceptual_weight=0.1, optimise_noise=False)


@dataclass(frozen=True)
class NearPerfect:
    """Our defaults; the paper's are unpublished.

    Attributes:
        p: probability that a step sees the photo at all.
        lambda_recon, lambda_adv, lambda_global: weights of the three losses (each 0 switches it off).
        levels: bands of the pyramid before its residual (log2(resolution) - 2 for ``None``).
        global_interval: steps from one evaluation of the GAN's terms to the next; the steps between see the reconstruction alone.
        lr_G, lr_D, lr_noise, lr_latent: Adam's learning rates; ``lr_latent`` 0 leaves the code alone. ``lr_noise`` is in units of
            activations: it moves ``noise_strength * noise``.
        tune_noise: tune the noise maps of the photo beside the weights.
        noise_weight: weight of the regulariser that keeps what is added to those maps noise-like.
        batch: images of a step; the photo takes the place of one of them.
        reals: ``"reference"`` (the bundle's training images) or ``"generator"`` (samples of the untouched generator).
        initial: how the starting code is found.
    """

    steps: int = 400
    p: float = 1.0
    lambda_recon: float = 300.0
    lambda_adv: float = 1.0
    lambda_global: float = 1.0
    levels: int | None = None
    lr_G: float = 1e-3
    lr_D: float = 1e-3
    lr_noise: float = 0.02
    lr_latent: float = 0.0
    tune_noise: bool = True
    noise_weight: float = 0.0
    global_interval: int = 4
    batch: int = 4
    r1_gamma: float = 0.2
    r1_interval: int = 16
    reals: str = "reference"
    initial: Projection = field(default_factory=lambda: INITIAL)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.reals not in ("reference", "generator"):
            raise ValueError(f"reals must be 'reference' or 'generator', not {self.reals!r}")
        if not 0 <= self.p <= 1:
            raise ValueError(f"p is a probability, not {self.p}")


WEIGHTS_ONLY = NearPerfect(steps=2500, lambda_recon=1000.0, lr_G=2e-3, lr_latent=2e-3, tune_noise=False)
"""The paper's claim on its own, without tuned noise: it needs more steps and a heavier reconstruction (see ``benchmarks/README.md``)."""


def near_perfect(
    gan: Bundle,
    target: Tensor,
    config: NearPerfect | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
    start: Inversion | None = None,
) -> Inversion:
    """Invert photos ``[N, 3, R, R]`` in [-1, 1]; each gets a generator of its own.

    Args:
        start: an inversion of the same photos whose ``ws`` is the starting code, instead of ``config.initial``.

    Raises:
        GanInvError: bad photos, a bundle without discriminator, or without reference images when ``config.reals`` asks for them.
    """
    config = config or NearPerfect()
    check_images(target, gan.G.img_resolution)
    adversarial = config.lambda_adv > 0 or config.lambda_global > 0
    if adversarial and gan.D is None:
        raise GanInvError(
            f"near-perfect inversion needs the discriminator that {gan.name} was trained with, and its file holds none: use method='pti'."
        )
    if adversarial and config.reals == "reference" and gan.reference is None:
        raise GanInvError(f"{gan.name} comes without training images: use NearPerfect(reals='generator').")
    began = time.perf_counter()
    if start is None:
        start = projection(gan, target, config.initial, callback, resume)
    noise: list[dict[str, Tensor]] = []
    deltas: list[Deltas] = []
    codes: list[Tensor] = []
    history: list[dict[str, float]] = []
    for i in range(len(target)):
        code, maps, delta, rows = _tune(gan, target[i : i + 1], start.ws[i : i + 1], config, callback, resume, i)
        codes.append(code)
        noise.append(maps)
        deltas.append(delta)
        history += rows
    return Inversion(
        "near-perfect",
        gan,
        target,
        torch.cat(codes),
        {name: torch.cat([maps[name] for maps in noise]) for name in noise[0]},
        deltas,
        initial=start.image,
        history=history,
        seconds=time.perf_counter() - began + (resume.seconds if resume else 0.0),
        config=config_dict(config),
    )


def _tune(
    gan: Bundle, x: Tensor, ws: Tensor, config: NearPerfect, callback: Callback | None, resume: Resume | None, photo: int
) -> tuple[Tensor, dict[str, Tensor], Deltas, list[dict[str, float]]]:
    """Tune a copy of the generator to one photo ``x`` ``[1, 3, R, R]``, pinned at ``ws`` ``[1, num_ws, w_dim]``."""
    G, weights = trainable_copy(gan.G)
    D = copy.deepcopy(gan.D)
    random = torch.Generator().manual_seed(config.seed)
    ws = ws.clone().requires_grad_(config.lr_latent > 0)
    # What is tuned is what a map adds to the activations: strengths differ by orders of magnitude from layer to layer, and stay fixed.
    offsets = {name: torch.zeros_like(maps).requires_grad_() for name, maps in G.synthesis.noise().items() if config.tune_noise}
    groups = [{"params": weights, "lr": config.lr_G}]
    if offsets:
        groups.append({"params": list(offsets.values()), "lr": config.lr_noise})
    if config.lr_latent:
        groups.append({"params": [ws], "lr": config.lr_latent})
    groups = [group for group in groups if group["lr"]]
    adam_G = torch.optim.Adam(groups, betas=(0.0, 0.99), fused=True)
    rates = [group["lr"] for group in adam_G.param_groups]
    state = {"G": G, "ws": ws, "offsets": offsets, "adam_G": adam_G, "random": random, "history": (history := [])}
    reals: Reals | None = None
    if D is not None and (config.lambda_adv or config.lambda_global):
        adam_D = torch.optim.Adam(D.requires_grad_(True).parameters(), lr=config.lr_D, betas=(0.0, 0.99), fused=True)
        reference = gan.reference if config.reals == "reference" else None
        reals = GeneratorReals(gan.G, config.seed) if reference is None else RealImages(reference, config.seed)
        state |= {"D": D, "adam_D": adam_D, "reals": reals}

    loop = Loop(f"near-perfect {photo + 1}", config.steps, callback, resume, **state)
    for step in loop:
        for group, rate in zip(adam_G.param_groups, rates, strict=True):
            group["lr"] = rate * cosine(step / config.steps)
        pinned = torch.rand([], generator=random).item() < config.p  # I_p
        playing = reals is not None and step % config.global_interval == 0
        if not pinned and not playing:
            continue  # no loss is left
        fresh = config.batch - pinned if playing else 0  # random images beside the photo

        # One synthesis for the pinned image (its own noise) and the random ones (fresh noise).
        z = torch.randn(fresh, G.z_dim, generator=random)
        batch_ws = torch.cat([ws, G.mapping(z)] if pinned else [G.mapping(z)])
        batch_noise = {}
        noise = pinned_noise(G, offsets)
        for name, maps in noise.items():
            drawn = torch.randn(fresh, *maps.shape[1:], generator=random)
            batch_noise[name] = torch.cat([maps, drawn]) if pinned else drawn
        fake = G.synthesis(batch_ws, noise=batch_noise)

        record: dict[str, float] = {}
        if playing:
            assert D is not None
            assert reals is not None
            real = reals.batch(fresh)
            if pinned:
                real = torch.cat([x, real])
            loss_D = _by_part(D(real), pinned, config, sign=-1) + _by_part(D(fake.detach()), pinned, config, sign=1)
            if step // config.global_interval % config.r1_interval == 0:
                loss_D = loss_D + config.r1_gamma / 2 * config.r1_interval * r1_penalty(D, real)
            adam_D.zero_grad()
            loss_D.backward()
            adam_D.step()
            record["loss_D"] = loss_D.item()

        loss = torch.zeros([])
        if playing:
            assert D is not None
            D.requires_grad_(False)
            loss = config.global_interval * _by_part(D(fake), pinned, config, sign=-1)
            D.requires_grad_(True)
            record["loss_adv"] = loss.item()
        if pinned:
            recon = laplacian_pyramid_loss(fake[:1], x, config.levels)
            loss = loss + config.lambda_recon * recon
            if offsets and config.noise_weight:
                loss = loss + config.noise_weight * noise_regularisation(offsets).sum()
            record |= {"loss_recon": recon.item(), "mse": (fake[:1].detach() - x).square().mean().item()}
        if not math.isfinite(loss.item()):
            raise GanInvError(f"near-perfect inversion diverged at step {step}: lower lr_G (now {config.lr_G:g}) or lr_noise ({config.lr_noise:g}).")
        adam_G.zero_grad()
        loss.backward()
        adam_G.step()
        history.append({"photo": photo, "step": step, **record})
        loop.report(**record)
    return ws.detach(), {name: maps.detach() for name, maps in pinned_noise(G, offsets).items()}, make_deltas(gan.G, G), history


def pinned_noise(G: Generator, offsets: dict[str, Tensor]) -> dict[str, Tensor]:
    """The noise maps of the photo: those of ``G`` plus what the offsets add to the activations, divided by the noise strength."""
    noise = G.synthesis.noise()
    for name, offset in offsets.items():
        strength = G.synthesis.get_parameter(f"{name}.noise_strength")
        noise[name] = noise[name] + offset / strength.abs().clamp(min=1e-6).copysign(strength)
    return noise


def _by_part(logits: Tensor, pinned: bool, config: NearPerfect, sign: int) -> Tensor:
    """``softplus(sign * logit)``: the local term for the pinned image (the first), the mean over the others for the global one."""
    losses = F.softplus(sign * logits[:, 0])
    total = config.lambda_global * losses[pinned:].mean() if len(losses) > pinned else losses.new_zeros([])
    return total + config.lambda_adv * losses[0] if pinned else total
