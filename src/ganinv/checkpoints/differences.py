"""What a generator became when it was trained on: a small file of the differences of its weights, in bytes.

A difference is stored as a whole number from -127 to 127, times a scale for each row of its tensor (the largest difference there is 127 of them):
a quarter of the weights' own size. What is read is therefore near the trained generator, not equal to it; ``ganinv train domain`` prints how near.
"""

from __future__ import annotations

import copy
import json
import os
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import GanInvError
from ..stylegan2 import Generator
from .checkpoint import reading, writing

LARGEST = 127
SCALE = "scale/"  # before a tensor's name: what its whole numbers are multiplied with


def in_bytes(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers ``[R, n]`` as whole ones from -127 to 127, int8, and what those of each row are multiplied with, ``[R]``."""
    scale = rows.abs().amax(dim=1) / LARGEST
    return (rows / scale.clamp(min=1e-30)[:, None]).round().to(torch.int8), scale


def save_differences(
    path: str | os.PathLike[str], G: Generator, trained: Generator, made_from: str, card: dict[str, Any]
) -> None:
    """Write what ``trained`` has other than ``G``.

    Args:
        made_from: ``sha256`` of the bundle of ``G``; the file can be read for no other.
        card: JSON values that say where it came from.

    Raises:
        GanInvError: the two are not of the same sizes, a weight is not finite, or the file cannot be written.
    """
    if G.config != trained.config:
        raise GanInvError("only a generator of the same sizes differs by numbers alone: train it on from the other.")
    tensors: dict[str, Tensor] = {}
    theirs = trained.state_dict()
    for name, own in G.state_dict().items():
        change = theirs[name].cpu() - own.cpu()
        if not change.isfinite().all():
            raise GanInvError(f"{name} is not finite: training has diverged.")
        if change.any():
            steps, tensors[SCALE + name] = in_bytes(change.flatten(1) if change.ndim > 1 else change.reshape(1, -1))
            tensors[name] = steps.reshape(change.shape)
    with writing(path) as temporary:
        save_file(tensors, temporary, metadata={"card": json.dumps({**card, "made_from": made_from})})


def load_differences(path: str | os.PathLike[str], G: Generator, made_from: str) -> Generator:
    """A frozen copy of ``G`` with the differences of a file added.

    Raises:
        GanInvError: there is no such file, it is damaged, or it was made from another generator.
    """
    with reading(path) as file:
        with safe_open(file, framework="pt") as content:
            card = json.loads((content.metadata() or {})["card"])
            if card["made_from"] != made_from:
                raise GanInvError("it was made from another generator; load that one")
            names = content.keys()
            tensors = {name: content.get_tensor(name) for name in names}
        trained = copy.deepcopy(G).eval().requires_grad_(False)
        own = trained.state_dict()
        for name, steps in tensors.items():
            if name.startswith(SCALE):
                continue
            tensor, scale = own[name], tensors[SCALE + name]
            rows = len(tensor) if tensor.ndim > 1 else 1
            if steps.shape != tensor.shape or steps.dtype != torch.int8 or scale.shape != (rows,):
                raise ValueError(f"{name} does not fit")
            if not scale.isfinite().all():
                raise ValueError(f"{name} is not finite")
            change = (steps.float().reshape(rows, -1) * scale[:, None]).reshape(tensor.shape)
            tensor.add_(change.to(tensor))
        return trained
