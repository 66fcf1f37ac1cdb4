r"""Near-perfect inversion: move the *generator* until the photo lies on its manifold, and hold the rest of the manifold in place.

*Near Perfect GAN Inversion* (Feng, Shah, Gadde, Perona and Martinez, 2022). From an initial estimate :math:`w^*`, the synthesis network and the
discriminator go on playing their game with one image pinned:

.. math::

    L = I_p \cdot \big[ L_\mathrm{recon} + L_\mathrm{adv\,local} \big] + L_\mathrm{global}

* :math:`L_\mathrm{recon}`: Laplacian-pyramid L1 between the photo and :math:`G(w^*)`;
* :math:`L_\mathrm{adv\,local}`: the GAN loss with the photo as the only real and :math:`G(w^*)` as the only fake;
* :math:`L_\mathrm{global}`: the GAN loss over training images and random z;
* :math:`I_p`: 1 with probability p at each step, else 0.

The paper's abstract and slides, which are what we know of it, give no weights, schedules or p: every default here is ours, from the runs in
``benchmarks/README.md``. Four things go beyond the paper: a squared error stands beside the pyramid (``lambda_l2``), whose L1 pulls as hard at the
end as at the start, and goes on costing the manifold; the code of the pinned image moves along (``lr_latent``), since a small encoder's estimate of
a photo far from its training images is rough; random images are held to what the untouched generator draws, a tether as in PTI's locality
regularisation (``lambda_locality``); and the terms of random images can be evaluated lazily, every k-th step with k times the weight
(``global_interval``), as StyleGAN2 does with R1. :data:`THREE_LOSSES` is without the first and the third.

What is left of an edit is decided by the code and by haste: from an encoder's estimate, near home, and with slow weights it is most of it; after a
search (:data:`HYBRID`) and with weights twice as fast the photo is hardly nearer, and less moves.

Weights and code carry the whole photo. :data:`TUNED_NOISE` tunes the constant noise maps of the pinned image as well, which brings the error of the
pixels down tenfold and is over sooner. But the photo then lies in the maps, and the maps do not move with an edit: see
:attr:`Inversion.image_own_noise`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Annotated, NamedTuple

import torch
from torch import Tensor

from ..devices import rand
from ..errors import GanInvError
from ..losses.laplacian_pyramid import default_levels, laplacian_pyramid_loss
from ..losses.noise_regularisation import noise_regularisation
from ..perception.features import EFFICIENTNET
from ..run import Callback, DivergenceWarning, Loop, Resume, Watch
from ..run.monitor import due, frechet, gradient_norms, training_statistics
from ..run.schedule import cosine
from ..settings import (
    Batch,
    Checked,
    Count,
    Divisor,
    Momentum,
    Positive,
    Probability,
    Seed,
    Several,
    Share,
    Switch,
    Weight,
    one_of,
)
from ..stylegan2.controls import Controls, stacked
from .clone import Clone
from .game import Game, new_game
from .initial import estimate
from .projection import Projection
from .register import TUNING, method
from .restyle import RESTYLE_PSP, ReStyle
from .result import Deltas, Inversion, config_dict

if TYPE_CHECKING:
    from ..zoo import Bundle

REPORTED = ("loss_D", "loss_adv", "loss_recon", "mse")  # to the callback
INITIAL = Projection(space="w_plus", steps=200, perceptual_weight=0.1, optimise_noise=False)
"""Where to start with a generator that has no encoder."""

HYBRID = Projection(
    space="w_plus",
    encoder="restyle-psp",
    steps=60,
    lr=0.05,
    initial_noise_factor=0.0,
    perceptual_weight=0.1,
    optimise_noise=False,
)
"""A start from an encoder's estimate that a short search has brought nearer to the photo, to where edits are weaker (``benchmarks/README.md``)."""


