"""Read pickles without running anything they contain.

A pickle is a program for a small stack machine. Most of its instructions build numbers, lists and dictionaries; the dangerous ones name a
Python global (``GLOBAL``) and call it (``REDUCE``): that is how a checkpoint can run anything on the machine of whoever loads it.
:func:`interpret` knows the harmless instructions and a short table of names, each standing for a small function of *ours*. It imports nothing.
A call of any name outside the table ends the reading with an error that says it. A class outside the table is not looked for: an object of it
(``NEWOBJ``, ``BUILD``) becomes an :class:`Instance`, its class's name and its attributes, which is all that is wanted of a module.
"""

from __future__ import annotations

import mmap
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import GanInvError

MAX_OPCODES = 500_000  # the pickle of a 1024-pixel StyleGAN2 has 40,000
MAX_CALLS = 30_000  # the same pickle has 3,000; each can cost a kilobyte
PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # modules under the names that protocol 2 gives them
MAX_NAME = 200  # characters of a global
SCALARS = (str, bytes, int, float, bool, type(None))
LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}

# what each allowed global stands for; None: it may be mentioned, not called
Names = Mapping[str, Callable[..., Any] | None]


@dataclass(frozen=True)
class Name:
    """A global the pickle mentions. Only its text: nothing is imported."""

    text: str


@dataclass(slots=True, eq=False)
class Instance:
    """An object of a class that is not here: the class's name and the attributes. Its methods, and what it contains, stay unread.

    Modules come so: as plain Python objects, and as those of NVIDIA's ``torch_utils.persistence``, whose source code is dropped. So do the values
    beside the weights (a device, a path, an array) that nobody asks for.
    """

    class_name: str
    state: dict[str, Any] = field(default_factory=dict)


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
    calls = 0

    def since_mark() -> list[Any]:
        nonlocal stack
        items, stack = stack, outer.pop()
        return items

    def call(name: Any, arguments: Any, new: bool) -> Any:
        nonlocal calls
        calls += 1
        if calls > MAX_CALLS:
            raise GanInvError(
                f"its pickle makes over {MAX_CALLS} objects, more than ganinv reads; save the networks' state dicts alone"
            )
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise ValueError("a call of something that is not a global")
        if new and name.text not in names:
            return Instance(name.text)
        function = names[known(name, names).text]
        if function is None:
            raise ValueError(f"a call of {name.text}")
        return function(*arguments)

    for count, (opcode, arg, _) in enumerate(pickletools.genops(stream)):  # type: ignore[arg-type]
        if count > MAX_OPCODES:
            raise GanInvError(
                f"its pickle has over {MAX_OPCODES} instructions, more than ganinv reads; save the networks' state dicts alone"
            )
        match opcode.name:
            case "FRAME":
                pass
            case "PROTO" if checked(arg, int) <= 5:
                pass
            case "STOP":
                if isinstance(result := stack.pop(), Name):
                    raise GanInvError(f"it is the Python global {result.text} and nothing else; name a checkpoint")
                return result
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
                extend(stack[-1], [item])
            case "APPENDS":
                items = since_mark()
                extend(stack[-1], items)
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
            case "FROZENSET":
                items = since_mark()
                stack.append(set(scalars(items)))
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[arg])  # type: ignore[index]
            case "GLOBAL":
                stack.append(mentioned(*str(arg).split(" ", 1)))
            case "STACK_GLOBAL":
                module, attribute = checked(stack.pop(-2), str), checked(stack.pop(), str)
                stack.append(mentioned(module, attribute))
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack.append(call(stack.pop(), arguments, new=opcode.name == "NEWOBJ"))
            case "OBJ" if outer and stack and isinstance(stack[0], Name):  # an old way to call
                known(stack[0], names)
                raise ValueError(f"an old-style object of {stack[0].text}")
            case "BUILD":
                state = stack.pop()
                set_state(stack[-1], state)
            case "BINPERSID" if persistent is not None:
                stack.append(persistent(stack.pop()))
            case name:
                raise GanInvError(
                    f"its pickle uses the instruction {name}, which ganinv does not read, and nothing in it was run; save state dicts instead"
                )
    raise ValueError("the pickle has no end")


