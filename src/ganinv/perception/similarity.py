r"""Similarity loss: how far apart two images point in the last layer of a network (pSp and e4e).

.. math::

    L_\mathrm{sim}(x, y) = 1 - \Big\langle \tfrac{R(x)}{\lVert R(x) \rVert}, \tfrac{R(y)}{\lVert R(y) \rVert} \Big\rangle

The papers take ArcFace (faces) or MoCo-v2 (anything else) for :math:`R`. Neither can ship with the package: here it is the mean over the image of
EfficientNet-Lite0's last stage, trained on ImageNet, which knows nothing of identity. :func:`look` gets it, and the feature maps of the
perceptual distance, in one pass of that network.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from .perceptual import Features, load_perceptual


class Seen(NamedTuple):
    """What the network says of images: feature maps for the perceptual distance, and an embedding ``[N, 320]``."""

    features: Features
    embedding: Tensor


def look(images: Tensor) -> Seen:
    """One pass of EfficientNet-Lite0 over images ``[N, 3, H, W]`` in [-1, 1]."""
    return Seen(*load_perceptual(device=images.device).features_and_embedding(images))


def similarity_loss(x: Seen, y: Seen) -> Tensor:
    """``1 - cos`` of the embeddings, ``[N]``, from 0 to 2."""
    return 1 - F.cosine_similarity(x.embedding, y.embedding)


def perceptual_distance(x: Seen, y: Seen) -> Tensor:
    """The perceptual distance ``[N]`` by EfficientNet-Lite0, as :func:`ganinv.perception.perceptual.perceptual` gives it."""
    return load_perceptual(device=x.embedding.device)(x.features, y.features)
