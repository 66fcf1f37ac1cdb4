r"""InterFaceGAN: the normal of the plane that parts codes with an attribute from codes without it (Shen et al. 2020).

.. math::

    n = \frac{\beta}{\lVert\beta\rVert}, \qquad d(w) = n^\top w + \frac{b}{\lVert\beta\rVert}, \qquad w \leftarrow w + t\,\sigma n

with :math:`(\beta, b)` of a linear support vector machine (section 3.1). Of many random codes, those of the highest and the lowest scores are taken,
2 % each, and 70 % of them train it. (Where W is much longer in some directions than in others, so few make the plane lean towards the longest,
because the ends differ most along them; with a larger share it does not.) Attributes that come together in the data come together in the plane;
:meth:`Direction.conditioned` keeps the others as they are (section 3.3), and is what :func:`interfacegan` returns for all attributes that are
correlated with the wanted one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from torch import Tensor, as_tensor, float32

from ..errors import GanInvError
from .direction import Direction

SHARE = 0.02  # of the codes at either end
TRAINED = 0.7  # of those
CORRELATED = 0.2  # labels of a larger correlation are held


def boundary(codes: Tensor, labels: Tensor, name: str = "attribute", share: float = SHARE, seed: int = 0) -> Direction:
    """The direction of one attribute, from codes ``[N, w_dim]`` and a score for each, ``[N]`` (any unit, larger for more of it; also 0 and 1;
    NaN where it is not known).

    ``facts`` holds the accuracy on the codes that were not trained on. The coordinate (:meth:`Direction.coordinate`) is the signed distance from the
    plane, in standard deviations of the codes.

    Raises:
        GanInvError: the labels do not fit the codes, or are all the same.
    """
    from sklearn.svm import SVC  # seconds to import

    x, y = known(codes, labels, name)
    n = min(max(2, round(share * len(y))), (y > y.min()).sum(), (y < y.max()).sum())
    order = np.random.default_rng(seed).permutation(len(y))  # so that equal labels are drawn by lot
    order = order[np.argsort(y[order], kind="stable")]
    train = max(1, round(TRAINED * n))
    low, high = (np.random.default_rng(seed + 1).permutation(some) for some in (order[:n], order[-n:]))
    ends = np.concatenate([low[:train], high[:train]])
    machine = SVC(kernel="linear").fit(x[ends], np.repeat([0, 1], train))
    length = np.linalg.norm(machine.coef_)
    normal = machine.coef_[0] / length
    rest = np.concatenate([low[train:], high[train:]])
    facts = {"found_from": {"codes": len(y), "share": share, "trained_on": len(ends)}}
    if len(rest):
        facts["found_from"]["accuracy"] = float(machine.score(x[rest], np.repeat([0, 1], n - train)))
    sigma = float((x @ normal).std())
    step = as_tensor(sigma * normal, dtype=float32)
    return Direction(
        name, step, offset=float(-machine.intercept_[0] / length / sigma), method="interfacegan", facts=facts
    )


def interfacegan(
    codes: Tensor, labels: Mapping[str, Tensor], share: float = SHARE, threshold: float = CORRELATED, seed: int = 0
) -> dict[str, Direction]:
    """The directions of several attributes, each :meth:`~Direction.conditioned` on those whose labels are correlated with its own.

    Args:
        codes: ``[N, w_dim]``.
        labels: ``{name: [N]}``.
        threshold: the least (absolute) correlation that matters; 1 conditions on nothing.
    """
    found = {name: boundary(codes, scores, name, share, seed) for name, scores in labels.items()}
    related = correlated(labels, threshold)
    x = as_tensor(codes).double().cpu()
    directions = {}
    for name, direction in found.items():
        directions[name] = direction
        if related[name]:
            normal = direction.conditioned(*(found[other] for other in related[name])).scaled(1 / direction.length)
            along = x @ normal.step.double()  # type: ignore[union-attr]
            sigma = along.std(correction=0).item()
            directions[name] = replace(normal.scaled(sigma), offset=along.mean().item() / sigma)
    return directions


def correlated(labels: Mapping[str, Tensor], threshold: float = CORRELATED) -> dict[str, list[str]]:
    """For each attribute the others whose labels have a correlation of at least ``threshold`` with its own."""
    names = list(labels)
    rows = np.ma.masked_invalid([as_tensor(labels[name]).double().cpu().numpy() for name in names])
    table = np.atleast_2d(np.ma.corrcoef(rows).filled(0.0))
    return {
        a: [b for j, b in enumerate(names) if j != i and abs(table[i, j]) >= threshold] for i, a in enumerate(names)
    }


def known(codes: Tensor, labels: Tensor, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes ``[n, d]`` and labels ``[n]`` (float64) of those whose label is known.

    Raises:
        GanInvError: they do not fit each other, or there are not two labels that differ.
    """
    x, y = as_tensor(codes).double().cpu().numpy(), as_tensor(labels).double().cpu().numpy()
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise GanInvError(
            f"the labels of {name} should be one number for each of the codes [N, w_dim], not {list(y.shape)} for {list(x.shape)}."
        )
    x, y = x[~np.isnan(y)], y[~np.isnan(y)]
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        raise GanInvError(f"the labels of {name}, or their codes, are not all finite numbers: leave those out.")
    if len(y) < 4 or y.min() == y.max():
        raise GanInvError(
            f"the labels of {name} are too few, or all the same: a direction needs images with and without it."
        )
    return x, y
