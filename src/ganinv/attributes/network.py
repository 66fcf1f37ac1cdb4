r"""The attribute network: from a face to its attributes, in standard deviations of the generator's samples.

A linear head on the feature maps of EfficientNet-Lite0 (:func:`~ganinv.attributes.features.face_features`), whose weights come with a dependency:
only the head ships, and what the trunk learnt of a million photos lets it judge real photos, too. It is distilled from the labels by ridge regression
(:mod:`ganinv.training.attributes`); how well it agrees with the labellers on faces that it was not fitted on is in the model card, and in ``scores``.
About 5 ms an image on one core.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..devices import once_per_device
from .features import Head
from .labels import FOLDER, Attribute, index_of


class AttributeNetwork(Head):
    """Attributes of faces: ``network(images)`` ``[N, K]``, in σ of the generator's plain samples (mean 0 and standard deviation 1 over them).

    Attributes:
        attributes: what the columns are, with their units.
        mean: of the samples, in each attribute's own unit, ``[K]``.
        std: standard deviation over the samples, likewise: ``mean + std * network(images)`` is in the attribute's own unit.
        scores: how well each attribute agrees with its labeller on held-out images: ``{"smile": {"correlation": .., "auc": ..}, ...}``.
        marked: the attributes that agree too little to rely on (AUC under .9).
        card: how it was trained.
    """

    kind = "attributes"
    mean: Tensor
    std: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, card: dict[str, Any]):
        super().__init__(weight, bias, card)
        self.attributes = tuple(Attribute(**entry) for entry in card["attributes"])
        self.scores: dict[str, dict[str, float]] = card["scores"]
        self.marked = tuple(str(name) for name in card["marked"])
        mean, std = torch.tensor(card["mean"], dtype=torch.float32), torch.tensor(card["std"], dtype=torch.float32)
        if not len(self.attributes) == len(mean) == len(std) == len(bias):
            raise ValueError("columns without a name")
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(attribute.name for attribute in self.attributes)

    @property
    def made_of(self) -> dict[str, tuple[str, ...]]:
        """Which attributes are computed from which."""
        return {attribute.name: attribute.of for attribute in self.attributes}

    def index(self, name: str) -> int:
        """The column of an attribute.

        Raises:
            GanInvError: there is no such attribute.
        """
        return index_of(name, self.names)

    def native(self, scores: Tensor) -> Tensor:
        """Scores ``[N, K]`` in σ, in each attribute's own unit."""
        return self.mean + self.std * scores


@once_per_device
def _shipped(device: torch.device | str) -> AttributeNetwork:
    with torch.inference_mode(False):  # what is kept outlives the mode of its first caller
        return AttributeNetwork.load(FOLDER / "attributes.safetensors").to(device).eval()


def load_attributes(path: str | Path | None = None, device: torch.device | str = "cpu") -> AttributeNetwork:
    """The attribute network that ships (read once a process and device; shared: do not change it), or the one in a file.

    Raises:
        GanInvError: the file is missing or holds something else, or there is no such device.
    """
    return _shipped(device=device) if path is None else AttributeNetwork.load(path).to(device).eval()
