r"""Pivotal tuning inversion (Roich et al. 2022): find a pivot near W, then tune the generator around it.

.. math::

    L_\mathrm{pt}(\theta) = \lambda_\mathrm{P}\, d(x, G(w_p; \theta)) + \lambda_2 \lVert x - G(w_p; \theta) \rVert^2
    \;(+\; \lambda_R\, L_R(\theta))

The optional locality regularisation :math:`L_R` compares the tuned with the untouched generator at codes on the way from the pivot to random
ones, :math:`w_r = w_p + \alpha\, (w_z - w_p) / \lVert w_z - w_p \rVert`, the norm over all rows of the code ``[num_ws, w_dim]`` together. It is
off in the authors' released defaults, and here.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..perception.features import EFFICIENTNET
from ..run import Callback, DivergenceWarning, Loop, Resume, Watch
from ..settings import Checked, Count, Number, Seed, Weight
from ..stylegan2.controls import Controls, stacked
from .clone import Clone
from .initial import estimate
from .projection import Projection
from .register import TUNING, method
from .restyle import RESTYLE_E4E, ReStyle
from .result import Deltas, Inversion, config_dict

if TYPE_CHECKING:
    from ..zoo import Bundle


PIVOT = Projection(space="w", steps=450, w_avg_samples=600, lr=0.01)
"""The authors' pivot: a code in W by projection. It takes a few seconds, where an encoder takes none."""


@dataclass(frozen=True)
class PTI(Checked):
    """The authors' defaults, but for the trunk (theirs is AlexNet) and with it ``stop_distance`` (theirs, .06, is on AlexNet's scale).

    Attributes:
        stop_distance: stop once the perceptual distance falls below this; ``None`` runs all steps.
        locality_weight: weight of the locality regularisation (.1 in the paper; 0 is off).
        alpha: distance from the pivot at which it is evaluated, over all rows of the code together, so that each row moves alpha /
            sqrt(num_ws) (the authors' 30 is for 512 dimensions; this default is scaled by the square root of the dimensions, to 128).
        pivot: how the pivot is found: by an encoder that stays near W (as HyperStyle's authors do it), or by projection into W (:data:`PIVOT`).
    """

    steps: Count = 350
    lr: Weight = 3e-4
    perceptual_weight: Weight = 1.0
    l2_weight: Weight = 1.0
    trunk: str = EFFICIENTNET
    stop_distance: Weight | None = None
    locality_weight: Weight = 0.0
    alpha: Number = 15.0
    locality_psi: Number = 0.5
    pivot: Projection | ReStyle = RESTYLE_E4E
    seed: Seed = 0


@method("pti", PTI(), "pivot near W, then tune the generator", TUNING)
def pti(
    gan: Bundle,
    target: Tensor,
    config: PTI | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
    start: Inversion | None = None,
) -> Inversion:
    """Invert photos ``[N, 3, R, R]`` in [-1, 1]; each gets a generator of its own. The optimised noise of the pivot is not used, as in the paper.

    Args:
        start: an inversion of the same photos whose ``ws`` is the pivot, instead of ``config.pivot``.

    :warns DivergenceWarning: when a run was stopped, and its best state is returned; ``Inversion.warnings`` holds the sentence, too.

    Raises:
        GanInvError: the photos are not finite, or not of the generator's resolution, or the first loss is not finite.
    """
    config = config or PTI()
    began = time.perf_counter()
    if start is None:
        start = estimate(gan, target, config.pivot, callback, resume)
    ws = gan.place(start.ws)
    deltas: list[Deltas] = []
    history: list[dict[str, float]] = []
    sentences: list[str] = []
    for i in range(len(target)):
        delta, rows, sentence = _tune(gan, target[i : i + 1], ws[i : i + 1], config, callback, resume, i)
        deltas.append(delta)
        history += rows
        sentences.append(sentence)
        if sentence:
            warnings.warn(sentence, DivergenceWarning, stacklevel=3)  # past what the register puts around methods
    with torch.no_grad():
        initial = gan.G.synthesis(ws)
    return Inversion(
        "pti",
        gan,
        target,
        ws,
        Controls.of(weights=stacked(deltas)),
        initial=initial,
        initial_ws=start.ws,
        history=history,
        seconds=time.perf_counter() - began + (resume.seconds if resume else 0.0),
        config=config_dict(config),
        warnings=sentences,
    )


def _tune(
    gan: Bundle, x: Tensor, pivot: Tensor, config: PTI, callback: Callback | None, resume: Resume | None, photo: int
) -> tuple[Deltas, list[dict[str, float]], str]:
    from ..perception.perceptual import load_perceptual  # lpips and torchvision take a second or two to import

    clone = Clone(gan.G, pivot, config.lr)
    perceptual = load_perceptual(config.trunk, x.device)
    with torch.no_grad():
        features = perceptual.features(x)
    random = torch.Generator().manual_seed(config.seed)
    watch = Watch(clone.weights, "PTI", f"lr (now {config.lr:g})")
    history: list[dict[str, float]] = []
    loop = Loop(
        f"pti {photo + 1}", config.steps, callback, resume, **clone.state, random=random, watch=watch, history=history
    )
    for step in loop:
        image = clone.reconstruct()
        distance = perceptual(image, features).mean()
        mse = (image - x).square().mean()
        if watch.diverged(step, {"distance": distance, "mse": mse}):
            watch.go_back(step)
            loop.stop()
            continue
        history.append({"photo": photo, "step": step, "distance": distance.item(), "mse": mse.item()})
        loop.report(distance=distance, mse=mse)
        if config.stop_distance is not None and distance.item() <= config.stop_distance:
            loop.stop()
            continue
        loss = config.perceptual_weight * distance + config.l2_weight * mse
        if config.locality_weight:
            z = gan.randn([1, gan.G.z_dim], random)
            with torch.no_grad():
                direction = gan.G.mapping(z, config.locality_psi) - pivot
                w_r = pivot + config.alpha * direction / direction.norm(dim=(1, 2), keepdim=True)
                before = gan.G.synthesis(w_r, noise_mode="none")
            after = clone.G.synthesis(w_r, noise_mode="none")
            loss = loss + config.locality_weight * (perceptual(after, before).mean() + (after - before).square().mean())
        clone.step(loss)
    with torch.no_grad():
        mse = (clone.reconstruct() - x).square().mean()
    if watch.diverged(loop.step, {"mse": mse}, last=True):
        watch.go_back(loop.step)
    return clone.deltas(), history, watch.warning
