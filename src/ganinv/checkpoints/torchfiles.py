"""PyTorch files, zipped or from before that, and NVIDIA's pickles, which hold a little PyTorch file for each tensor.

All are read by :func:`~.unpickle.interpret`. Every size is checked against the bytes that are there, and the numbers stay in the file, which is
mapped into memory, until a network copies those that it needs: the states of optimisers are never read.
"""

from __future__ import annotations

import io
import mmap
import os
import struct
import zipfile
from typing import IO, Any

import torch

from ..errors import GanInvError
from .unpickle import STORAGES, TORCH_NAMES, Name, Names, Storage, checked, interpret

TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a PyTorch file from before the zip format
TORCH_MAGIC_BYTES = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
Memory = bytearray | mmap.mmap  # the bytes of a whole file, as torch can use them without a copy


def read_nvlabs_pickle(path: str | os.PathLike[str]) -> Any:
    """The content of a ``stylegan2-ada-pytorch`` pickle, with :class:`~.unpickle.Instance` objects for the modules and tensors bit for bit."""
    remaining = os.path.getsize(path)

    def load_from_bytes(
        data: Any,
    ) -> Storage:  # torch.storage._load_from_bytes, which calls torch.load without any protection
        nonlocal remaining
        remaining -= len(checked(data, bytes))
        if remaining < 0:
            raise GanInvError("it uses the same bytes for many tensors; the file is damaged or hostile")
        return read_storage(data)

    # A map never reads past its end, whatever length the pickle claims.
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        return interpret(stream, {**TORCH_NAMES, "torch.storage._load_from_bytes": load_from_bytes})


def read_storage(data: bytes) -> Storage:
    """A storage that was pickled as a little PyTorch file of its own."""
    return checked(inspect_torch_file(io.BytesIO(data), len(data), memory=bytearray(data)), Storage)


def read_torch_file(path: str | os.PathLike[str]) -> Any:
    """The content of a ``torch.save`` file. Its tensors are views of the file: copy what is to stay, and change nothing."""
    with open(path, "rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # closed when the last tensor is gone
        return inspect_torch_file(file, len(memory), memory=memory)


def inspect_torch_file(file: IO[bytes], size: int, names: Names = TORCH_NAMES, memory: Memory | None = None) -> Any:
    """Walk through a ``torch.save`` file of ``size`` bytes, zip or legacy, and return its structure with tensors on the meta device.

    Args:
        memory: the same bytes once more; tensors are then views of it.

    Raises:
        GanInvError: a call of a global outside ``names``, a failed checksum, or sizes that do not fit the file.
    """
    start = file.read(4)
    file.seek(0)
    return (
        _inspect_zip(file, size, names, memory)
        if start == b"PK\x03\x04"
        else _inspect_legacy(file, size, names, memory)
    )


def _inspect_zip(file: IO[bytes], size: int, names: Names, memory: Memory | None) -> Any:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()) or any(
            entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()
        ):
            raise GanInvError(
                "it is a zip file, but not one that PyTorch wrote; name a checkpoint, unpacked if need be"
            )
        if sum(entry.file_size for entry in entries.values()) > size:
            raise GanInvError("its parts claim to be larger than the file; the file is damaged or hostile")
        if broken := archive.testzip():
            raise GanInvError(f"its part {broken} fails its checksum; download or copy it again")
        pickles = [name for name in entries if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise GanInvError("it is a zip file, but not a PyTorch checkpoint; name a checkpoint, unpacked if need be")
        folder = pickles[0].removesuffix("data.pkl")
        order = entries.get(f"{folder}byteorder")
        if order is not None and archive.read(order) != b"little":
            raise GanInvError(
                "it was written on a machine of the other byte order; load it with torch.load and save it again on this one"
            )
        found: dict[str, Storage] = {}

        def storage(reference: Any) -> Storage | Name:
            if (kind := module_reference(reference)) is not None:
                return kind
            new, key = storage_reference(reference)
            entry = entries[f"{folder}data/{key}"]
            if entry.file_size != new.numel * new.dtype.itemsize:
                raise GanInvError("it claims tensors of another size than it holds; the file is damaged or hostile")
            if memory is not None and key not in found:
                # of the name and the padding that the data comes after
                lengths = struct.unpack_from("<HH", memory, entry.header_offset + 26)
                new.data = view(memory, entry.header_offset + 30 + sum(lengths), entry.file_size)
            return found.setdefault(key, new)

        return interpret(io.BytesIO(archive.read(pickles[0])), names, storage)


def _inspect_legacy(file: IO[bytes], size: int, names: Names, memory: Memory | None) -> Any:
    found: dict[str, Storage] = {}
    data_bytes = 0

    def storage(reference: Any) -> Storage | Name:
        nonlocal data_bytes
        if (kind := module_reference(reference)) is not None:
            return kind
        new, key = storage_reference(reference)
        if key not in found:
            data_bytes += 8 + new.numel * new.dtype.itemsize  # each storage is preceded by its length
        old = found.setdefault(key, new)
        if data_bytes > size or (old.dtype, old.numel) != (new.dtype, new.numel):
            raise GanInvError("it claims more tensor data than it holds; the file is damaged or hostile")
        return old

    if interpret(file, {}) != TORCH_MAGIC:
        raise GanInvError("it is not a PyTorch file; download or copy it again")
    interpret(file, {})  # protocol version
    interpret(file, {})  # byte order and sizes of the machine that wrote it
    start = file.tell()
    structure = interpret(file, names, storage)
    keys = interpret(file, {})  # of the storages that follow, in their order
    position = file.tell()
    if position + data_bytes > size:
        raise GanInvError("it is cut short; download or copy it again")
    if memory is None:
        return structure
    if sorted(checked(keys, list)) != sorted(found):
        raise GanInvError("it lists other tensor data than it uses; the file is damaged or hostile")
    for key in keys:
        (numel,) = struct.unpack_from("<q", memory, position)
        if numel != found[key].numel:
            raise GanInvError("it holds tensors of another size than it claims; the file is damaged or hostile")
        nbytes = numel * found[key].dtype.itemsize
        found[key].data = view(memory, position + 8, nbytes)
        position += 8 + nbytes
    if isinstance(structure, Storage):
        return structure
    file.seek(start)  # once more: now that it is known where the numbers are
    return interpret(file, names, storage)


def view(memory: Memory, start: int, nbytes: int) -> torch.UntypedStorage:
    """``nbytes`` of ``memory`` as torch's storage, without a copy.

    Raises:
        ValueError: they are not all there.
    """
    if nbytes == 0:
        return torch.UntypedStorage(0)
    return torch.frombuffer(memory, dtype=torch.uint8, count=nbytes, offset=start).untyped_storage()


def storage_reference(reference: Any) -> tuple[Storage, str]:
    """PyTorch's way to point from the pickle to tensor data: ``("storage", type, key, device, numel[, view])``."""
    kind, name, key, _, numel, *rest = checked(reference, tuple)
    if kind != "storage" or rest not in ([], [None]) or not isinstance(name, Name) or checked(numel, int) < 0:
        raise ValueError("a reference to something that is not tensor data")
    return Storage(STORAGES[name.text], numel), checked(key, str)


def module_reference(reference: Any) -> Name | None:
    """How a file from before the zip format mentions a module's class: ``("module", class, file, source code)``. The code stays unread."""
    if type(reference) is tuple and len(reference) == 4 and reference[0] == "module" and isinstance(reference[1], Name):
        return reference[1]
    return None
