"""What need not be computed twice: a folder of the user's whose files are named by all that their contents depend on."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

import torch
from platformdirs import user_cache_path
from torch import Tensor, nn

# the sources that results depend on
_NUMERICAL = (
    "stylegan2",
    "losses",
    "encoders",
    "perception",
    "photos",
    "run",
    "inversion",
    "inverse",
    "devices.py",
)


class CacheWarning(UserWarning):
    """Results are not kept where they usually are, or not at all; they are the same."""


def cache_folder() -> Path:
    """``$GANINV_CACHE``, or the system's place for such files (``~/.cache/ganinv`` on Linux). It may be deleted at any time.

    :warns CacheWarning: that place cannot be written (a home that is read-only, or none at all): a folder for temporary files stands in for it.
    """
    named = os.environ.get("GANINV_CACHE")
    return Path(named) if named else _writable(user_cache_path("ganinv", appauthor=False))


@lru_cache
def _writable(folder: Path) -> Path:
    """``folder``, or where it cannot be made or written, one among the temporary files that is this user's alone."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if folder.is_absolute() and there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return folder
    stand_in = (
        Path(tempfile.gettempdir())
        / f"ganinv-{os.getuid() if hasattr(os, 'getuid') else os.environ.get('USERNAME', '')}"
    )
    try:
        stand_in.mkdir(mode=0o700, exist_ok=True)
        if (
            stand_in.is_symlink()
            or not stand_in.is_dir()
            or (hasattr(os, "getuid") and stand_in.stat().st_uid != os.getuid())
        ):
            raise FileExistsError
    except OSError:  # somebody else's
        stand_in = Path(tempfile.mkdtemp(prefix="ganinv-"))
    warnings.warn(
        f"{folder}, the cache, cannot be written: {stand_in} stands in for it (or name a folder in GANINV_CACHE)",
        CacheWarning,
        stacklevel=3,
    )
    return stand_in


def fingerprint(*parts: str | Tensor | nn.Module | None) -> str:
    """SHA-256 of texts, tensors (type, shape, values) and networks (class, configuration, all weights and buffers), in their order."""
    digest = hashlib.sha256()
    for part in parts:
        _add(digest, part)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, part: str | Tensor | nn.Module | None) -> None:
    if isinstance(part, nn.Module):
        # what computes differently with the same weights
        _add(digest, f"{type(part).__name__} {getattr(part, 'config', None)}")
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
