"""Write files so that nothing half-written is ever left behind, in one encoding; and name them to people."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is renamed to ``path``, on any error it is removed.

    The content is on the disk before it gets the name, so a power cut leaves the old file or the new one. The parent folder is created. The
    temporary name keeps the suffix, because writers choose their format by it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private; give the result the usual permissions
        _to_disk(temporary)
        os.replace(temporary, target)
        with suppress(OSError):  # not every system lets a folder be opened; the file itself is safe
            _to_disk(target.parent)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8, whatever the locale; whole, or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def shown(path: str | os.PathLike[str]) -> str:
    """A file's name as text that can be printed, drawn and kept in any file: bytes of it that are not UTF-8 become ``\\xe9`` and the like."""
    return os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _to_disk(path: Path) -> None:
    """Wait until what was written to a file (or into the list of a folder's files) is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
