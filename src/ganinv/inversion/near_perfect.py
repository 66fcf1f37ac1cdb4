r"""Near-perfect inversion: move the *generator* until the photo lies on its manifold, and hold the rest of the manifold in place.

*Near Perfect GAN Inversion* (Feng, Shah, Gadde, Perona and Martinez, 2022). From an initial estimate :math:`w^*`, the synthesis network and the
discriminator go on playing their game with one image pinned:

.. math::

    L = I_p \cdot \big[ L_\mathrm{recon} + L_\mathrm{adv\,local} \big] + L_\mathrm{global}

* :math:`L_\mathrm{recon}`: Laplacian-pyramid L1 between the photo and :math:`G(w^*)`;
* :math:`L_\mathrm{adv\,local}`: the GAN loss with the photo as the only real and :math:`G(w^*)` as the only fake;
* :math:`L_\mathrm{global}`: the GAN loss over training images and random z;
* :math:`I_p`: 1 with probability p at each step, else 0.

The paper publishes no weights, schedules or p: every default here is ours, from the runs in ``benchmarks/README.md``. Four things go
beyond the paper: the constant noise maps of the pinned image can be tuned as well (``tune_noise``), and its code moves along (``lr_latent``), since a
small encoder's estimate of a photo far from its training images is rough; random images can be held to what the untouched generator draws, a
tether as in PTI's locality regularisation (``lambda_locality``); and the terms of random images can be evaluated lazily, every k-th step with k
times the weight (``global_interval``), as StyleGAN2 does with R1. :data:`THREE_LOSSES` is without tuned noise and tether.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GanInvError
from ..losses.adversarial import r1_from_logits
from ..losses.global_cohesion import GeneratorReals, RealImages, Reals
from ..losses.laplacian_pyramid import laplacian_pyramid_loss
from ..losses.noise_regularisation import noise_regularisation
from ..perception.features import EFFICIENTNET
from ..photos import check_images
from ..run import Callback, DivergenceWarning, Loop, Resume, Watch
from ..run.monitor import due, frechet, gradient_norms, training_statistics
from ..run.schedule import cosine
from ..stylegan2 import Generator
from .initial import estimate
from .projection import Projection
from .restyle import RESTYLE_PSP, ReStyle
from .result import Deltas, Inversion, config_dict, make_deltas
from .tuning import trainable_copy

if TYPE_CHECKING:
    from ..zoo import Bundle

REPORTED = ("loss_D", "loss_adv", "loss_recon", "mse")  # to the callback
INITIAL = Projection(space="w_plus", steps=200, perceptual_weight=0.1, optimise_noise=False)
"""Where to start with a generator that has no encoder."""


@dataclass(frozen=True)
class NearPerfect:
    """Our defaults; the paper's are unpublished. Every weight ``lambda_*`` of 0 switches its term off.

    Attributes:
        p: probability that a step sees the photo at all.
        lambda_recon, lambda_adv, lambda_global: weights of the three losses.
        lambda_l2, lambda_perceptual: weights of the MSE and of the perceptual distance by ``trunk`` between photo and reconstruction.
        lambda_locality: weight of the MSE between random images of the tuned and of the untouched generator (same code, same noise); the images
            are those of the game, so only the untouched generator's forward pass is added.
        locality_perceptual: weight of their perceptual distance beside that MSE.
        levels: bands of the pyramid before its residual (log2(resolution) - 2 for ``None``).
        global_interval: steps from one evaluation of the terms of random images (and of the discriminator) to the next, where they count that
            many times; the steps between see the reconstruction alone.
        lr_G, lr_D, lr_noise, lr_latent: Adam's learning rates; ``lr_latent`` 0 leaves the code alone. ``lr_noise`` is in units of
            activations: it moves ``noise_strength * noise``.
        lr_rampdown: the part of the steps, at the end, over which all but ``lr_D`` fall to 0 along a cosine.
        beta1, beta2: of Adam, for the generator.
        tune_noise: tune the noise maps of the photo beside the weights.
        noise_weight: weight of the regulariser that keeps what is added to those maps noise-like.
        batch: images of a step; the photo takes the place of one of them.
        reals: ``"reference"`` (the bundle's training images) or ``"generator"`` (samples of the untouched generator).
        joint: tune one generator to all photos, all pinned in every step, instead of a generator for each. The terms of the photos count by
            their mean. It takes a fraction of the time, and leaves hard photos with a larger error (``benchmarks/README.md``).
        initial: how the starting code is found: by an encoder, as in the paper (which names ReStyle), or by projection (:data:`INITIAL`).
        history_gradients: every that many steps, the history holds the length of each term's gradient in the tuned weights; 0 for never.
        history_frechet: every that many steps (and at the end), it holds the Fréchet distance of ``frechet_samples`` images; 0 for never.
    """

    steps: int = 400
    p: float = 1.0
    lambda_recon: float = 300.0
    lambda_adv: float = 1.0
    lambda_global: float = 1.0
    lambda_l2: float = 0.0
    lambda_perceptual: float = 0.0
    trunk: str = EFFICIENTNET
    lambda_locality: float = 300.0
    locality_perceptual: float = 0.0
    levels: int | None = None
    lr_G: float = 1e-3
    lr_D: float = 1e-3
    lr_noise: float = 0.02
    lr_latent: float = 0.03
    lr_rampdown: float = 0.5
    beta1: float = 0.0
    beta2: float = 0.99
    tune_noise: bool = True
    noise_weight: float = 0.0
    global_interval: int = 4
    batch: int = 4
    r1_gamma: float = 0.2
    r1_interval: int = 16
    reals: str = "reference"
    joint: bool = False
    initial: Projection | ReStyle = RESTYLE_PSP
    history_gradients: int = 0
    history_frechet: int = 0
    frechet_samples: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        if self.reals not in ("reference", "generator"):
            raise ValueError(f"reals must be 'reference' or 'generator', not {self.reals!r}")
        if not 0 <= self.p <= 1:
            raise ValueError(f"p is a probability, not {self.p}")

    @property
    def adversarial(self) -> bool:
        """Whether the discriminator takes part."""
        return self.lambda_adv > 0 or self.lambda_global > 0

    @property
    def reconstructs(self) -> bool:
        """Whether some term compares the photo with its reconstruction."""
        return self.lambda_recon > 0 or self.lambda_l2 > 0 or self.lambda_perceptual > 0

    @property
    def factors(self) -> dict[str, float]:
        """What each term of the generator's loss is multiplied with; those of random images make up for the steps without them."""
        here = {"recon": self.lambda_recon, "l2": self.lambda_l2, "perceptual": self.lambda_perceptual, "noise": self.noise_weight}
        lazy = {"adv_local": self.lambda_adv, "global": self.lambda_global, "locality": self.lambda_locality}
        return here | {name: self.global_interval * value for name, value in lazy.items()}


WEIGHTS_ONLY = NearPerfect(
    steps=1200,
    lambda_recon=100.0,
    lambda_l2=1000.0,
    lambda_locality=600.0,
    lr_G=4e-3,
    lr_latent=0.1,
    global_interval=2,
    tune_noise=False,
)
"""The paper's claim on its own, without tuned noise. Weights and code have to carry the whole photo, so the error enters squared as well, and
beside the discriminator's game random images are held to what the untouched generator draws (see ``benchmarks/README.md``)."""

THREE_LOSSES = NearPerfect(steps=1200, lambda_recon=1000.0, lambda_locality=0.0, lr_G=2e-3, lr_latent=2e-3, tune_noise=False)
"""The paper's objective and nothing besides, by weights alone: what an ablation starts from."""

PIVOTAL_TUNING = NearPerfect(
    steps=350,
    lambda_recon=0.0,
    lambda_adv=0.0,
    lambda_global=0.0,
    lambda_l2=1.0,
    lambda_perceptual=1.0,
    lambda_locality=0.0,
    lr_G=3e-4,
    lr_latent=0.0,
    lr_rampdown=0.0,
    beta1=0.9,
    beta2=0.999,
    tune_noise=False,
)
"""The second stage of PTI (Roich et al. 2022), step by step the one of :func:`ganinv.inversion.pti` from the same pivot."""


def near_perfect(
    gan: Bundle,
    target: Tensor,
    config: NearPerfect | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
    start: Inversion | None = None,
) -> Inversion:
    """Invert photos ``[N, 3, R, R]`` in [-1, 1]; each gets a generator of its own, unless ``config.joint`` lets them share one.

    The history holds one row a photo and step, of the state before the step: ``mse``; the terms without their weights, ``loss_recon``,
    ``loss_perceptual``, ``loss_adv_local``, ``loss_global``, ``loss_locality``; and what the two players minimised, ``loss_adv`` (the
    adversarial terms of the generator, weighted) and ``loss_D`` (``r1`` included where it was due). A row has the terms that its step evaluated.
    Monitoring (``config.history_*``) adds ``grad_recon`` and so on, and ``frechet``.

    Args:
        start: an inversion of the same photos whose ``ws`` is the starting code, instead of ``config.initial``.

    :warns DivergenceWarning: when a run was stopped, and its best state is returned; ``Inversion.warnings`` holds the sentence, too.

    Raises:
        GanInvError: bad photos, a bundle without discriminator, or without reference images or statistics when ``config`` asks for them, or a
            run that diverged before it had any state with a finite error.
    """
    config = config or NearPerfect()
    check_images(target, gan.G.img_resolution)
    if config.adversarial and gan.D is None:
        raise GanInvError(
            f"near-perfect inversion needs the discriminator that {gan.name} was trained with, and its file holds none: use method='pti'."
        )
    if config.adversarial and config.reals == "reference" and gan.reference is None:
        raise GanInvError(f"{gan.name} comes without training images: use NearPerfect(reals='generator').")
    if config.history_frechet:
        training_statistics(gan)
    began = time.perf_counter()
    if start is None:
        start = estimate(gan, target, config.initial, callback, resume)
    groups = [range(len(target))] if config.joint else [range(i, i + 1) for i in range(len(target))]
    tuned = [_tune(gan, target, start.ws, photos, config, callback, resume) for photos in groups]
    for one in tuned:
        if one.warning:
            warnings.warn(one.warning, DivergenceWarning, stacklevel=2)
    return Inversion(
        "near-perfect",
        gan,
        target,
        torch.cat([one.ws for one in tuned]),
        {name: torch.cat([one.noise[name] for one in tuned]) for name in tuned[0].noise},
        [one.deltas for one, photos in zip(tuned, groups, strict=True) for _ in photos],
        initial=start.image,
        history=[row for one in tuned for row in one.history],
        seconds=time.perf_counter() - began + (resume.seconds if resume else 0.0),
        config=config_dict(config),
        warnings=[one.warning for one, photos in zip(tuned, groups, strict=True) for _ in photos],
    )


class _Tuned(NamedTuple):
    """One generator, and the photos that are pinned on it."""

    ws: Tensor
    noise: dict[str, Tensor]
    deltas: Deltas
    history: list[dict[str, float]]
    warning: str


def _tune(
    gan: Bundle, target: Tensor, ws: Tensor, photos: Sequence[int], config: NearPerfect, callback: Callback | None, resume: Resume | None
) -> _Tuned:
    """Tune a copy of the generator to those ``photos`` of ``target`` ``[N, 3, R, R]``, pinned at their ``ws`` ``[N, num_ws, w_dim]``."""
    G, weights = trainable_copy(gan.G)
    random = torch.Generator().manual_seed(config.seed)
    n, x = len(photos), target[photos[0] : photos[-1] + 1]
    ws = ws[photos[0] : photos[-1] + 1].clone().requires_grad_(config.lr_latent > 0)
    # What is tuned is what a map adds to the activations: strengths differ by orders of magnitude from layer to layer, and stay fixed.
    own, units = G.synthesis.noise(), noise_units(G)
    offsets = {name: torch.zeros(n, *maps.shape[1:]).requires_grad_() for name, maps in own.items() if config.tune_noise}
    groups = [{"params": weights, "lr": config.lr_G}]
    if offsets:
        groups.append({"params": list(offsets.values()), "lr": config.lr_noise})
    if config.lr_latent:
        groups.append({"params": [ws], "lr": config.lr_latent})
    groups = [group for group in groups if group["lr"]]
    adam_G = torch.optim.Adam(groups, betas=(config.beta1, config.beta2), fused=True)
    rates = [group["lr"] for group in adam_G.param_groups]
    rates_named = f"lr_G (now {config.lr_G:g}) or lr_noise (now {config.lr_noise:g})"
    watch = Watch([*weights, *offsets.values(), ws], "near-perfect inversion", rates_named, config.reconstructs)
    state = {"G": G, "ws": ws, "offsets": offsets, "adam_G": adam_G, "random": random, "watch": watch, "history": (history := [])}
    reals: Reals | None = None
    if config.adversarial and gan.D is not None:
        D = copy.deepcopy(gan.D)
        adam_D = torch.optim.Adam(D.requires_grad_(True).parameters(), lr=config.lr_D, betas=(0.0, 0.99), fused=True)
        reference = gan.reference if config.reals == "reference" else None
        reals = GeneratorReals(gan.G, config.seed) if reference is None else RealImages(reference, config.seed)
        state |= {"D": D, "adam_D": adam_D, "reals": reals}
    if config.lambda_perceptual or (config.lambda_locality and config.locality_perceptual):
        from ..perception.perceptual import load_perceptual  # lpips and torchvision take a second or two to import

        perceptual = load_perceptual(config.trunk)
        with torch.no_grad():
            features = perceptual.features(x)

    loop = Loop("near-perfect" if config.joint else f"near-perfect {photos[0] + 1}", config.steps, callback, resume, **state)
    for step in loop:
        for group, rate in zip(adam_G.param_groups, rates, strict=True):
            group["lr"] = rate * cosine(step / config.steps, 1 - config.lr_rampdown)
        row: dict[str, float | Tensor] = {}
        if due(step, config.history_frechet):
            row["frechet"] = frechet(gan, G, config.frechet_samples)
        pinned = n if torch.rand([], generator=random).item() < config.p else 0  # I_p
        playing = step % config.global_interval == 0 and (reals is not None or config.lambda_locality > 0)
        if not pinned and not playing:  # no loss is left
            history += rows(photos, step, row) if row else []
            continue

        # One synthesis for the pinned images (their own noise) and the random ones (fresh noise).
        fresh = random_images(pinned, config.batch) if playing else 0
        codes, noise = ([ws], pinned_noise(own, units, offsets)) if pinned else ([], {})
        if fresh:
            codes.append(G.mapping(torch.randn(fresh, G.z_dim, generator=random)))
            drawn = {name: torch.randn(fresh, *maps.shape[1:], generator=random) for name, maps in own.items()}
            noise = {name: torch.cat([noise[name].expand(n, -1, -1, -1), maps]) if pinned else maps for name, maps in drawn.items()}
        fake = G.synthesis(torch.cat(codes), noise=noise)
        terms: dict[str, Tensor] = {}  # of the loss, without their weights: a value a photo, or one for all

        if playing and reals is not None:
            # The discriminator: up at the photos and the training images, down at the fakes.
            real = reals.batch(fresh)
            if pinned:
                real = torch.cat([x, real])
            penalised = due(step // config.global_interval, config.r1_interval)
            logits_real = D(real.requires_grad_(penalised))
            loss_D = _weigh(config, *_by_part(logits_real, pinned, sign=-1)) + _weigh(config, *_by_part(D(fake.detach()), pinned, sign=1))
            if penalised:
                row["r1"] = r1 = r1_from_logits(logits_real, real)
                loss_D = loss_D + config.r1_gamma / 2 * config.r1_interval * r1
            adam_D.zero_grad()
            loss_D.backward()
            adam_D.step()

            # The generator: up at its fakes.
            D.requires_grad_(False)
            local, rest = _by_part(D(fake), pinned, sign=-1)
            D.requires_grad_(True)
            terms |= {"adv_local": local} if pinned else {}
            terms |= {"global": rest} if fresh else {}
            row |= {"loss_D": loss_D, "loss_adv": config.global_interval * _weigh(config, local, rest)}
        if fresh and config.lambda_locality:
            with torch.no_grad():
                before = gan.G.synthesis(codes[-1], noise=drawn)
            terms["locality"] = (fake[pinned:] - before).square().mean()
            if config.locality_perceptual:
                terms["locality"] = terms["locality"] + config.locality_perceptual * perceptual(fake[pinned:], before).mean()
        if pinned:
            image = fake[:n]
            terms["recon"] = laplacian_pyramid_loss(image, x, config.levels, reduction="none")
            row["mse"] = mse = (image - x).square().mean(dim=(1, 2, 3))
            if config.lambda_l2:
                terms["l2"] = mse
            if config.lambda_perceptual:
                terms["perceptual"] = perceptual(image, features)
            if offsets and config.noise_weight:
                terms["noise"] = noise_regularisation(offsets)

        row |= {f"loss_{name}": term for name, term in terms.items()}
        if watch.diverged(step, row):
            watch.go_back(step)
            loop.stop()
            continue
        if due(step, config.history_gradients):
            row |= gradient_norms(terms, weights)
        if active := [config.factors[name] * term.mean() for name, term in terms.items() if config.factors[name]]:
            adam_G.zero_grad()
            torch.stack(active).sum().backward()
            adam_G.step()
        history += rows(photos, step, row)
        loop.report(**{name: torch.as_tensor(value).mean() for name, value in row.items() if name in REPORTED})

    def reconstruct() -> tuple[dict[str, Tensor], dict[str, float | Tensor]]:
        maps = {name: m.detach().expand(n, -1, -1, -1).clone() for name, m in pinned_noise(own, units, offsets).items()}
        with torch.no_grad():
            return maps, {"mse": (G.synthesis(ws, noise=maps) - x).square().mean(dim=(1, 2, 3))}

    maps, row = reconstruct()
    if watch.diverged(loop.step, row, last=True):
        watch.go_back(loop.step)
        maps, row = reconstruct()
    if config.history_frechet:
        history += rows(photos, loop.step, row | {"frechet": frechet(gan, G, config.frechet_samples)})
    return _Tuned(ws.detach(), maps, make_deltas(gan.G, G), history, watch.warning)


def random_images(pinned: int, batch: int) -> int:
    """How many random images stand beside ``pinned`` ones: at least ``batch - 1``, and so many that ``batch`` divides them all together."""
    return batch - 1 + -(pinned + batch - 1) % batch if pinned else batch


def noise_units(G: Generator) -> dict[str, Tensor]:
    """What a noise map is multiplied with before it joins the activations, by layer, kept away from zero."""
    strengths = {name: G.synthesis.get_parameter(f"{name}.noise_strength").detach() for name in G.synthesis.conv_names}
    return {name: strength.abs().clamp(min=1e-6).copysign(strength) for name, strength in strengths.items()}


def pinned_noise(own: dict[str, Tensor], units: dict[str, Tensor], offsets: dict[str, Tensor]) -> dict[str, Tensor]:
    """The noise maps of the photos: the generator's ``own`` plus what the ``offsets`` add to the activations, in ``units`` of the maps."""
    return own | {name: own[name] + offset / units[name] for name, offset in offsets.items()}


def rows(photos: Sequence[int], step: int, values: dict[str, float | Tensor]) -> list[dict[str, float]]:
    """A row of the history for each photo: of ``values``, those with an entry a photo are dealt out, the others repeated."""
    n = len(photos)
    columns = {name: value.detach().expand(n).tolist() if isinstance(value, Tensor) else [value] * n for name, value in values.items()}
    return [{"photo": photo, "step": step, **{name: column[k] for name, column in columns.items()}} for k, photo in enumerate(photos)]


def _by_part(logits: Tensor, pinned: int, sign: int) -> tuple[Tensor, Tensor]:
    """``softplus(sign * logit)`` of each pinned image (they come first), ``[pinned]``, and its mean over the others."""
    losses = F.softplus(sign * logits[:, 0])
    return losses[:pinned], losses[pinned:].mean() if len(losses) > pinned else losses.new_zeros([])


def _weigh(config: NearPerfect, local: Tensor, rest: Tensor) -> Tensor:
    """Both parts of an adversarial loss, weighted, a scalar; ``local`` (by its mean) may be empty."""
    return config.lambda_global * rest + config.lambda_adv * local.sum() / max(len(local), 1)
