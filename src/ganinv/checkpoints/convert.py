"""One door to all formats: tell them apart, read them, write them, convert between them, describe them. Nothing in a file is ever executed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from ..errors import GanInvError
from ..stylegan2 import Generator
from ..stylegan2.ops import num_channels
from .checkpoint import Checkpoint, reading
from .native import load_checkpoint, save_checkpoint
from .nvlabs import load_nvlabs, save_nvlabs
from .rosinality import load_torch, save_rosinality, torch_format
from .torchfiles import TORCH_MAGIC_BYTES, inspect_torch_file

SUFFIXES = {".safetensors": "native", ".pkl": "nvlabs", ".pt": "rosinality"}
WRITERS = {"native": save_checkpoint, "nvlabs": save_nvlabs, "rosinality": save_rosinality}


def detect(path: str | os.PathLike[str]) -> str:
    """The format of a checkpoint by its content (the first bytes, and the keys of a PyTorch file): ``"native"``, ``"nvlabs"``,
    ``"rosinality"`` or ``"psp"``. That it is whole, only :func:`load` can say.

    Raises:
        GanInvError: none of them, or no readable file.
    """
    with reading(path) as file:
        kind = _family(file)
        if kind != "torch":
            return kind
        with open(file, "rb") as stream:
            return torch_format(inspect_torch_file(stream, file.stat().st_size))


def _family(file: Path) -> str:
    """``"native"``, ``"nvlabs"`` or ``"torch"`` by the first bytes."""
    with open(file, "rb") as stream:
        start = stream.read(64)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= file.stat().st_size:
        return "native"
    if start.startswith((b"PK\x03\x04", TORCH_MAGIC_BYTES)):
        return "torch"
    if start.lstrip().startswith(b"<"):
        raise GanInvError("it is a web page, not a checkpoint, so the download went wrong; download it again")
    if start[:1] == b"\x80" or file.suffix in (".pkl", ".pickle"):
        return "nvlabs"
    raise GanInvError(
        "it is no checkpoint that ganinv knows; it reads its own .safetensors, NVIDIA's .pkl and rosinality's or pSp's .pt files"
    )


def load(path: str | os.PathLike[str], *, w_avg: bool = True) -> Checkpoint:
    """Read a checkpoint of any format. Networks come in eval mode, float32, on the CPU.

    Args:
        w_avg: estimate the mean of W where the file has none (100,000 samples, some seconds); ``False`` leaves it zero.

    Raises:
        GanInvError: missing, damaged, hostile or unsupported file.
    """
    with reading(path) as file:
        kind = _family(file)
    if kind == "native":
        return load_checkpoint(path)
    return load_nvlabs(path) if kind == "nvlabs" else load_torch(path, w_avg=w_avg)


def format_for(path: str | os.PathLike[str]) -> str:
    """The format that a file's suffix asks for.

    Raises:
        GanInvError: unknown suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise GanInvError(
            f"{path}: name the output .safetensors (ganinv's format), .pkl (NVIDIA's) or .pt (rosinality's)"
        )
    return SUFFIXES[suffix]


def save(path: str | os.PathLike[str], checkpoint: Checkpoint, format: str | None = None, **options: Any) -> None:
    """Write ``checkpoint`` in the ``format`` given (``"native"``, ``"nvlabs"``, ``"rosinality"``) or asked for by the suffix.

    ``options`` go to the writer: ``dtype`` (native), ``strict`` (rosinality).

    Raises:
        GanInvError: unknown suffix, the format cannot hold the networks, or the file cannot be written.
    """
    kind = format or format_for(path)
    if kind not in WRITERS:
        raise ValueError(f"format must be one of {', '.join(WRITERS)}, not {kind!r}")
    WRITERS[kind](path, checkpoint.networks, metadata=checkpoint.metadata, **options)


def convert(src: str | os.PathLike[str], dst: str | os.PathLike[str], **options: Any) -> Checkpoint:
    """Rewrite ``src`` in the format that the suffix of ``dst`` asks for, noting where it came from; returns what was written.

    Raises:
        GanInvError: as :func:`load` and :func:`save`; ``dst`` is then left as it was.
    """
    format_for(dst)  # before the work
    checkpoint = load(src)
    origin = dict(file=Path(src).name, format=checkpoint.format, sha256=file_sha256(src))
    checkpoint.metadata.setdefault("converted_from", origin)
    save(dst, checkpoint, **options)
    return checkpoint


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a checkpoint in JSON values, executing nothing: ``format``, ``networks`` (parameters, configuration and channels of each),
    ``resolution``, ``z_dim``, ``w_dim``, ``mapping_layers``, ``num_ws``, ``has_discriminator``, ``w_avg`` (``"stored"`` or ``"missing"``: it will
    be estimated when the file is loaded), ``file_size`` in bytes, ``sha256`` of the file, ``training`` and ``licence`` (None if the file does
    not say), ``notes`` (what is left out or made up when it is loaded), ``metadata``.

    Raises:
        GanInvError: as :func:`load`.
    """
    checkpoint = load(path, w_avg=False)
    G = checkpoint.G
    networks = {}
    for name, network in checkpoint.networks.items():
        config = network.config
        assert isinstance(config, dict)
        resolutions = [2**i for i in range(2, config["img_resolution"].bit_length())]
        networks[name] = {
            "kind": "generator" if isinstance(network, Generator) else "discriminator",
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "channels": {str(r): num_channels(r, config["channel_base"], config["channel_max"]) for r in resolutions},
            **config,
        }
    metadata = checkpoint.metadata
    return {
        "format": checkpoint.format,
        "networks": networks,
        "resolution": G.img_resolution,
        "z_dim": G.z_dim,
        "w_dim": G.w_dim,
        "mapping_layers": G.config["num_layers"],
        "num_ws": G.num_ws,
        "has_discriminator": checkpoint.D is not None,
        "w_avg": metadata["w_avg"],
        "file_size": os.path.getsize(path),
        "sha256": file_sha256(path),
        "training": metadata.get("training"),
        "licence": metadata.get("licence"),
        "notes": checkpoint.notes,
        "metadata": metadata,
    }


def file_sha256(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
