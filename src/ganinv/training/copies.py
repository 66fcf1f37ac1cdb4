"""Does a generator copy its training images? The nearest of them to what it draws, by perceptual distance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..perception.features import EFFICIENTNET, feature_extractor
from ..perception.perceptual import load_perceptual
from ..photos import from_uint8

BATCH = 64
SHORTLIST = 50  # nearest by the features of a whole image; among them the perceptual distance, place by place, decides


@dataclass
class Nearest:
    """The ``k`` nearest training images of M images, nearest first.

    Attributes:
        index: their numbers ``[M, k]``.
        distance: their perceptual distances ``[M, k]``.
    """

    index: Tensor
    distance: Tensor


@torch.no_grad()
def pooled_features(images: np.ndarray | Tensor) -> Tensor:
    """Features ``[M, d]`` of images uint8 ``[M, 3, R, R]``, which may be a memory-mapped array."""
    extract = feature_extractor(EFFICIENTNET)
    return torch.cat([extract(batch) for batch in _batches(images)])


@torch.no_grad()
def nearest(images: Tensor, training: np.ndarray, k: int = 5, features: Tensor | None = None) -> Nearest:
    """The ``k`` nearest of ``training`` images uint8 ``[T, 3, R, R]`` to ``images`` uint8 ``[M, 3, R, R]``; mirror images are not looked for.

    Args:
        features: :func:`pooled_features` of ``training``, where they are at hand.
    """
    features = pooled_features(training) if features is None else features
    shortlist = (
        torch.cdist(pooled_features(images), features).topk(min(SHORTLIST, len(features)), largest=False).indices
    )
    perceptual = load_perceptual(EFFICIENTNET)
    found = []
    for image, row in zip(images, shortlist, strict=True):
        candidates = from_uint8(torch.from_numpy(np.stack([training[i] for i in row.tolist()])))
        distance, order = perceptual(
            candidates, perceptual.features(from_uint8(image[None]).expand(len(row), -1, -1, -1))
        ).sort()
        found.append((row[order[:k]], distance[:k]))
    return Nearest(torch.stack([index for index, _ in found]), torch.stack([distance for _, distance in found]))


def _batches(images: np.ndarray | Tensor) -> Iterator[Tensor]:
    for i in range(0, len(images), BATCH):
        batch = images[i : i + BATCH]
        # a copy: a mapped file is read-only
        yield from_uint8(batch if isinstance(batch, Tensor) else torch.from_numpy(np.array(batch)))
