r"""PGD-GAN (Shah and Hegde 2018), Algorithm 1: a step down the gradient of the measurements' error, then back onto the generator's range.

.. math::

    v_t = x_t + \eta A^\top (y - A x_t), \qquad x_{t+1} = G\big(\arg\min_z \lVert v_t - G(z) \rVert^2\big), \qquad x_0 = 0

If :math:`A` satisfies the set-restricted eigenvalue condition and the projection is exact, the error falls by a constant factor a step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..inversion.projection import nearest
from ..inversion.result import config_dict
from ..run import Callback, Loop, Resume
from ..settings import Checked, Count, Positive, Seed, Weight
from .latents import Latents, Space
from .operators import Operator
from .recovery import Recovery
from .register import solver

if TYPE_CHECKING:
    from ..zoo import Bundle


@dataclass(frozen=True)
class PGDGAN(Checked):
    r"""The authors' settings for CelebA in Z. They divide by no gain, having only Gaussian measurements, whose gain is 1.

    Attributes:
        space: ``"z"``, ``"w"`` or ``"w_plus"``.
        iterations: T, of both steps.
        step: :math:`\eta`, over the operator's gain.
        steps: of Adam, in each projection onto the range, which starts at the code that the last one ended at.
        restarts: starting points of the first projection, which go on side by side; the best is kept.
        prior: weight of the code's prior, see :class:`Latents`.
    """

    space: Space = "z"
    iterations: Positive = 10
    step: Weight = 0.5
    steps: Count = 100
    restarts: Positive = 1
    lr: Weight = 0.1
    prior: Weight = 1e-3
    seed: Seed = 0


def projected_gradient(
    x: Tensor, y: Tensor, operator: Operator, project: Callable[[Tensor], Tensor], step: float
) -> Iterator[Tensor]:
    """The iterates after ``x``, without end: the gradient step, then ``project``."""
    while True:
        x = project(x + step / operator.gain * operator.A_T(y - operator.A(x)))
        yield x


@solver("pgd-gan-wplus", PGDGAN(space="w_plus", prior=0.03), "projected gradients, onto a code for every layer")
@solver("pgd-gan-w", PGDGAN(space="w", prior=0.01), "projected gradients, onto W")
@solver("pgd-gan", PGDGAN(), "gradient steps, each projected onto the generator's range (Shah and Hegde 2018)")
def pgd_gan(
    gan: Bundle,
    y: Tensor,
    operator: Operator,
    config: PGDGAN | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Recovery:
    """Recover images from measurements ``[N, *operator.shape]``, all side by side. The history has one row an image and iteration.

    Raises:
        GanInvError: the measurements do not fit the operator.
    """
    config = config or PGDGAN()
    began = time.perf_counter() - (resume.seconds if resume else 0.0)
    r = config.restarts
    codes = Latents(gan, config.space, len(y), r, config.seed)
    measured = y.repeat_interleave(r, dim=0)
    history: list[dict[str, float]] = []

    def project(v: Tensor) -> Tensor:
        """The nearest images of the range, by Adam from the codes of the iteration before."""
        adam = torch.optim.Adam([codes.values], lr=config.lr)
        stage = f"pgd-gan {len(history) // len(y) + 1} of {config.iterations}"
        loop = Loop(stage, config.steps, callback, resume, codes=codes.values, adam=adam)
        for _ in loop:
            distance = (v - codes.draw()).square().sum(dim=(1, 2, 3))
            (codes.values.grad,) = torch.autograd.grad((distance + config.prior * codes.prior()).sum(), codes.values)
            adam.step()
            loop.report(distance=distance.mean() / operator.n)
        with torch.no_grad():
            return codes.draw()

    zero = y.new_zeros(len(measured), 3, operator.resolution, operator.resolution)
    for x in islice(projected_gradient(zero, measured, operator, project, config.step), config.iterations):
        misfit = operator.misfit(x, measured)
        best = nearest(misfit, r)
        history += [
            {"photo": i, "step": len(history) // len(y), "misfit": value}
            for i, value in enumerate(misfit[best].tolist())
        ]
    with torch.no_grad():
        ws = codes.ws
    return Recovery(
        "pgd-gan",
        gan,
        operator,
        y,
        x[best],
        ws[best],
        candidates=x.unflatten(0, (len(y), r)),
        losses=misfit.unflatten(0, (len(y), r)),
        history=history,
        seconds=time.perf_counter() - began,
        config=config_dict(config),
    )
