"""Fit the identity network: ridge regression from the feature maps of a face and its changed copies to the recogniser's embedding of the face."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..attributes.identity import IdentityNetwork
from ..devices import randn
from ..photos import from_uint8
from ..run import alone
from .attributes import augmented, features_of, ridge

ALPHAS = (0.03, 0.1, 0.3)
DIMENSIONS = 32  # the principal components of the embeddings that are kept
COPIES = 2  # of each face, besides itself
PER_FACE = 7  # other faces that each one is compared with


def mirrored(images: Tensor) -> Tensor:
    return images.flip(3)


def shifted(images: Tensor, random: torch.Generator) -> Tensor:
    """Faces moved by two pixels (of 64) in a random direction, with a repeated edge."""
    n, side = len(images), images.shape[-1]
    move = F.normalize(randn([n, 2], random)).to(images) * 2 * 2 / 64
    matrix = torch.cat([torch.eye(2).to(images).expand(n, 2, 2), move[:, :, None]], dim=2)
    grid = F.affine_grid(matrix, [n, 3, side, side], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def recoloured(images: Tensor, random: torch.Generator) -> Tensor:
    """Faces in another light: brightness, contrast, and the balance of colours."""
    n = len(images)
    gain = 1 + 0.15 * randn([n, 1, 1, 1], random) + 0.05 * randn([n, 3, 1, 1], random)
    offset = 0.12 * randn([n, 1, 1, 1], random) + 0.06 * randn([n, 3, 1, 1], random)
    return (images * gain.to(images) + offset.to(images)).clamp(-1, 1)


@torch.no_grad()
def check(network: IdentityNetwork, images: Tensor, random: torch.Generator) -> tuple[dict[str, float], float]:
    """How well copies of faces ``[N, 3, R, R]`` are told from other faces, AUC by kind of copy, and the distance at which as many errors of both
    kinds are made.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    n, batch = len(images), 50
    copies = {
        "mirrored": mirrored(images),
        "shifted": shifted(images, random),
        "recoloured": recoloured(images, random),
    }
    copies["all three"] = recoloured(shifted(mirrored(images), random), random)
    embed = lambda x: torch.cat([network(part) for part in x.split(batch)])  # noqa: E731
    own = embed(images)
    turns = range(1, min(PER_FACE, n - 1) + 1)
    scores, same, distances = {}, [np.zeros(0)], [np.zeros(0)]
    for name, changed in copies.items():
        there = embed(changed)
        near = (own - there).norm(dim=1).numpy()
        far = np.concatenate([(own - there.roll(turn, 0)).norm(dim=1).numpy() for turn in turns])
        truth = np.concatenate([np.ones(len(near)), np.zeros(len(far))])
        values = np.concatenate([near, far])
        scores[name] = round(float(roc_auc_score(truth, -values)), 4)
        same.append(truth)
        distances.append(values)
    false, true, limits = roc_curve(np.concatenate(same), -np.concatenate(distances))
    return scores, float(-limits[np.argmin(np.abs(false - (1 - true)))])


@alone()
def train_identity(
    sets: list[tuple[np.ndarray, np.ndarray]],
    seed: int = 0,
    heldout: float = 0.2,
    progress: Callable[[str], None] = lambda _: None,
) -> IdentityNetwork:
    """Distil a recogniser's embeddings.

    Args:
        sets: faces uint8 ``[N, 3, 64, 64]`` and their embeddings ``[N, 128]``, the generator's first. Of each the last part is held out: half of it
            decides the penalty, the other half gives the scores.
    """
    from sklearn.decomposition import PCA

    random = torch.Generator().manual_seed(seed)
    cuts = [round(len(images) * (1 - heldout)) for images, _ in sets]
    shown = np.concatenate([images[:cut] for (images, _), cut in zip(sets, cuts, strict=True)])
    wanted = np.concatenate([values[:cut] for (_, values), cut in zip(sets, cuts, strict=True)])
    rest, told = (np.concatenate([pair[i][cut:] for pair, cut in zip(sets, cuts, strict=True)]) for i in range(2))

    def change(x: Tensor) -> Tensor:
        flip = (randn([len(x), 1, 1, 1], random) < 0).to(x.device)
        return augmented(torch.where(flip, x.flip(3), x), random, colour=1.2)

    x = [features_of(shown)]
    for copy in range(COPIES):
        progress(f"copies {copy + 1} of {COPIES}")
        x.append(features_of(shown, change))
    progress("regression")
    features = np.concatenate(x)
    centre, scale = features.mean(axis=0), features.std(axis=0).clip(1e-6)
    features = (features - centre) / scale
    gram = features @ features.T
    size = float(np.trace(gram) / len(gram))
    main = PCA(min(DIMENSIONS, *wanted.shape), svd_solver="full").fit(wanted)
    target = np.tile(main.transform(wanted), (COPIES + 1, 1))
    others = from_uint8(torch.from_numpy(rest))
    best, merit = None, -np.inf
    for alpha in ALPHAS:
        weight = ridge(features, target, gram, alpha * size) / scale[:, None]
        unit = 1 / max(float(np.abs(weight).max()), 1e-12)
        card: dict[str, Any] = {
            "kind": "identity",
            "same": 0.0,
            "scores": {},
            "training": {
                "images": [len(images) for images, _ in sets],
                "heldout": len(rest[1::2]),
                "penalty": alpha,
                "date": time.strftime("%Y-%m-%d"),
            },
        }
        network = IdentityNetwork(
            torch.from_numpy((weight * unit).astype(np.float32)),
            torch.from_numpy((-(centre @ weight) * unit).astype(np.float32)),
            card,
        )
        scores, _ = check(network, others[::2], torch.Generator().manual_seed(seed))
        if scores["all three"] > merit:
            best, merit = network, scores["all three"]
    assert best is not None
    best.scores, best.same = check(best, others[1::2], torch.Generator().manual_seed(seed + 1))
    best.card |= {"same": best.same, "scores": best.scores}
    with torch.no_grad():
        distances = torch.pdist(torch.cat([best(part) for part in others[1::2].split(50)])).numpy()
    teacher = torch.pdist(torch.from_numpy(told[1::2].astype(np.float32))).numpy()
    best.card["training"]["agreement"] = round(float(np.corrcoef(distances, teacher)[0, 1]), 3)
    return best
