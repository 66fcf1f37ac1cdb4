"""Read pickles, and PyTorch files made of pickles, without running anything they contain.

A pickle is a program for a small stack machine. Most of its instructions build numbers, lists and dictionaries; the dangerous ones name a
Python global (``GLOBAL``) and call it (``REDUCE``): that is how a checkpoint can run anything on the machine of whoever loads it.
:func:`interpret` knows the harmless instructions and a short table of names, each standing for a small function of *ours*. It imports nothing,
and any name outside the table ends the reading with an error that says it.

PyTorch files are walked through this way first (:func:`inspect_torch_file`), and only then given to ``torch.load(weights_only=True)``: the walk
names what is wrong, checks every size against the bytes that are there, and keeps ``weights_only`` from being the only defence (up to
PyTorch 2.5 it could be tricked into running code, CVE-2025-32434).
"""

from __future__ import annotations

import io
import mmap
import os
import pickletools
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import GanInvError

MAX_OPCODES = 500_000  # the pickle of a 1024-pixel StyleGAN2 has 40,000
TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a PyTorch file from before the zip format
TORCH_MAGIC_BYTES = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
SCALARS = (str, bytes, int, float, bool, type(None))
LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}

Names = Mapping[str, Callable[..., Any] | None]  # what each allowed global stands for; None: it may be mentioned, not called


@dataclass(frozen=True)
class Name:
    """A global the pickle mentions. Only its text: nothing is imported."""

    text: str


@dataclass
class Persistent:
    """An object of NVIDIA's ``torch_utils.persistence``: its class name and state. The source code that travels with it is dropped."""

    class_name: str
    state: dict[str, Any]


@dataclass
class Storage:
    """The memory that tensors are views of; ``data`` is None while a file is only being walked through."""

    dtype: torch.dtype
    numel: int
    data: torch.UntypedStorage | None = None


@dataclass
class Namespace:
    """An ``argparse.Namespace``: the options a network was trained with."""

    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class NumpyType:
    """A numpy dtype of one number."""

    code: str
    order: str = "="


# --- the stack machine --------------------------------------------------------------------------------------------------------------------


