"""Whole modules, as pickles hold them: their tensors by name, and the attributes that no tensor shows."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..errors import GanInvError
from .networks import State
from .unpickle import Instance

MAX_PARTS = (
    20_000  # modules and tensors together; a 1024-pixel network has about 400, a pSp model with its encoder 2000
)
MAX_KEY = 200  # characters of a tensor's full name; they have 50
WRAPPERS = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name


def part(module: Instance, kind: str) -> dict[str, Any]:
    """``_parameters``, ``_buffers`` or ``_modules`` of a module."""
    found = module.state.get(kind)
    return found if isinstance(found, dict) else {}


def is_module(value: Any) -> bool:
    return isinstance(value, Instance) and isinstance(value.state.get("_modules"), dict)


def unwrapped(module: Instance) -> Instance:
    """The module inside ``DataParallel`` and the like."""
    for _ in range(5):
        children = part(module, "_modules")
        inner = children.get(WRAPPERS[0][:-1], children.get(WRAPPERS[1][:-1]))
        if len(children) != 1 or not isinstance(inner, Instance):
            break
        module = inner
    return module


def tensors(module: Instance) -> State:
    """All parameters and buffers under their dotted names, as ``state_dict()`` would give them.

    Raises:
        GanInvError: more parts or longer names than a network has (a module can contain itself).
    """
    found: State = {}
    waiting, parts = [("", module)], 0
    while waiting:
        prefix, current = waiting.pop()
        groups = [part(current, kind) for kind in ("_parameters", "_buffers", "_modules")]
        parts += 1 + sum(len(group) for group in groups)
        if parts > MAX_PARTS:
            raise GanInvError(
                f"it holds a network of over {MAX_PARTS} modules and tensors, more than ganinv reads; the file is damaged or hostile"
            )
        for key, value in [item for group in groups for item in group.items()]:
            if not isinstance(key, str) or len(prefix) + len(key) > MAX_KEY:
                raise GanInvError(
                    f"it names a part of a network with over {MAX_KEY} characters; the file is damaged or hostile"
                )
            if isinstance(value, Tensor):
                found[prefix + key] = value
            elif isinstance(value, Instance):
                waiting.append((f"{prefix}{key}.", value))
    return found


def state_of(network: Any) -> Any:
    """The state dict of a network that a file holds, as such or as a whole module, without the prefix that wrappers give every name.

    Anything else is returned as it is: the readers of networks say what is wrong with it.
    """
    state: Any = tensors(network) if is_module(network) else network
    if not isinstance(state, dict):
        return state
    for _ in range(5):
        prefix = next(
            (p for p in WRAPPERS if state and all(isinstance(key, str) and key.startswith(p) for key in state)), None
        )
        if prefix is None:
            break
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def submodule(module: Instance, path: str) -> dict[str, Any]:
    """The attributes of a module inside ``module``; empty if it is not there."""
    for name in path.split("."):
        child = part(module, "_modules").get(name)
        if not isinstance(child, Instance):
            return {}
        module = child
    return module.state
