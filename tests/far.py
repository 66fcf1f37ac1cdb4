"""A device that is nowhere: tensors that say they are on it, compute as on the CPU, and mind whom they meet.

A GPU's mistakes are found with it on any machine. ``far()`` is the context in which the device :data:`FAR` exists; in it an operation raises

* where a tensor of that device meets one of the CPU (numbers, that is tensors without dimensions, may meet all, as on a GPU);
* where random numbers are drawn on that device, and would depend on it;
* where such a tensor is turned into an array or pickled without ``cpu()``;
* where a line of the package makes a tensor and names no device, or no dtype (constructors of networks apart: networks are made and then moved).
"""

import sys
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

import ganinv

FAR = torch.device("lazy")  # a kind that PyTorch knows, that needs no driver, and that nobody here has
PACKAGE = Path(ganinv.__file__).parent
MOVES = ("aten::copy_", "aten::_to_copy")
JOINS = ("aten::cat", "aten::stack")  # which take no number from another device either
FACTORIES = (
    "arange",
    "empty",
    "eye",
    "full",
    "hann_window",
    "linspace",
    "ones",
    "rand",
    "randint",
    "randn",
    "randperm",
    "tensor",
    "zeros",
)


class MisplacedError(Exception):
    """Something that would fail on a GPU, or would not be the same there."""


class Far(torch.Tensor):
    """A tensor on :data:`FAR`; ``near`` holds its values."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, near):
        facts = dict(strides=near.stride(), storage_offset=near.storage_offset(), dtype=near.dtype, device=FAR)
        return torch.Tensor._make_wrapper_subclass(cls, near.size(), **facts)

    def __init__(self, near):
        self.near = near

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})

    def __repr__(self, **options):
        return f"Far({self.near!r})"

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, *arguments, **options):
        raise MisplacedError("an array was asked for without cpu()")

    __array__ = numpy

    def __reduce_ex__(self, protocol):
        raise MisplacedError("a tensor was pickled where it was")


def compute(function, args, kwargs):
    """One operation, among tensors that are all on one device."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    strangers = [tensor for tensor in tensors if not isinstance(tensor, Far)]
    met = len(strangers) < len(tensors)
    if (
        met
        and function.name().split(".")[0] not in MOVES
        and any(x.dim() or function.name() in JOINS for x in strangers)
    ):
        raise MisplacedError(f"{function.name()} of tensors on the CPU and elsewhere")
    goal = kwargs.get("device")
    far = met if goal is None else torch.device(goal).type == FAR.type
    if far and torch.Tag.nondeterministic_seeded in function.tags:
        raise MisplacedError(f"{function.name()} draws random numbers away from the CPU")
    near_args, near_kwargs = tree_map_only(Far, lambda tensor: tensor.near, (args, kwargs))
    if goal is not None:
        near_kwargs["device"] = torch.device("cpu")
    # in that mode PyTorch cannot wrap a view
    with (
        torch.inference_mode(torch.is_inference_mode_enabled() and not far),
        torch.no_grad(),
    ):
        result = function(*near_args, **near_kwargs)
        if function.name() == "aten::copy_":
            return args[0]
        return _wrapped(result, tensors) if far else result


def _wrapped(result, tensors):
    # an operation in place gives back what it was given
    whose = {id(tensor.near): tensor for tensor in tensors if isinstance(tensor, Far)}
    return tree_map_only(torch.Tensor, lambda tensor: whose[id(tensor)] if id(tensor) in whose else Far(tensor), result)


class _Here(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


class _Named(TorchFunctionMode):
    """Looks at the calls that lines in ``folder`` make."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.factories = str(folder), {getattr(torch, name) for name in FACTORIES}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in self.factories and not {"device", "dtype"} <= kwargs.keys():
            caller = sys._getframe(1)
            name, owner = caller.f_code.co_name, caller.f_locals.get("self")
            excused = (
                name == "__init__" and isinstance(owner, nn.Module)
            ) or name == "__torch_function__"  # which hands on what others call
            if caller.f_code.co_filename.startswith(self.folder) and not excused:
                raise MisplacedError(f"{caller.f_code.co_filename}:{caller.f_lineno} names no device, or no dtype")
        # PyTorch fills these two on the CPU, and then moves them past the dispatcher.
        if function is torch.tensor and torch.device(kwargs.get("device") or "cpu") == FAR:
            return torch.tensor(*args, **(kwargs | {"device": "cpu"})).to(FAR)
        if function is torch.Tensor.new_tensor and isinstance(args[0], Far):
            return args[0].near.new_tensor(*args[1:], **kwargs).to(FAR)
        return function(*args, **kwargs)


@contextmanager
def far(folder=PACKAGE):
    """In this context there is the device :data:`FAR`, and what is done in ``folder`` is watched."""
    with mock.patch("torch.optim.adam._device_dtype_check_for_fused"), _Named(folder), _Here():
        yield


def here(*values):
    """Whether all tensors in ``values``, dictionaries and lists however deep, are plain ones on the CPU, and there is one."""
    tensors = [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]
    return bool(tensors) and all(type(tensor) is torch.Tensor and tensor.device.type == "cpu" for tensor in tensors)