def interpret(stream: IO[bytes] | mmap.mmap, names: Names, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Build the object that one pickle describes, from literals, containers and the functions in ``names`` alone.

    Args:
        stream: positioned at the pickle; left right behind it.
        names: ``{"module.global": function}``; the function gets the pickle's arguments and has to check them.
        persistent: what to make of PyTorch's references to storages.

    Raises:
        GanInvError: a global outside ``names``, or an instruction that no checkpoint needs.
        Exception: of many types, when the pickle is malformed.
    """
    stack: list[Any] = []
    outer: list[list[Any]] = []  # the stacks below each MARK
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        nonlocal stack
        items, stack = stack, outer.pop()
        return items

    def call(name: Any, arguments: Any) -> Any:
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise ValueError("a call of something that is not a global")
        function = names[name.text]
        if function is None:
            raise ValueError(f"a call of {name.text}")
        return function(*arguments)

    for count, (opcode, arg, _) in enumerate(pickletools.genops(stream)):  # type: ignore[arg-type]
        if count > MAX_OPCODES:
            raise GanInvError(f"its pickle has over {MAX_OPCODES} instructions, far more than a checkpoint needs; the file is damaged or hostile")
        match opcode.name:
            case "FRAME":
                pass
            case "PROTO" if checked(arg, int) <= 5:
                pass
            case "STOP":
                return stack.pop()
            case name if name in LITERALS:
                stack.append(arg)
            case "NONE":
                stack.append(None)
            case "NEWTRUE":
                stack.append(True)
            case "NEWFALSE":
                stack.append(False)
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_SET":
                stack.append(set())
            case "MARK":
                outer.append(stack)
                stack = []
            case "POP":
                stack.pop()
            case "POP_MARK":
                since_mark()
            case "DUP":
                stack.append(stack[-1])
            case "LIST":
                items = since_mark()
                stack.append(items)
            case "TUPLE":
                items = since_mark()
                stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [stack.pop() for _ in range(int(opcode.name[-1]))]
                stack.append(tuple(reversed(items)))
            case "DICT":
                items = since_mark()
                stack.append(put(dict(), items))
            case "APPEND":
                item = stack.pop()
                checked(stack[-1], list).append(item)
            case "APPENDS":
                items = since_mark()
                checked(stack[-1], list).extend(items)
            case "SETITEM":
                items = [stack.pop(-2), stack.pop()]
                put(stack[-1], items)
            case "SETITEMS":
                items = since_mark()
                put(stack[-1], items)
            case "ADDITEMS":
                items = since_mark()
                checked(stack[-1], set).update(scalars(items))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[arg] = stack[-1]  # type: ignore[index]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[arg])  # type: ignore[index]
            case "GLOBAL":
                stack.append(allowed(str(arg).replace(" ", ".", 1), names))
            case "STACK_GLOBAL":
                module, attribute = checked(stack.pop(-2), str), checked(stack.pop(), str)
                stack.append(allowed(f"{module}.{attribute}", names))
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack.append(call(stack.pop(), arguments))
            case "BUILD":
                state = stack.pop()
                set_state(stack[-1], state)
            case "BINPERSID" if persistent is not None:
                stack.append(persistent(stack.pop()))
            case name:
                raise GanInvError(f"its pickle uses the instruction {name}, which no StyleGAN2 checkpoint needs; refused, and nothing was run")
    raise ValueError("the pickle has no end")


def allowed(name: str, names: Names) -> Name:
    if name in names:
        return Name(name)
    if name.startswith(("dnnlib.tflib", "tfutil")):
        raise GanInvError(
            "it is a TensorFlow StyleGAN pickle; convert it first in NVIDIA's stylegan2-ada-pytorch: python legacy.py --source=OLD.pkl --dest=NEW.pkl"
        )
    raise GanInvError(
        f"it asks for the Python global {name}, which no StyleGAN2 checkpoint needs, so it was refused and nothing in it was run; "
        "use a copy from a source you trust, or one that stores state dicts instead of whole objects"
    )


def checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


def scalars(items: Any) -> list[Any]:
    """``items``, if they are plain values: hashing anything else (tuples of tuples of ...) could take for ever."""
    if not all(type(item) in SCALARS for item in items):
        raise TypeError("only plain values can be keys")
    return list(items)


def put(target: Any, items: list[Any]) -> dict[Any, Any]:
    checked(target, dict).update(zip(scalars(items[::2]), items[1::2], strict=True))
    return target


def set_state(target: Any, state: Any) -> None:
    """What ``BUILD`` may do: fill a namespace, or tell a numpy dtype its byte order. The attributes of an ordered dict do not matter here."""
    if isinstance(target, NumpyType):
        target.order = checked(checked(state, tuple)[1], str)
    elif isinstance(target, Namespace):
        target.values = checked(state, dict)
    else:
        checked(target, dict)


# --- the functions that names stand for ---------------------------------------------------------------------------------------------------
# None copies much: a pickle can name the same long argument a hundred thousand times.


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """A view of ``storage``, if it stays inside. On the meta device, which has shapes only, if the storage has not been read."""
    checked(storage, Storage)
    numbers = [checked(n, int) for n in (offset, *checked(size, tuple), *checked(stride, tuple))]
    if len(size) != len(stride) or len(size) > 8 or min(numbers) < 0:
        raise ValueError("a tensor of impossible shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if prod(size) > storage.numel or (prod(size) and last >= storage.numel):
        raise GanInvError(f"it claims a tensor of shape {list(size)} in memory for {storage.numel} numbers; the file is damaged or hostile")
    if storage.data is None:
        return torch.empty_strided(size, stride, dtype=storage.dtype, device="meta")
    return torch.empty(0, dtype=storage.dtype).set_(storage.data, offset, size, stride)


def rebuild_parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError("a parameter that is not a tensor")
    return tensor


def empty_dict() -> dict[Any, Any]:
    return {}


def small_set(items: Any = ()) -> set[Any]:
    """How pickle protocols before 4 spell a set."""
    return set(scalars(items[:16]))


def numpy_scalar(dtype: Any, data: Any) -> bool | int | float:
    checked(dtype, NumpyType)
    return np.frombuffer(checked(data, bytes), np.dtype(dtype.code).newbyteorder(dtype.order), count=1)[0].item()


def numpy_type(code: Any, *_: Any) -> NumpyType:
    if not re.fullmatch(r"b1|[iu][1248]|f[248]", checked(code, str)):
        raise TypeError(f"numpy dtype {code!r}")
    return NumpyType(code)


def persistent_object(meta: Any) -> Persistent:
    return Persistent(checked(checked(meta, dict)["class_name"], str), checked(meta["state"], dict))


def encode(text: Any, encoding: Any) -> bytes:
    """How pickle protocols before 3 spell bytes; here those of a numpy number."""
    if encoding != "latin1" or len(checked(text, str)) > 16:
        raise ValueError("bytes that are not a number's")
    return text.encode("latin-1")


STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
STORAGE_NAMES: Names = dict.fromkeys(STORAGES)
TORCH_NAMES: Names = {
    **STORAGE_NAMES,
    "collections.OrderedDict": empty_dict,
    "builtins.set": small_set,
    "__builtin__.set": small_set,
    "argparse.Namespace": Namespace,
    "torch._utils._rebuild_parameter": rebuild_parameter,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
}
NVLABS_NAMES: Names = {
    **TORCH_NAMES,
    "dnnlib.util.EasyDict": empty_dict,
    "_codecs.encode": encode,
    "numpy.core.multiarray.scalar": numpy_scalar,
    "numpy._core.multiarray.scalar": numpy_scalar,
    "numpy.dtype": numpy_type,
    "torch_utils.persistence._reconstruct_persistent_obj": persistent_object,
}


# --- files --------------------------------------------------------------------------------------------------------------------------------


def read_nvlabs_pickle(path: str | os.PathLike[str]) -> Any:
    """The content of a ``stylegan2-ada-pytorch`` pickle, with :class:`Persistent` objects for the modules and tensors bit for bit."""
    remaining = os.path.getsize(path)

    def load_from_bytes(data: Any) -> Storage:  # torch.storage._load_from_bytes, which calls torch.load without any protection
        nonlocal remaining
        remaining -= len(checked(data, bytes))
        if remaining < 0:
            raise GanInvError("it uses the same bytes for many tensors; the file is damaged or hostile")
        return read_storage(data)

    # A map never reads past its end, whatever length the pickle claims.
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        return interpret(stream, {**NVLABS_NAMES, "torch.storage._load_from_bytes": load_from_bytes})


def read_storage(data: bytes) -> Storage:
    """A storage that was pickled as a little PyTorch file of its own."""
    storage = checked(inspect_torch_file(io.BytesIO(data), len(data), STORAGE_NAMES), Storage)
    loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    untyped = loaded._untyped_storage  # as torch itself does: the public way there warns
    if loaded.dtype != storage.dtype or untyped.nbytes() != storage.numel * storage.dtype.itemsize:
        raise ValueError("a storage of another size than announced")
    storage.data = untyped
    return storage


def inspect_torch_file(file: IO[bytes], size: int, names: Names = TORCH_NAMES) -> Any:
    """Walk through a ``torch.save`` file of ``size`` bytes, zip or legacy, and return its structure with tensors on the meta device.

    Raises:
        GanInvError: a global outside ``names``, a failed checksum, or sizes that do not fit the file.
    """
    start = file.read(4)
    file.seek(0)
    return _inspect_zip(file, size, names) if start == b"PK\x03\x04" else _inspect_legacy(file, size, names)


def _inspect_zip(file: IO[bytes], size: int, names: Names) -> Any:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()) or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise GanInvError("it is a zip file, but not one that PyTorch wrote; name a checkpoint, unpacked if need be")
        if sum(entry.file_size for entry in entries.values()) > size:
            raise GanInvError("its parts claim to be larger than the file; the file is damaged or hostile")
        if broken := archive.testzip():
            raise GanInvError(f"its part {broken} fails its checksum; download or copy it again")
        pickles = [name for name in entries if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise GanInvError("it is a zip file, but not a PyTorch checkpoint; name a checkpoint, unpacked if need be")
        folder = pickles[0].removesuffix("data.pkl")

        def storage(reference: Any) -> Storage:
            found, key = storage_reference(reference)
            if entries[f"{folder}data/{key}"].file_size != found.numel * found.dtype.itemsize:
                raise GanInvError("it claims tensors of another size than it holds; the file is damaged or hostile")
            return found

        return interpret(io.BytesIO(archive.read(pickles[0])), names, storage)


def _inspect_legacy(file: IO[bytes], size: int, names: Names) -> Any:
    found: dict[str, Storage] = {}
    data_bytes = 0

    def storage(reference: Any) -> Storage:
        nonlocal data_bytes
        new, key = storage_reference(reference)
        if key not in found:
            data_bytes += 8 + new.numel * new.dtype.itemsize  # each storage is preceded by its length
        if data_bytes > size or found.setdefault(key, new) != new:
            raise GanInvError("it claims more tensor data than it holds; the file is damaged or hostile")
        return new

    if interpret(file, {}) != TORCH_MAGIC:
        raise GanInvError("it is not a PyTorch file; download or copy it again")
    interpret(file, {})  # protocol version
    interpret(file, {})  # byte order and sizes of the machine that wrote it
    structure = interpret(file, names, storage)
    interpret(file, {})  # keys of the storages that follow
    if file.tell() + data_bytes > size:
        raise GanInvError("it is cut short; download or copy it again")
    return structure


def storage_reference(reference: Any) -> tuple[Storage, str]:
    """PyTorch's way to point from the pickle to tensor data: ``("storage", type, key, device, numel[, view])``."""
    kind, name, key, _, numel, *view = checked(reference, tuple)
    if kind != "storage" or view not in ([], [None]) or not isinstance(name, Name) or checked(numel, int) < 0:
        raise ValueError("a reference to something that is not tensor data")
    return Storage(STORAGES[name.text], numel), checked(key, str)
