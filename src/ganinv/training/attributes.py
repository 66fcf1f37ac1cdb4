"""Fit the attribute network: ridge regression from the feature maps of faces to their labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..attributes.features import face_features
from ..attributes.labels import Attribute, Labels
from ..attributes.network import AttributeNetwork
from ..devices import rand, randn
from ..photos import from_uint8
from ..run import alone

if TYPE_CHECKING:
    from ..zoo import Bundle

BATCH = 50
ALPHAS = (0.01, 0.03, 0.1, 0.3)  # of the penalty, in units of the features' mean squared length
CALIBRATION = 2000  # samples, none of them fitted on, that give the mean and the standard deviation
MOST = 6000  # images of a set that are looked at
RELIABLE = 0.9  # AUC under which an attribute is marked
SURE = 1.0  # log-odds beyond which a binary label is taken at its word


def augmented(images: Tensor, random: torch.Generator, colour: float = 1.0, shift: float = 1.0) -> Tensor:
    """Copies of faces ``[N, 3, R, R]`` in [-1, 1] as photos and inversions may have them: a little shifted, turned, scaled, blurred, recoloured.

    Args:
        colour: strength of the change of brightness, contrast and colour; 0 for none.
        shift: strength of the change of place; 1 for about a pixel of 64.
    """
    n = len(images)
    move = randn([n, 4], random) * torch.tensor([0.03, 0.03, 0.03, 0.03]) * shift  # re a - 1, im a, x, y
    re, im = 1 + move[:, 0], move[:, 1]
    matrix = torch.stack([torch.stack([re, -im, move[:, 2]], 1), torch.stack([im, re, move[:, 3]], 1)], 1).to(images)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    x = F.grid_sample(images, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1)
    x = torch.lerp(x, blurred, (rand([n, 1, 1, 1], random) * 1.2 - 0.4).clamp(min=0).to(x))
    gain = 1 + 0.12 * colour * randn([n, 1, 1, 1], random) + 0.04 * colour * randn([n, 3, 1, 1], random)
    offset = 0.1 * colour * randn([n, 1, 1, 1], random) + 0.04 * colour * randn([n, 3, 1, 1], random)
    return (x * gain.to(x) + offset.to(x)).clamp(-1, 1)


@torch.inference_mode()
def features_of(images: np.ndarray, change: Callable[[Tensor], Tensor] | None = None) -> np.ndarray:
    """Features float32 ``[N, F]`` of images uint8 ``[N, 3, R, R]``, of changed copies where there is a ``change``."""
    rows = []
    for start in range(0, len(images), BATCH):
        x = from_uint8(torch.from_numpy(np.array(images[start : start + BATCH])))
        rows.append(face_features(x if change is None else change(x)).numpy())
    return np.concatenate(rows)


def auc(label: np.ndarray, score: np.ndarray, attribute: Attribute) -> float:
    """How well ``score`` tells high from low labels: for a binary attribute those beyond ``SURE``, else the highest from the lowest quarter."""
    from sklearn.metrics import roc_auc_score

    seen = np.isfinite(label)
    label, score = label[seen], score[seen]
    if not len(label):
        return float("nan")
    low, high = (-SURE, SURE) if attribute.binary else np.quantile(label, [0.25, 0.75])
    sure = (label <= low) | (label >= high)
    truth = label[sure] >= high
    return float(roc_auc_score(truth, score[sure])) if 0 < truth.sum() < len(truth) else float("nan")


def agreement(labels: np.ndarray, scores: np.ndarray, attributes: tuple[Attribute, ...]) -> dict[str, dict[str, float]]:
    """Correlation and :func:`auc` of each attribute's scores with its labels, ``[N, K]`` both."""
    found = {}
    for k, attribute in enumerate(attributes):
        correlation = _correlation(labels[:, k], scores[:, k])
        values = {"correlation": correlation, "auc": auc(labels[:, k], scores[:, k], attribute)}
        found[attribute.name] = {name: round(value, 3) for name, value in values.items() if np.isfinite(value)}
    return found


def reliable(scores: dict[str, float]) -> bool:
    """Whether an attribute of these :func:`agreement` scores, over all sets of images, can be relied on."""
    aucs = [value for name, value in scores.items() if name.startswith("auc")]
    return bool(aucs) and min(aucs) >= RELIABLE


def ridge(features: np.ndarray, targets: np.ndarray, gram: np.ndarray, alpha: float) -> np.ndarray:
    """Weights ``[F, K]`` of ridge regression of centred ``targets`` ``[N, K]`` on centred ``features`` ``[N, F]`` with their products ``gram``."""
    from sklearn.kernel_ridge import KernelRidge

    fitted = KernelRidge(alpha=alpha, kernel="precomputed").fit(gram, targets)
    return features.T @ fitted.dual_coef_.astype(np.float32)