@dataclass(frozen=True)
class NearPerfect(Checked):
    """Our defaults, by weights and code; the paper's are unpublished. Every weight ``lambda_*`` of 0 switches its term off.

    Attributes:
        p: probability that a step sees the photo at all.
        lambda_recon, lambda_adv, lambda_global: weights of the three losses.
        lambda_l2, lambda_perceptual: weights of the MSE and of the perceptual distance by ``trunk`` between photo and reconstruction.
        lambda_locality: weight of the MSE between random images of the tuned and of the untouched generator (same code, same noise); the images
            are those of the game, so only the untouched generator's forward pass is added.
        locality_perceptual: weight of their perceptual distance beside that MSE.
        levels: bands of the pyramid before its residual (log2(resolution) - 2 for ``None``).
        band_ratio: weight of each of them, and of the residual, as a part of that of the next finer one: 1 for equal weights, 1/3 for 3^-j.
        global_interval: steps from one evaluation of the terms of random images (and of the discriminator) to the next, where they count that
            many times; the steps between see the reconstruction alone.
        lr_G, lr_D, lr_noise, lr_latent: Adam's learning rates; ``lr_latent`` 0 leaves the code alone. ``lr_noise`` is in units of
            activations: it moves ``noise_strength * noise``.
        max_travel: how far the code may get from its start, in units of sigma_w (:attr:`Bundle.sigma_w`), root mean square over its rows; ``None``
            sets no limit. Far from home a code reconstructs better and edits worse; the history's ``travel`` says how far it is.
        lr_rampdown: the part of the steps, at the end, over which all but ``lr_D`` fall to 0 along a cosine.
        beta1, beta2: of Adam, for the generator.
        tune_noise: tune the noise maps of the photo beside the weights.
        noise_weight: weight of the regulariser that keeps what is added to those maps noise-like.
        batch: images of a step; the photo takes the place of one of them.
        reals: ``"reference"`` (the bundle's training images) or ``"generator"`` (samples of the untouched generator).
        joint: tune one generator to all photos, all pinned in every step, instead of a generator for each. The terms of the photos count by
            their mean. It takes a fraction of the time, and leaves hard photos with a larger error (``benchmarks/README.md``).
        initial: how the starting code is found: by an encoder, as in the paper (which names ReStyle), by projection (:data:`INITIAL`), or by both
            (:data:`HYBRID`). The nearer to home its code, the more of an edit is left.
        history_gradients: every that many steps, the history holds the length of each term's gradient in the tuned weights; 0 for never.
        history_frechet: every that many steps (and at the end), it holds the Fréchet distance of ``frechet_samples`` images; 0 for never.
    """

    steps: Count = 600
    p: Probability = 1.0
    lambda_recon: Weight = 200.0
    lambda_adv: Weight = 1.0
    lambda_global: Weight = 1.0
    lambda_l2: Weight = 2000.0
    lambda_perceptual: Weight = 0.0
    trunk: str = EFFICIENTNET
    lambda_locality: Weight = 1000.0
    locality_perceptual: Weight = 0.0
    levels: Count | None = None
    band_ratio: Divisor = 1 / 3
    lr_G: Weight = 2e-3
    lr_D: Weight = 1e-3
    lr_noise: Weight = 0.02
    lr_latent: Weight = 0.02
    max_travel: Weight | None = None
    lr_rampdown: Share = 0.5
    beta1: Momentum = 0.0
    beta2: Momentum = 0.99
    tune_noise: Switch = False
    noise_weight: Weight = 0.0
    global_interval: Positive = 2
    batch: Batch = 4
    r1_gamma: Weight = 0.2
    r1_interval: Positive = 16
    reals: Annotated[str, one_of("reference", "generator")] = "reference"
    joint: Switch = False
    initial: Projection | ReStyle = RESTYLE_PSP
    history_gradients: Count = 0
    history_frechet: Count = 0
    frechet_samples: Several = 500
    seed: Seed = 0

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
        here = {
            "recon": self.lambda_recon,
            "l2": self.lambda_l2,
            "perceptual": self.lambda_perceptual,
            "noise": self.noise_weight,
        }
        lazy = {"adv_local": self.lambda_adv, "global": self.lambda_global, "locality": self.lambda_locality}
        return here | {name: self.global_interval * value for name, value in lazy.items()}


TUNED_NOISE = NearPerfect(
    steps=400,
    lambda_recon=300.0,
    lambda_l2=0.0,
    lambda_locality=300.0,
    band_ratio=1.0,
    lr_G=1e-3,
    global_interval=4,
    tune_noise=True,
)
"""For who wants the pixels and no edits: the photo's noise maps are tuned as well, and take most of it."""

THREE_LOSSES = NearPerfect(
    lambda_recon=1000.0,
    lambda_l2=0.0,
    lambda_locality=0.0,
    lr_G=2e-3,
    lr_latent=2e-3,
    global_interval=4,
    initial=HYBRID,
)
"""The paper's objective and nothing besides: what an ablation starts from."""

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
)
"""The second stage of PTI (Roich et al. 2022), step by step the one of :func:`ganinv.inversion.pti` from the same pivot."""