def mentioned(module: str, attribute: str = "") -> Name:
    """The global of that name. To name one is harmless (the type of an attribute, say); calls ask :func:`known`."""
    if len(module) + len(attribute) > MAX_NAME:
        raise GanInvError(
            f"it names a Python global of {len(module) + len(attribute)} characters; the file is damaged or hostile"
        )
    if module.startswith(("dnnlib.tflib", "tfutil")):
        raise GanInvError(
            "it is a TensorFlow StyleGAN pickle; convert it first in NVIDIA's stylegan2-ada-pytorch: python legacy.py --source=OLD.pkl --dest=NEW.pkl"
        )
    return Name(f"{PYTHON_2.get(module, module)}.{attribute}")


def known(name: Name, names: Names) -> Name:
    """``name``, if it may be called."""
    if name.text in names:
        return name
    raise GanInvError(
        f"it asks for the Python global {name.text}, which ganinv does not know to be harmless, so it was refused and nothing in it was run; "
        "use a copy from a source you trust, or one that stores state dicts instead of whole objects"
    )


def checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


def scalars(items: Any) -> list[Any]:
    """``items``, if they are plain values: hashing anything else (tuples of tuples of ...) could take for ever. So could whole numbers of
    more than 64 bits, of which any number share a hash."""
    if not all(type(item) in SCALARS for item in items):
        raise TypeError("only plain values can be keys")
    if not all(-(2**63) <= item < 2**64 for item in items if type(item) is int):
        raise ValueError("a key of more than 64 bits")
    return list(items)


def put(target: Any, items: list[Any]) -> Any:
    if not isinstance(target, Instance):
        checked(target, dict).update(zip(scalars(items[::2]), items[1::2], strict=True))
    return target


def extend(target: Any, items: list[Any]) -> None:
    if not isinstance(target, Instance):
        checked(target, list).extend(items)


def set_state(target: Any, state: Any) -> None:
    """What ``BUILD`` may do: set attributes, or tell a numpy dtype its byte order. The attributes of an ordered dict do not matter here."""
    if isinstance(target, NumpyType):
        target.order = checked(checked(state, tuple)[1], str)
    elif isinstance(target, Namespace):
        target.values = checked(state, dict)
    elif isinstance(target, Instance):
        target.state = state if type(state) is dict else target.state  # an array's or a date's is a tuple or bytes
    else:
        checked(target, dict)