def fit(
    sets: list[tuple[np.ndarray, np.ndarray]],
    attributes: tuple[Attribute, ...],
    samples: np.ndarray,
    seed: int = 0,
    heldout: float = 0.15,
    progress: Callable[[str], None] = lambda _: None,
) -> AttributeNetwork:
    """Distil labels into a network.

    Every image is shown as it is, or mirrored, and once more as an :func:`augmented` copy (which says nothing of colours). Of each set the last
    part is held out: half of it decides the penalty, the other half gives the scores.

    Args:
        sets: images uint8 ``[N, 3, 64, 64]`` and their labels ``[N, K]``, the first of the generator, others of other sources.
        samples: images uint8 of the generator, whose scores are to have mean 0 and standard deviation 1.
        seed: of the augmentation.
        heldout: which part of each set is held out.

    Returns:
        The network, without the attributes of which there is no label.
    """
    labelled = [
        bool(np.isfinite(np.concatenate([values[:, k] for _, values in sets])).any()) for k in range(len(attributes))
    ]
    sets = [(images, values[:, labelled]) for images, values in sets]
    attributes = tuple(attribute for attribute, there in zip(attributes, labelled, strict=True) if there)
    random = torch.Generator().manual_seed(seed)
    sign = np.array([attribute.mirrored for attribute in attributes], np.float32)
    colour = np.array([attribute.colour for attribute in attributes])
    features, labels = [], []
    for images, values in sets:
        kept = round(len(images) * (1 - heldout))
        images, values = images[:kept], values[:kept]
        flips = rand([2, kept], random).numpy() < 0.5
        for copy in range(2):
            progress("features")
            turned = np.where(flips[copy][:, None, None, None], images[..., ::-1], images)
            change = (lambda x: augmented(x, random)) if copy else None
            features.append(features_of(turned, change))
            wanted = np.where(flips[copy][:, None], values * sign, values)
            labels.append(np.where(colour, np.nan, wanted) if copy else wanted)
    x, y = np.concatenate(features), np.concatenate(labels)
    tests, choices = [], []
    for images, values in sets:
        rest = np.arange(round(len(images) * (1 - heldout)), len(images))
        choices.append((features_of(images[rest[::2]]), values[rest[::2]]))
        tests.append((features_of(images[rest[1::2]]), values[rest[1::2]]))

    progress("regression")
    centre, scale = x.mean(axis=0), x.std(axis=0).clip(1e-6)
    x = (x - centre) / scale
    gram = x @ x.T
    size = float(np.trace(gram) / len(gram))
    mean, std = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
    targets = (y - mean) / std
    weight = np.zeros((x.shape[1], len(attributes)), np.float32)
    chosen_x = [(f - centre) / scale for f, _ in choices]
    penalties = np.zeros(len(attributes))
    seen = np.isfinite(targets)
    for pattern in np.unique(seen, axis=1).T:  # attributes with the same missing labels are fitted together
        group = np.flatnonzero((seen == pattern[:, None]).all(axis=0))
        rows = np.flatnonzero(pattern)
        parts = x[rows], targets[np.ix_(rows, group)], gram[np.ix_(rows, rows)]
        best = np.full(len(group), -np.inf)
        for alpha in ALPHAS:
            found = ridge(*parts, alpha * size)
            for j, k in enumerate(group):
                merits = [_correlation(v[:, k], f @ found[:, j]) for f, (_, v) in zip(chosen_x, choices, strict=True)]
                merit = float(np.mean([m for m in merits if np.isfinite(m)] or [-1]))
                if merit > best[j]:
                    best[j], weight[:, k], penalties[k] = merit, found[:, j], alpha
    weight /= scale[:, None]

    drawn = features_of(samples)
    predicted = (drawn - centre) @ weight
    shift, spread = predicted.mean(axis=0), predicted.std(axis=0).clip(1e-6)
    names = [attribute.name for attribute in attributes]
    held = [agreement(v, (f - centre) @ weight, attributes) for f, v in tests]
    scores: dict[str, Any] = {name: dict(held[0][name]) for name in names}
    for other in held[1:]:
        for name in names:
            scores[name] |= {f"{key}_real": value for key, value in other[name].items()}
    card = {
        "kind": "attributes",
        "attributes": [vars(attribute) for attribute in attributes],
        "mean": (mean + std * shift).tolist(),
        "std": (std * spread).tolist(),
        "scores": scores,
        "marked": [name for name in names if not reliable(scores[name])],
        "training": {
            "images": [len(images) for images, _ in sets],
            "heldout": [len(f) for f, _ in tests],
            "penalties": dict(zip(names, penalties.tolist(), strict=True)),
            "date": time.strftime("%Y-%m-%d"),
        },
    }
    head = torch.from_numpy((weight / spread).astype(np.float32))
    bias = torch.from_numpy((-(centre @ weight + shift) / spread).astype(np.float32))
    return AttributeNetwork(head, bias, card)


def _correlation(label: np.ndarray, score: np.ndarray) -> float:
    seen = np.isfinite(label)
    return float("nan") if seen.sum() < 2 else float(np.corrcoef(label[seen], score[seen])[0, 1])


@alone()
def train_attributes(
    gan: Bundle,
    labels: Labels,
    real: tuple[np.ndarray, Labels] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> AttributeNetwork:
    """The attribute network of a generator, from the labels of its samples (and of ``real`` images, so that it knows others, too).

    Of each at most :data:`MOST` are taken: every image is two rows of a matrix that is inverted, and more of them say little more.
    """
    from .labels import draw_samples

    n = min(MOST, len(labels))
    sets = [(draw_samples(gan, n, labels.seed), labels.values[:n])]
    if real is not None:
        n = min(MOST, len(real[1]))
        sets.append((real[0][:n], real[1].values[:n]))
    others = draw_samples(gan, CALIBRATION, labels.seed + 1)
    return fit(sets, labels.attributes, others, progress=progress)