@method("near-perfect", NearPerfect(), "tune the generator, and hold its manifold", TUNING)
def near_perfect(
    gan: Bundle,
    target: Tensor,
    config: NearPerfect | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
    start: Inversion | None = None,
) -> Inversion:
    """Invert photos ``[N, 3, R, R]`` in [-1, 1]; each gets a generator of its own, unless ``config.joint`` lets them share one.

    The history holds one row a photo and step, of the state before the step: ``mse``; ``travel``, how far a code that may move is from its start
    (see :attr:`Inversion.travel`); the terms without their weights, ``loss_recon``, ``loss_perceptual``, ``loss_adv_local``, ``loss_global``,
    ``loss_locality``; and what the two players minimised, ``loss_adv`` (the adversarial terms of the generator, weighted) and ``loss_D``
    (``r1`` included where it was due). A row has the terms that its step evaluated.
    Monitoring (``config.history_*``) adds ``grad_recon`` and so on, and ``frechet``.

    Args:
        start: an inversion of the same photos whose ``ws`` is the starting code, instead of ``config.initial``.

    :warns DivergenceWarning: when a run was stopped, and its best state is returned; ``Inversion.warnings`` holds the sentence, too.

    Raises:
        GanInvError: bad photos, a bundle without discriminator, or without reference images or statistics when ``config`` asks for them, or a
            run that diverged before it had any state with a finite error.
    """
    config = config or NearPerfect()
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
    ws = gan.place(start.ws)
    groups = [range(len(target))] if config.joint else [range(i, i + 1) for i in range(len(target))]
    tuned = [_tune(gan, target, ws, photos, config, callback, resume) for photos in groups]
    for one in tuned:
        if one.warning:
            warnings.warn(one.warning, DivergenceWarning, stacklevel=3)  # past what the register puts around methods
    return Inversion(
        "near-perfect",
        gan,
        target,
        torch.cat([one.ws for one in tuned]),
        Controls.of(
            noise={name: torch.cat([one.noise[name] for one in tuned]) for name in tuned[0].noise},
            weights=stacked([one.deltas for one in tuned]),  # one row, if all photos share a generator
        ),
        initial=start.image,
        initial_ws=start.ws,
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
    gan: Bundle,
    target: Tensor,
    ws: Tensor,
    photos: Sequence[int],
    config: NearPerfect,
    callback: Callback | None,
    resume: Resume | None,
) -> _Tuned:
    """Tune a copy of the generator to those ``photos`` of ``target`` ``[N, 3, R, R]``, pinned at their ``ws`` ``[N, num_ws, w_dim]``."""
    mine = slice(photos[0], photos[-1] + 1)
    x = target[mine]
    clone, game, compare = _clone(gan, ws[mine], config), _game(gan, config), Comparison(x, config)
    group = (gan.D.config["mbstd_group_size"] or 1) if game and gan.D is not None else 1
    random = torch.Generator().manual_seed(config.seed)
    rates = f"lr_G (now {config.lr_G:g}) or lr_noise (now {config.lr_noise:g})"
    watch = Watch(clone.tensors, "near-perfect inversion", rates, config.reconstructs)
    history: list[dict[str, float]] = []
    stage = "near-perfect" if config.joint else f"near-perfect {photos[0] + 1}"
    state = clone.state | {"random": random, "watch": watch, "history": history} | (game.state if game else {})
    loop = Loop(stage, config.steps, callback, resume, **state)
    for step in loop:
        row: dict[str, float | Tensor] = {}  # of the history
        if due(step, config.history_frechet):
            row["frechet"] = frechet(gan, clone.G, config.frechet_samples)
        I_p = rand([], random).item() < config.p
        playing = due(step, config.global_interval) and (game is not None or config.lambda_locality > 0)
        if not I_p and not playing:  # no loss is left
            history += rows(photos, step, row) if row else []
            continue

        fresh = random_images(len(x) if I_p else 0, config.batch, group) if playing else 0
        fake = clone.draw(I_p, fresh, random)  # G(w*) and G(z)
        L: dict[str, Tensor] = {}  # the terms, without their weights: a value a photo, or one for all
        if playing and game:
            row |= game.judge(x, fake, penalised=due(step // config.global_interval, config.r1_interval))
            terms, loss_adv = game.persuade(fake)  # L_adv_local, L_global
            L |= terms
            row["loss_adv"] = config.global_interval * loss_adv
        if len(fake.others) and config.lambda_locality:
            L["locality"] = compare.images(fake.others, clone.untouched(fake))
        if I_p:
            L |= compare.photos(fake.photos, clone.offsets)  # L_recon
            row["mse"] = (fake.photos - x).square().mean(dim=(1, 2, 3))
            if config.lr_latent:
                row["travel"] = clone.travel / gan.sigma_w

        row |= {f"loss_{name}": term for name, term in L.items()}
        if watch.diverged(step, row):
            watch.go_back(step)
            loop.stop()
            continue
        if due(step, config.history_gradients):
            row |= gradient_norms(L, clone.weights)
        if weighted := [config.factors[name] * term.mean() for name, term in L.items() if config.factors[name]]:
            clone.step(torch.stack(weighted).sum(), cosine(step / config.steps, 1 - config.lr_rampdown))
        history += rows(photos, step, row)
        loop.report(**{name: torch.as_tensor(value).mean() for name, value in row.items() if name in REPORTED})
    return _finish(gan, clone, x, watch, loop, history, photos, config)


def _finish(
    gan: Bundle,
    clone: Clone,
    x: Tensor,
    watch: Watch,
    loop: Loop,
    history: list[dict[str, float]],
    photos: Sequence[int],
    config: NearPerfect,
) -> _Tuned:
    """Look at the last state as well, and go back to the best one where it has run away."""
    row: dict[str, float | Tensor] = {"mse": _errors(clone, x)}
    if watch.diverged(loop.step, row, last=True):
        watch.go_back(loop.step)
        row = {"mse": _errors(clone, x)}
    if config.history_frechet:
        history += rows(photos, loop.step, row | {"frechet": frechet(gan, clone.G, config.frechet_samples)})
    maps = clone.noise
    noise = {name: maps[name].detach().clone() for name in clone.offsets}  # those that were tuned
    return _Tuned(clone.ws.detach(), noise, clone.deltas(), history, watch.warning)


@torch.no_grad()
def _errors(clone: Clone, x: Tensor) -> Tensor:
    return (clone.reconstruct() - x).square().mean(dim=(1, 2, 3))


def _clone(gan: Bundle, ws: Tensor, config: NearPerfect) -> Clone:
    betas = (config.beta1, config.beta2)
    limit = None if config.max_travel is None else config.max_travel * gan.sigma_w
    return Clone(gan.G, ws, config.lr_G, config.lr_latent, config.lr_noise, config.tune_noise, betas, limit)


def _game(gan: Bundle, config: NearPerfect) -> Game | None:
    weights = config.lambda_adv, config.lambda_global
    return new_game(gan, config.reals, config.seed, *weights, config.lr_D, config.r1_gamma, config.r1_interval)


class Comparison:
    """How images are compared with the photos ``x`` ``[n, 3, R, R]``, and with what the untouched generator draws."""

    def __init__(self, x: Tensor, config: NearPerfect):
        self.x, self.config = x, config
        levels = default_levels(*x.shape[-2:]) if config.levels is None else config.levels
        self.bands = [config.band_ratio**j for j in range(levels + 1)]  # lambda_j, from fine to coarse
        if config.lambda_perceptual or (config.lambda_locality and config.locality_perceptual):
            from ..perception.perceptual import load_perceptual  # lpips and torchvision take a second or two to import

            self.perceptual = load_perceptual(config.trunk, x.device)
            with torch.no_grad():
                self.features = self.perceptual.features(x)

    def photos(self, images: Tensor, offsets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of reconstructions ``[n, 3, R, R]``, a value a photo, and that of what was added to their noise maps."""
        terms = {"recon": laplacian_pyramid_loss(images, self.x, self.config.levels, self.bands, reduction="none")}
        if self.config.lambda_l2:
            terms["l2"] = (images - self.x).square().mean(dim=(1, 2, 3))
        if self.config.lambda_perceptual:
            terms["perceptual"] = self.perceptual(images, self.features)
        if offsets and self.config.noise_weight:
            terms["noise"] = noise_regularisation(offsets)
        return terms

    def images(self, after: Tensor, before: Tensor) -> Tensor:
        """The tether: how far random images have moved, a scalar."""
        moved = (after - before).square().mean()
        if self.config.locality_perceptual:
            moved = moved + self.config.locality_perceptual * self.perceptual(after, before).mean()
        return moved


def random_images(pinned: int, batch: int, group: int = 1) -> int:
    """How many random images stand beside ``pinned`` ones: at least ``batch - 1``, and so many that ``batch`` divides them all together, and so
    does the ``group`` that the discriminator compares (if there are that many)."""
    least = batch - 1 + -(pinned + batch - 1) % batch if pinned else batch
    return next(n for n in count(least, batch) if (pinned + n) % min(group, pinned + n) == 0)


def rows(photos: Sequence[int], step: int, values: dict[str, float | Tensor]) -> list[dict[str, float]]:
    """A row of the history for each photo: of ``values``, those with an entry a photo are dealt out, the others repeated."""
    n = len(photos)
    columns = {
        name: value.detach().expand(n).tolist() if isinstance(value, Tensor) else [value] * n
        for name, value in values.items()
    }
    return [
        {"photo": photo, "step": step, **{name: column[k] for name, column in columns.items()}}
        for k, photo in enumerate(photos)
    ]