# --- the functions that names stand for ---------------------------------------------------------------------------------------------------
# None copies much: a pickle can name the same long argument a hundred thousand times.


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """A view of ``storage``, if it stays inside. On the meta device, which has shapes only, if the storage has not been read."""
    checked(storage, Storage)
    numbers = [checked(n, int) for n in (offset, *checked(size, tuple), *checked(stride, tuple))]
    if len(size) != len(stride) or len(size) > 8 or min(numbers) < 0 or max(numbers) >= 2**63:
        raise ValueError("a tensor of impossible shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if prod(size) > storage.numel or (prod(size) and last >= storage.numel):
        raise GanInvError(
            f"it claims a tensor of shape {list(size)} in memory for {storage.numel} numbers; if it is an expanded one, save a copy of it (clone)"
        )
    if storage.data is None:
        return torch.empty_strided(size, stride, dtype=storage.dtype, device="meta")
    return torch.empty(0, dtype=storage.dtype).set_(storage.data, offset, size, stride)


def rebuild_parameter(tensor: Any, *_: Any) -> Tensor:
    """Without gradients, hooks and attributes."""
    if not isinstance(tensor, Tensor):
        raise TypeError("a parameter that is not a tensor")
    return tensor


def empty_dict() -> dict[Any, Any]:
    return {}


def rebuild_from_type(function: Any, kind: Any, arguments: Any, *_: Any) -> Any:
    """A tensor of a class of its own, or with attributes: the tensor alone."""
    if function != Name("torch._utils._rebuild_tensor_v2"):
        raise TypeError("a tensor made by another function")
    return rebuild_tensor(*checked(arguments, tuple))


def default_dict(*_: Any) -> dict[Any, Any]:
    """Its items follow; what it makes for other keys does not matter."""
    return {}


def small_set(items: Any = ()) -> set[Any]:
    """How pickle protocols before 4 spell a set."""
    return set(scalars(items[:16]))


def unread(*_: Any) -> Instance:
    """A value that is of no use here, whatever it was made from."""
    return Instance("")


def nested_name(owner: Any, attribute: Any) -> Name:
    """How pickle protocols before 4 spell the name of a class inside a class: ``getattr(Outer, "Inner")``."""
    if not isinstance(owner, Name):
        raise GanInvError(
            "it calls builtins.getattr on a value, which was refused, and nothing in it was run; use a copy from a source you trust"
        )
    return mentioned(owner.text, checked(attribute, str))


def old_style_object(kind: Any, *_: Any) -> Instance:
    """How pickle protocols before 2 spell an object of a class."""
    if not isinstance(kind, Name):
        raise TypeError("an object of something that is not a class")
    return Instance(kind.text)


def numpy_scalar(dtype: Any, data: Any) -> bool | int | float | Instance:
    if not re.fullmatch(NUMBERS, checked(dtype, NumpyType).code):
        return Instance(dtype.code)
    return np.frombuffer(checked(data, bytes), np.dtype(dtype.code).newbyteorder(dtype.order), count=1)[0].item()


NUMBERS = r"b1|[iu][1248]|f[248]"


def numpy_type(code: Any, *_: Any) -> NumpyType:
    if not re.fullmatch(NUMBERS + r"|[fc]\d{1,2}|[SUVmM]\d{1,8}", checked(code, str)):
        raise TypeError(f"numpy dtype {code!r}")
    return NumpyType(code)


def persistent_object(meta: Any) -> Instance:
    return Instance(checked(checked(meta, dict)["class_name"], str), checked(meta["state"], dict))


def encode(text: Any, encoding: Any) -> bytes | Instance:
    """How pickle protocols before 3 spell bytes; those of a numpy number, others are not read."""
    if encoding != "latin1":
        raise ValueError("bytes in an unknown encoding")
    return text.encode("latin-1") if len(checked(text, str)) <= 16 else Instance("bytes")


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
# Values that training scripts leave beside the weights. None of them is made.
PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path")
UNREAD = (
    *("torch.device", "torch.Size", "torch.Generator"),
    *(
        f"numpy.{core}.{name}"
        for core in ("core", "_core")
        for name in ("multiarray._reconstruct", "numeric._frombuffer")
    ),
    *(
        "collections.deque",
        "collections.Counter",
        "builtins.complex",
        "builtins.slice",
        "builtins.range",
        "builtins.xrange",
        "builtins.bytearray",
    ),
    *("datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta", "datetime.timezone"),
    *("decimal.Decimal", "fractions.Fraction", "uuid.UUID", "types.SimpleNamespace"),
    *(f"{module}.{kind}" for module in ("pathlib", "pathlib._local") for kind in PATHS),
)
TORCH_NAMES: Names = {
    **dict.fromkeys(STORAGES),
    **dict.fromkeys(UNREAD, unread),
    "collections.OrderedDict": empty_dict,
    "collections.defaultdict": default_dict,
    "dnnlib.util.EasyDict": empty_dict,
    "builtins.set": small_set,
    "builtins.frozenset": small_set,
    "argparse.Namespace": Namespace,
    "builtins.getattr": nested_name,
    "copyreg._reconstructor": old_style_object,
    "torch._utils._rebuild_parameter": rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": rebuild_parameter,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._tensor._rebuild_from_type_v2": rebuild_from_type,
    "_codecs.encode": encode,
    "numpy.core.multiarray.scalar": numpy_scalar,
    "numpy._core.multiarray.scalar": numpy_scalar,
    "numpy.dtype": numpy_type,
    "torch_utils.persistence._reconstruct_persistent_obj": persistent_object,
}
