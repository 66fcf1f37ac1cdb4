r"""Compressed sensing using generative models (Bora, Jalal, Price and Dimakis 2017), eq. 3: of all images that the generator can draw, the one that
explains the measurements best.

.. math::

    \hat x = G(\hat z), \qquad \hat z = \arg\min_z \; \lVert y - A G(z) \rVert^2 + \lambda \lVert z \rVert^2

by Adam, from several random starts, of which the one with the least loss is kept. If :math:`A` satisfies the set-restricted eigenvalue condition on
the range of :math:`G`, and the minimum is found up to :math:`\epsilon` (Theorem 1.1),

.. math::

    \lVert \hat x - x \rVert \le 6 \min_z \lVert G(z) - x \rVert + 3 \lVert \eta \rVert + 2 \epsilon .
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GanInvError
from ..inversion.projection import nearest
from ..inversion.result import config_dict
from ..run import Callback, Loop, Resume
from ..run.schedule import cosine
from ..settings import Checked, Count, Positive, Seed, Share, Weight
from .latents import Latents, Space
from .operators import Operator
from .recovery import Recovery
from .register import solver

if TYPE_CHECKING:
    from ..zoo import Bundle


@dataclass(frozen=True)
class CSGM(Checked):
    r"""Steps, restarts, learning rate and prior are the authors' for CelebA and Gaussian measurements, in Z. The fall of the learning rate is ours.

    Attributes:
        space: ``"z"``, ``"w"`` or ``"w_plus"``.
        restarts: starting points side by side, of which the best is kept.
        prior: weight :math:`\lambda` of the code's prior beside the squared error of all measurements, see :class:`Latents`.
        realism, anti_fake: weights of the discriminator's :math:`-\log D` and :math:`\log(1 - D)` of the image, which the authors tried and left off.
        lr_rampdown: the part of the steps, at the end, over which the learning rate falls to 0.
    """

    space: Space = "z"
    steps: Count = 500
    restarts: Positive = 2
    lr: Weight = 0.1
    prior: Weight = 1e-3
    realism: Weight = 0.0
    anti_fake: Weight = 0.0
    lr_rampdown: Share = 0.25
    seed: Seed = 0


W_PLUS = CSGM(space="w_plus", restarts=1, prior=0.03)
"""In W+, from the average code: what tuning starts from."""


@solver("csgm-wplus", W_PLUS, "search a code for every layer")
@solver("csgm-w", CSGM(space="w", prior=0.01), "search w instead of z")
@solver("csgm", CSGM(), "search z for the image that explains the measurements (Bora et al. 2017)")
def csgm(
    gan: Bundle,
    y: Tensor,
    operator: Operator,
    config: CSGM | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Recovery:
    """Recover images from measurements ``[N, *operator.shape]``, all side by side.

    Raises:
        GanInvError: the measurements do not fit the operator, or ``config`` asks for a discriminator that the bundle has not.
    """
    config = config or CSGM()
    if (config.realism or config.anti_fake) and gan.D is None:
        raise GanInvError(
            f"{gan.name} comes without the discriminator that these settings ask: set realism=0 and anti_fake=0."
        )
    began = time.perf_counter() - (resume.seconds if resume else 0.0)
    codes = Latents(gan, config.space, len(y), config.restarts, config.seed)
    measured = y.repeat_interleave(config.restarts, dim=0)

    def loss_of(image: Tensor) -> tuple[Tensor, Tensor]:
        misfit = operator.misfit(image, measured)
        loss = operator.n * misfit + config.prior * codes.prior()
        if gan.D is not None and (config.realism or config.anti_fake):
            logit = torch.cat([gan.D(x[None])[:, 0] for x in image])  # one by one: D compares the images of a batch
            loss = loss + config.realism * F.softplus(-logit) - config.anti_fake * F.softplus(logit)
        return loss, misfit

    adam = torch.optim.Adam([codes.values], lr=config.lr)
    history: list[dict[str, float]] = []
    loop = Loop(
        f"csgm in {config.space}", config.steps, callback, resume, codes=codes.values, adam=adam, history=history
    )
    for step in loop:
        adam.param_groups[0]["lr"] = config.lr * cosine(step / config.steps, 1 - config.lr_rampdown)
        loss, misfit = loss_of(codes.draw())
        (codes.values.grad,) = torch.autograd.grad(loss.sum(), codes.values)
        adam.step()
        best = nearest(loss, config.restarts)
        history += [{"photo": i, "step": step, "misfit": value} for i, value in enumerate(misfit[best].tolist())]
        loop.report(misfit=misfit[best].mean())
    with torch.no_grad():
        images, ws = codes.draw(), codes.ws
        loss, _ = loss_of(images)
    best = nearest(loss, config.restarts)
    return Recovery(
        "csgm",
        gan,
        operator,
        y,
        images[best],
        ws[best],
        candidates=images.unflatten(0, (len(y), config.restarts)),
        losses=loss.unflatten(0, (len(y), config.restarts)),
        history=history,
        seconds=time.perf_counter() - began,
        config=config_dict(config),
    )
