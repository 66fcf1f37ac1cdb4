"""Files of trained encoders: float16 weights beside a description, tied to the generator that they were trained for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ..cache import fingerprint
from ..checkpoints.networks import Layout
from ..checkpoints.unpickle import checked
from ..errors import GanInvError, printable
from ..files import atomic_path
from .base_code import BaseCodeEncoder
from .consultation import Consultation
from .masked import MaskedEncoder
from .style import StyleEncoder

if TYPE_CHECKING:
    from ..zoo import Bundle

Network = TypeVar("Network", bound=nn.Module)
SMALL = 4096  # values; smaller tensors, such as the statistics of a batch norm, stay float32

# A file of weights names its network, and may ask for no other.
NETWORKS: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (StyleEncoder, BaseCodeEncoder, Consultation, MaskedEncoder)
}


def encoder_for(method: str, gan: Bundle, name: str, kind: type[Network], in_channels: int | None = None) -> Network:
    """The encoder ``name`` of the bundle, or from that file, if it is of the form that ``method`` needs.

    Raises:
        GanInvError: there is none, it is of another form, or it was trained for another generator.
    """
    network = gan.encoder(name)
    if not isinstance(network, kind) or (in_channels is not None and network.config["in_channels"] != in_channels):  # type: ignore[index]
        raise GanInvError(
            f"the encoder {name} is not of the kind that {method} takes: train one with `ganinv train encoder {method}`."
        )
    return network


def trained_for(network: nn.Module) -> str:
    """The method that an encoder was trained for, by the description in its file."""
    return str(cast("dict[str, Any]", network.card)["method"])


def identity(network: nn.Module) -> str:
    """Fingerprint of an encoder as its file holds it: the same before it was saved and after it was loaded."""
    packed = {name: _packed(tensor) for name, tensor in sorted(network.state_dict().items())}
    return fingerprint(
        type(network).__name__, repr(network.config), *(part for item in packed.items() for part in item)
    )


def save_encoder(
    path: str | Path,
    network: nn.Module,
    method: str,
    generator: str,
    training: dict[str, Any],
    basic_encoder: str | None = None,
) -> Path:
    """Write ``network``, which has its arguments as ``config``, with the ``sha256`` of the bundle that it belongs to, and with the :func:`identity`
    of the encoder over which it was trained, if it was.

    Raises:
        GanInvError: the file cannot be written.
    """
    path = Path(path)
    card = {
        "method": method,
        "network": type(network).__name__,
        "config": network.config,
        "generator": generator,
        "training": training,
    }
    card |= {} if basic_encoder is None else {"basic_encoder": basic_encoder}
    tensors = {name: _packed(tensor) for name, tensor in network.state_dict().items()}
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"card": json.dumps(card)})
    except (OSError, SafetensorError) as error:
        raise GanInvError(
            f"{path} cannot be written ({getattr(error, 'strerror', None) or error}): give another file."
        ) from error
    return path


def _packed(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.is_floating_point() and tensor.numel() > SMALL else tensor


def load_encoder(path: str | Path, generator: str | None = None) -> nn.Module:
    """The network in ``path``, frozen, in evaluation mode, with the file's description as its ``card``.

    Args:
        generator: ``sha256`` of the bundle that it is to be used with; ``None`` to accept any.

    Raises:
        GanInvError: no such file, not an encoder's, or one that was trained for another generator.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {})["card"])
        config = _sizes(card["config"])
        with Layout(max_bytes=path.stat().st_size):  # a description of a few bytes can ask for any number of weights
            network: nn.Module = NETWORKS[card["network"]](**config)
        _fill(network, load_file(path))
        method, made_for = printable(str(card["method"]), 40), str(card["generator"])
    except FileNotFoundError:
        raise GanInvError(f"{path} does not exist: give a file that `ganinv train encoder` wrote.") from None
    except (
        OSError,
        SafetensorError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:
        raise GanInvError(
            f"{path} is not the file of an encoder ({type(error).__name__}): give one that `ganinv train encoder` wrote."
        ) from error
    if generator is not None and made_for != generator:
        raise GanInvError(
            f"{path} was trained for another generator: train one for this with `ganinv train encoder {method}`."
        )
    network.card = card  # type: ignore[assignment]
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _sizes(config: Any) -> dict[str, Any]:
    """The arguments of a network, if they are whole numbers, and widths lists of them: text and lists can be multiplied, too.

    Raises:
        TypeError: they are not.
    """
    for key, value in config.items():
        if not all(
            type(number) in (int, bool) for number in (checked(value, list) if key.endswith("widths") else [value])
        ):
            raise TypeError(f"{key} is not a whole number")
    return config


def _fill(network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Give the tensors of a file to ``network``, of which there is only the layout so far.

    Raises:
        RuntimeError: names or shapes differ.
        ValueError: other types of numbers, or NaN.
    """
    for name, like in network.state_dict().items():
        tensor = tensors.get(name, like)
        if tensor.is_floating_point() != like.is_floating_point():
            raise ValueError(f"{name} is of type {tensor.dtype}")
        if tensor is not like and not torch.isfinite(tensor).all():
            raise ValueError(f"{name} has NaN or infinite values")
    network.load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()},
        assign=True,
    )
