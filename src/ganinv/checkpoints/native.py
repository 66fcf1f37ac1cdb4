"""Our own format: safetensors (nothing to execute) with a JSON description in the header and a checksum over both."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import GanInvError
from .checkpoint import NETWORKS, Checkpoint, check_networks, json_values, reading, writing
from .modules import MAX_PARTS
from .networks import State, build_discriminator, build_generator

KIND, VERSION = "stylegan2", 1


def save_checkpoint(
    path: str | os.PathLike[str],
    networks: dict[str, nn.Module],
    *,
    metadata: dict[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write networks to a ``.safetensors`` file.

    Tensors are named ``"G_ema/mapping.fc0.weight"``. The header's ``ganinv`` entry is JSON: ``metadata`` (by convention ``training``, a summary,
    and ``licence``) with ``kind``, ``version``, ``networks`` (the configuration of each) and ``sha256`` added.

    Args:
        path: where to; replaced at once when complete.
        networks: any of ``G_ema``, ``G``, ``D``, with one generator at least.
        metadata: JSON values.
        dtype: ``torch.float16`` halves the file (weights are rounded to 3 to 4 digits); ``None`` or ``torch.float32`` keeps every bit.

    Raises:
        GanInvError: the file cannot be written, or a weight does not fit float16.
        ValueError, TypeError: ``networks``, ``metadata`` or ``dtype`` is not what it should be.
    """
    check_networks(networks)
    if dtype not in (None, torch.float32, torch.float16):
        raise ValueError(f"dtype must be torch.float32 or torch.float16, not {dtype}")
    tensors: State = {}
    for name, network in networks.items():
        for key, tensor in network.state_dict().items():
            stored = tensor.detach().cpu().to(dtype or torch.float32, copy=True, memory_format=torch.contiguous_format)
            if torch.isinf(stored).any() and not torch.isinf(tensor).any():
                raise GanInvError(f"{path}: {name}'s {key} does not fit into {dtype}; save it as torch.float32")
            tensors[f"{name}/{key}"] = stored
    description = {
        **(metadata or {}),
        "kind": KIND,
        "version": VERSION,
        "networks": {name: network.config for name, network in networks.items()},
    }
    description = json.loads(json.dumps(description, allow_nan=False))  # as a reader will see it
    description["sha256"] = checksum(tensors, description)
    with writing(path) as temporary:
        save_file(tensors, temporary, metadata={"ganinv": json.dumps(description)})


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read what :func:`save_checkpoint` wrote; float16 becomes float32. ``metadata`` is what was saved, with ``kind`` and ``w_avg``.

    Raises:
        GanInvError: missing, damaged (the checksum covers every tensor and the description) or not a ganinv checkpoint.
    """
    with reading(path) as file:
        with safe_open(file, framework="pt") as content:
            header = content.metadata() or {}
            if "ganinv" not in header:
                raise GanInvError(
                    "it is a safetensors file, but not a ganinv checkpoint; ganinv reads .safetensors files that it wrote itself"
                )
            keys = content.keys()
            if len(keys) > MAX_PARTS:
                raise GanInvError(
                    f"it holds {len(keys)} tensors, more than ganinv reads; the file is damaged or hostile"
                )
            tensors = {key: content.get_tensor(key) for key in keys}
        description = json_values(json.loads(header["ganinv"]))
        stated = description.pop("sha256", None)
        if checksum(tensors, description) != stated:
            raise GanInvError("its checksum does not match its content, so it is damaged; download or copy it again")
        if description.pop("kind") != KIND or description.pop("version") != VERSION:
            raise GanInvError(
                "it holds another kind or a newer version of checkpoint than this ganinv reads; update ganinv"
            )
        configs, max_bytes = description.pop("networks"), file.stat().st_size
        networks: dict[str, nn.Module] = {}
        for name in NETWORKS.keys() & configs.keys():
            config = configs[name]
            state = {
                key.removeprefix(f"{name}/"): tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")
            }
            settings: dict[str, Any] = dict(
                conv_clamp=config["conv_clamp"], hint=(config["channel_base"], config["channel_max"])
            )
            if name == "D":
                networks[name] = build_discriminator(
                    state, name, max_bytes, mbstd_group_size=config["mbstd_group_size"], **settings
                )
            else:
                networks[name] = build_generator(state, name, max_bytes, **settings)
        checkpoint = Checkpoint(
            {name: networks[name] for name in configs}, {"w_avg": "stored", **description, "kind": KIND}, "native"
        )
        _ = checkpoint.G  # raises if there is none
        return checkpoint


def checksum(tensors: dict[str, Tensor], description: dict[str, Any]) -> str:
    """SHA-256 over the description and, in the order of their names, every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
