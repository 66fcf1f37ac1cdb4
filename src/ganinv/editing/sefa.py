r"""SeFa: the directions that the first thing a layer does to w amplifies most (Shen and Zhou 2021, closed-form factorisation).

.. math::

    v_i = \arg\max_{\lVert v\rVert = 1,\ v \perp v_1 \ldots v_{i-1}} \lVert A v \rVert^2
    \quad\Leftrightarrow\quad A^\top A\, v_i = \lambda_i v_i

A holds the weights of the chosen layers' modulation, one below the other, each row (a channel) divided by its norm, as the authors' code has it.
There are no samples in it and no labels: what a direction does is found by looking. Those of toRGB layers are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .direction import Direction, affine

if TYPE_CHECKING:
    from ..zoo import Bundle


def sefa(gan: Bundle, layers: Iterable[int] | None = None, count: int = 5) -> list[Direction]:
    """The first ``count`` directions for the rows ``layers`` of w+ (all by default), with a step of one standard deviation of random codes.

    ``facts`` holds the eigenvalue.
    """
    rows = None if layers is None else tuple(layers)
    names = [name for name in gan.G.synthesis.conv_names if rows is None or gan.G.synthesis.layer_ws[name] in rows]
    A = F.normalize(affine(gan.G, names)[0], dim=1)
    values, vectors = torch.linalg.eigh(A.T @ A)
    vectors = vectors * vectors.gather(0, vectors.abs().argmax(dim=0)[None]).sign()  # the same on every machine
    found = []
    for i in range(min(count, gan.G.w_dim)):
        facts = {"found_from": {"eigenvalue": values[-1 - i].item()}}
        v = Direction(f"factor {i}", vectors[:, -1 - i].float(), rows, method="sefa", generator=gan.sha256, facts=facts)
        found.append(v.measured(gan))
    return found
