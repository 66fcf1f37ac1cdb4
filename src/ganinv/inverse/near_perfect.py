r"""Near-perfect inversion of measurements: tune the generator itself until it explains them, while the game goes on that holds its manifold together.

.. math::

    \min_{\theta, w} \; \lambda_\mathrm{data} \frac{\lVert y - A G_\theta(w) \rVert^2}{n} + L_\mathrm{global} + L_\mathrm{locality}

Searching a fixed generator (Bora et al. 2017; Shah and Hegde 2018) ends at the nearest image of its range at best, whatever is measured: the term
:math:`6 \min_z \lVert G(z) - x \rVert` of the bound. Here the range moves to the image. As nobody knows the image, nothing can be compared but the
measurements, in place of the local terms of *Near Perfect GAN Inversion* (Feng et al. 2022); what they leave open is for cohesion to decide:
:math:`L_\mathrm{global}` is the GAN loss, in which the recovered image is one more that the discriminator must take for real, and
:math:`L_\mathrm{locality}` ties random images to what the untouched generator draws of them. The combination is ours.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from ..errors import GanInvError
from ..inversion.clone import Clone, Fakes
from ..inversion.game import new_game
from ..inversion.result import apply_clone, config_dict
from ..run import Callback, DivergenceWarning, Loop, Resume, Watch
from ..run.monitor import due
from ..run.schedule import cosine
from ..settings import Batch, Checked, Count, Momentum, Positive, Seed, Share, Weight, one_of
from ..stylegan2 import Generator
from .csgm import CSGM, W_PLUS, csgm
from .operators import Operator
from .recovery import Recovery
from .register import solver

if TYPE_CHECKING:
    from ..zoo import Bundle


@dataclass(frozen=True)
class Tuning(Checked):
    r"""All ours.

    Attributes:
        initial: the search in W+ that gives the code to start from.
        lambda_data: weight of the misfit, see :meth:`Operator.misfit`.
        lambda_global, lambda_locality: weights of the two terms that keep the rest of the manifold in place; 0 switches one off.
        lr_G, lr_latent, lr_D: learning rates of the generator's weights, of the code, and of the discriminator's weights.
        lr_rampdown: the part of the steps, at the end, over which the first two fall to 0.
        global_interval: how many steps lie between two in which those terms are evaluated, with as many times the weight.
        batch: images of the game, with the recovered one among them.
        reals: ``"reference"`` (the bundle's training images) or ``"generator"`` (samples of the untouched generator).
        noise: standard deviation of the measurements' noise, where it is known: tuning stops when the misfit is no larger than the noise explains.
    """

    steps: Count = 300
    initial: CSGM = W_PLUS
    lambda_data: Weight = 1000.0
    lambda_global: Weight = 1.0
    lambda_locality: Weight = 600.0
    lr_G: Weight = 2e-3
    lr_latent: Weight = 0.03
    lr_D: Weight = 1e-3
    lr_rampdown: Share = 0.5
    beta1: Momentum = 0.0
    beta2: Momentum = 0.99
    global_interval: Positive = 2
    batch: Batch = 4
    r1_gamma: Weight = 0.2
    r1_interval: Positive = 16
    reals: Annotated[str, one_of("reference", "generator")] = "reference"
    noise: Weight = 0.0
    seed: Seed = 0


@solver("near-perfect", Tuning(), "tune the generator to the measurements, and hold its manifold")
def near_perfect(
    gan: Bundle,
    y: Tensor,
    operator: Operator,
    config: Tuning | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Recovery:
    """Recover images from measurements ``[N, *operator.shape]``; each gets a generator of its own.

    :warns DivergenceWarning: when a run was stopped, and its best state is returned.

    Raises:
        GanInvError: the measurements do not fit, or the bundle has no discriminator or reference images where ``config`` asks for them.
    """
    config = config or Tuning()
    if config.lambda_global and gan.D is None:
        raise GanInvError(f"{gan.name} comes without the discriminator that cohesion needs: set lambda_global=0.")
    if config.lambda_global and config.reals == "reference" and gan.reference is None:
        raise GanInvError(f"{gan.name} comes without training images: set reals=generator.")
    began = time.perf_counter() - (resume.seconds if resume else 0.0)
    start = csgm(gan, y, operator, config.initial, callback, resume)
    assert start.ws is not None
    history: list[dict[str, float]] = []
    images: list[Tensor] = []
    codes: list[Tensor] = []
    generators: list[Generator] = []
    said: list[str] = []
    for i in range(len(y)):
        G, ws, warning = _tune(
            gan, y[i : i + 1], gan.place(start.ws[i : i + 1]), i, operator, config, history, callback, resume
        )
        with torch.no_grad():
            images.append(G.synthesis(ws))
        codes.append(ws)
        generators.append(G)
        said.append(warning)
        if warning:
            warnings.warn(warning, DivergenceWarning, stacklevel=3)
    return Recovery(
        "near-perfect",
        gan,
        operator,
        y,
        torch.cat(images),
        torch.cat(codes),
        generators=generators,
        history=history,
        seconds=time.perf_counter() - began,
        config=config_dict(config),
        warnings=said,
    )


def _tune(
    gan: Bundle,
    y: Tensor,
    ws: Tensor,
    photo: int,
    operator: Operator,
    config: Tuning,
    history: list[dict[str, float]],
    callback: Callback | None,
    resume: Resume | None,
) -> tuple[Generator, Tensor, str]:
    """The generator tuned to one image's measurements ``y`` ``[1, *shape]`` from its code ``ws``, its code there, and what went wrong."""
    clone = Clone(gan.G, ws, config.lr_G, config.lr_latent, betas=(config.beta1, config.beta2))
    rates = config.lr_D, config.r1_gamma, config.r1_interval
    game = new_game(gan, config.reals, config.seed, 0.0, config.lambda_global, *rates)
    random = torch.Generator().manual_seed(config.seed)
    watch = Watch(clone.tensors, "tuning to the measurements", f"lr_G (now {config.lr_G:g})")
    enough = config.noise**2 * operator.m / (operator.n * operator.gain)
    rows: list[dict[str, float]] = []
    state = clone.state | {"random": random, "watch": watch, "rows": rows} | (game.state if game else {})
    loop = Loop(f"near-perfect {photo + 1}", config.steps, callback, resume, **state)
    for step in loop:
        playing = (
            due(step, config.global_interval) and config.batch > 1 and (game is not None or config.lambda_locality > 0)
        )
        fake = clone.draw(True, config.batch - 1 if playing else 0, random)
        misfit = operator.misfit(fake.photos, y)
        row: dict[str, float | Tensor] = {"mse": misfit.detach()}  # as the watch calls it
        loss = config.lambda_data * misfit.sum()
        if playing and game:
            crowd = Fakes(fake.images, 0, fake.ws, fake.noise)  # the recovered image is one of them
            row |= game.judge(y, crowd, due(step // config.global_interval, config.r1_interval))
            loss = loss + config.global_interval * game.persuade(crowd)[1]
        if playing and config.lambda_locality:
            moved = (fake.others - clone.untouched(fake)).square().mean()
            loss = loss + config.global_interval * config.lambda_locality * moved
        if watch.diverged(step, row):
            watch.go_back(step)
            loop.stop()
            continue
        rows.append({"photo": photo, "step": step, "misfit": misfit.item()})
        loop.report(misfit=misfit.mean())
        if misfit.item() <= enough:
            loop.stop()
            continue
        clone.step(loss, cosine(step / config.steps, 1 - config.lr_rampdown))
    history += rows
    return apply_clone(gan.G, clone.deltas()), clone.ws.detach(), watch.warning
