r"""DCI: whether each coordinate of a space goes with one attribute, and each attribute with one coordinate (Eastwood and Williams 2018).

.. math::

    D_i = 1 + \sum_j p_{ij} \log_K p_{ij}, \quad p_{ij} = \frac{R_{ij}}{\sum_k R_{ik}}, \qquad
    C_j = 1 + \sum_i q_{ij} \log_d q_{ij}, \quad q_{ij} = \frac{R_{ij}}{\sum_k R_{kj}}

:math:`R_{ij}` is the importance of coordinate i, of d, for telling who has attribute j, of K, in gradient boosted trees. *Disentanglement* is the
mean of :math:`D_i` weighted by how important each coordinate is, *completeness* that of :math:`C_j` over the attributes, *informativeness* the trees'
accuracy on codes they have not seen. StyleSpace's section 3 compares Z, W and S so, with the codes that are among the 2 % of either end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .interfacegan import SHARE, TRAINED, known


@dataclass(frozen=True)
class DCI:
    """Three numbers from 0 to 1, larger is better."""

    disentanglement: float
    completeness: float
    informativeness: float


def dci(codes: Tensor, labels: Mapping[str, Tensor], share: float = SHARE, trees: int = 100, seed: int = 0) -> DCI:
    """Of codes ``[N, d]`` in any space (styles of all layers side by side) and scores ``{attribute: [N]}`` of at least two attributes.

    Raises:
        GanInvError: labels that do not fit the codes, or are all the same.
    """
    from sklearn.ensemble import GradientBoostingClassifier  # seconds to import

    importance, accuracy = [], []
    for name, scores in labels.items():
        x, y = known(codes, scores, name)
        n = max(2, round(share * len(y)))
        order, random = np.argsort(y, kind="stable"), np.random.default_rng(seed)
        low, high, train = random.permutation(order[:n]), random.permutation(order[-n:]), max(1, round(TRAINED * n))
        model = GradientBoostingClassifier(n_estimators=trees, random_state=seed)
        model.fit(x[np.concatenate([low[:train], high[:train]])], np.repeat([0, 1], train))
        importance.append(model.feature_importances_)
        rest = np.concatenate([low[train:], high[train:]])
        accuracy.append(model.score(x[rest], np.repeat([0, 1], n - train)) if len(rest) else np.nan)
    R = np.stack(importance, axis=1)  # [d, K]
    disentanglement = (1 - _entropy(R, axis=1)) @ R.sum(axis=1) / R.sum()
    return DCI(float(disentanglement), float((1 - _entropy(R, axis=0)).mean()), float(np.mean(accuracy)))


def _entropy(R: np.ndarray, axis: int) -> np.ndarray:
    """Of the shares along an axis, 1 where they are all equal."""
    shares = R / np.maximum(R.sum(axis=axis, keepdims=True), 1e-12)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return -(shares * logs).sum(axis=axis) / np.log(R.shape[axis])
