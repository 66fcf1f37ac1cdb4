"""What both small networks see: EfficientNet-Lite0's feature maps of an aligned face, by place in the face; and the heads on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import GanInvError
from ..files import atomic_path
from ..perception.features import FEATURE_SIZE, efficientnet_input, efficientnet_lite0, resize

STAGES, GRIDS = (2, 4, 6), (8, 8, 4)  # of the trunk's stages; the cells a side over which each one's maps are averaged
CHANNELS = (40, 112, 320)
NUM_FEATURES = sum(channels * grid**2 for channels, grid in zip(CHANNELS, GRIDS, strict=True))


def face_features(images: Tensor) -> Tensor:
    """Features ``[N, NUM_FEATURES]`` of aligned faces ``[N, 3, H, W]`` in [-1, 1]; gradients flow to the images.

    The maps of three stages of EfficientNet-Lite0 at 128 px (eighths, sixteenths and thirty-seconds of the image), averaged over the cells of a grid:
    a linear head can look for a smile at the mouth, and for a hat above the eyes.
    """
    maps = efficientnet_lite0(images.device)(efficientnet_input(resize(images, FEATURE_SIZE)), STAGES)
    return torch.cat([F.adaptive_avg_pool2d(m, grid).flatten(1) for m, grid in zip(maps, GRIDS, strict=True)], dim=1)


class Head(nn.Module):
    """A linear head on :func:`face_features`: ``head(images)`` ``[N, K]``, and its file.

    Args:
        weight: ``[NUM_FEATURES, K]``.
        bias: ``[K]``.
        card: how it was trained, JSON values; ``"kind"`` is the class's own.
    """

    kind: ClassVar[str]
    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, card: dict[str, Any]):
        super().__init__()
        self.card = card
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, images: Tensor) -> Tensor:
        """
        Args:
            images: aligned faces ``[N, 3, H, W]`` in [-1, 1].

        Returns:
            ``[N, K]``, differentiable with respect to the images.
        """
        return face_features(images) @ self.weight + self.bias

    def save(self, path: str | Path) -> Path:
        """Write the head: float16, each column with a scale of its own."""
        scale = self.weight.abs().amax(dim=0).clamp(min=1e-12)
        weight, bias = (self.weight / scale).half().contiguous(), self.bias.contiguous()
        with atomic_path(path) as temporary:
            save_file(
                {"weight": weight, "scale": scale.contiguous(), "bias": bias},
                temporary,
                metadata={"card": json.dumps(self.card, ensure_ascii=False)},
            )
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """
        Raises:
            GanInvError: the file is missing, or holds something else.
        """
        cure = f"reinstall ganinv, or give a file from `ganinv train {cls.kind}`"
        try:
            with safe_open(path, framework="pt") as file:
                card = json.loads((file.metadata() or {})["card"])
                weight, scale, bias = (file.get_tensor(name) for name in ("weight", "scale", "bias"))
            if card["kind"] != cls.kind:
                raise ValueError("another network's")
            if weight.ndim != 2 or len(weight) != NUM_FEATURES or not weight.shape[1:] == scale.shape == bias.shape:
                raise ValueError("shapes that do not fit")
            weight, bias = weight.float() * scale.float(), bias.float()
            if not (weight.isfinite().all() and bias.isfinite().all()):
                raise ValueError("NaN or infinite values")
            return cls(weight, bias, card)
        except FileNotFoundError:
            raise GanInvError(f"{path} does not exist: {cure}.") from None
        except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise GanInvError(
                f"{path} is not the file of an {cls.kind} network ({type(error).__name__}): {cure}."
            ) from error
