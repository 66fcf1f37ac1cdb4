"""What need not be computed twice: a folder of the user's whose files are named by all that their contents depend on."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

import torch
from platformdirs import user_cache_path
from torch import Tensor, nn

_NUMERICAL = ("stylegan2", "losses", "encoders", "perception", "photos", "run", "inversion")  # the sources that results depend on


def cache_folder() -> Path:
    """``$GANINV_CACHE``, or the system's place for such files (``~/.cache/ganinv`` on Linux). It may be deleted at any time."""
    return Path(os.environ.get("GANINV_CACHE") or user_cache_path("ganinv", appauthor=False))


def fingerprint(*parts: str | Tensor | nn.Module | None) -> str:
    """SHA-256 of texts, tensors (type, shape, values) and networks (all weights and buffers), in their order."""
    digest = hashlib.sha256()
    for part in parts:
        _add(digest, part)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, part: str | Tensor | nn.Module | None) -> None:
    if isinstance(part, nn.Module):
        for name, tensor in sorted(part.state_dict().items()):
            _add(digest, name)
            _add(digest, tensor)
    elif isinstance(part, Tensor):
        digest.update(f"{part.dtype} {list(part.shape)}".encode())
        digest.update(part.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    else:
        digest.update(f"{part!r};".encode())


@lru_cache
def software() -> str:
    """What the same numbers can be expected from: the versions of ganinv and PyTorch, and the source of all that computes."""
    from . import __version__

    digest = hashlib.sha256(f"{__version__} {torch.__version__}".encode())
    root = Path(__file__).parent
    for name in _NUMERICAL:
        for path in sorted((root / name).glob("*.py")) if (root / name).is_dir() else [root / name]:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
