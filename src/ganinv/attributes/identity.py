r"""Whose face it is: a small embedding, distilled from a face recogniser that does not ship.

Two images show the same face if their embeddings are near each other, however they are lit, mirrored or shifted. Like the attribute network it is a
linear head on EfficientNet-Lite0's feature maps: fitted to the main 32 components of what dlib's recogniser gives for a face, for the face itself and
for mirrored, shifted and recoloured copies alike (:mod:`ganinv.training.identity`). It is for 64-pixel faces and for comparing an edit with its
original; it is no recogniser of people.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..devices import once_per_device
from .features import Head
from .labels import FOLDER


class IdentityNetwork(Head):
    """Embeddings of faces: ``network(images)`` ``[N, D]``, unit vectors.

    Attributes:
        same: the distance below which two images count as the same face: as many copies are above it as other faces below.
        scores: how well copies of a held-out face are told from other faces: ``{"auc": ..}`` by kind of copy.
        card: how it was trained.
    """

    kind = "identity"

    def __init__(self, weight: Tensor, bias: Tensor, card: dict[str, Any]):
        super().__init__(weight, bias, card)
        self.same, self.scores = float(card["same"]), dict(card["scores"])

    def forward(self, images: Tensor) -> Tensor:
        """
        Args:
            images: aligned faces ``[N, 3, H, W]`` in [-1, 1].

        Returns:
            ``[N, D]``, differentiable with respect to the images.
        """
        return nn.functional.normalize(super().forward(images), dim=1)


@once_per_device
def _shipped(device: torch.device | str) -> IdentityNetwork:
    with torch.inference_mode(False):  # what is kept outlives the mode of its first caller
        return IdentityNetwork.load(FOLDER / "identity.safetensors").to(device).eval()


def load_identity(path: str | Path | None = None, device: torch.device | str = "cpu") -> IdentityNetwork:
    """The identity network that ships (read once a process and device; shared: do not change it), or the one in a file.

    Raises:
        GanInvError: the file is missing or holds something else, or there is no such device.
    """
    return _shipped(device=device) if path is None else IdentityNetwork.load(path).to(device).eval()


def identity_distance(a: Tensor, b: Tensor, network: IdentityNetwork | None = None) -> Tensor:
    r"""How far apart the identities of two faces are, :math:`\lVert e(a) - e(b) \rVert_2` between 0 and 2, ``[N]``; differentiable.

    Args:
        a: aligned faces ``[N, 3, H, W]`` in [-1, 1].
        b: as many others, or one, ``[1, 3, H, W]``.
        network: the embedding; the one that ships where there is none.
    """
    network = load_identity(device=a.device) if network is None else network
    return (network(a) - network(b)).square().sum(dim=1).clamp(min=1e-12).sqrt()
