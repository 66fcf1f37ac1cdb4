r"""FISTA (Beck and Teboulle 2009): proximal gradients with momentum, for the baselines that are convex.

.. math::

    \min_x \; \tfrac12 \lVert y - A x \rVert^2 / \mathrm{gain} + \lambda R(x), \qquad
    x_{t+1} = \operatorname{prox}_{\lambda R / L}\big(v_t + A^\top (y - A v_t) / (L \cdot \mathrm{gain})\big)

with :math:`v_t` ahead of :math:`x_t` by a momentum that starts afresh where it points uphill (O'Donoghue and Candès 2015), image by image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..run import Callback, Loop, Resume
from .operators import Operator

SAFETY = 1.02  # on the largest eigenvalue, which power iteration finds from below


def fista(
    y: Tensor,
    operator: Operator,
    prox: Callable[[Tensor, float], Tensor],
    steps: int,
    stage: str,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> tuple[Tensor, list[dict[str, float]]]:
    """Images ``[N, 3, R, R]`` that explain the measurements ``y`` ``[N, *operator.shape]`` and suit ``prox(x, 1 / L)``; and the history."""
    L = SAFETY * operator.norm() / operator.gain
    x = y.new_zeros(len(y), 3, operator.resolution, operator.resolution)
    v, t = x.clone(), x.new_ones(len(y), 1, 1, 1)
    history: list[dict[str, float]] = []
    loop = Loop(stage, steps, callback, resume, x=x, v=v, t=t, history=history)
    for step in loop:
        error = y - operator.A(v)
        new = prox(v + operator.A_T(error) / (L * operator.gain), 1 / L)
        uphill = ((v - new) * (new - x)).sum(dim=(1, 2, 3), keepdim=True) > 0
        t.masked_fill_(uphill, 1.0)
        later = (1 + (1 + 4 * t.square()).sqrt()) / 2
        v.copy_(new + (t - 1) / later * (new - x))
        x.copy_(new)
        t.copy_(later)
        misfit = error.square().flatten(1).sum(dim=1) / (operator.n * operator.gain)
        history += [{"photo": i, "step": step, "misfit": value} for i, value in enumerate(misfit.tolist())]
        loop.report(misfit=misfit.mean())
    return x, history


def shrink(c: Tensor, by: float) -> Tensor:
    """Soft thresholding, the proximal map of ``by`` times the sum of absolute values."""
    return torch.sign(c) * (c.abs() - by).clamp(min=0)
