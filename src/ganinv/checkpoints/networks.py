"""From a state dict to a network: every hyper-parameter that shows in the tensors is read from the tensors.

All formats meet here, in NVIDIA's parameter names. Nothing a file claims about itself is trusted with memory: networks are laid out without
weights, and only take over tensors whose names and shapes fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..devices import randn
from ..errors import GanInvError, printable, shown
from ..stylegan2 import Discriminator, Generator
from ..stylegan2.ops import binomial_filter, num_channels

State = dict[str, Tensor]
Network = TypeVar("Network", Generator, Discriminator)
MAX_LAYERS = 64  # of the mapping network; the paper's has 8
NOISE_SEED = 0  # of the noise maps of networks that come without
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class OtherNetworkError(GanInvError):
    """A sound network that ganinv does not have."""


class Layout(TorchFunctionMode):
    """Networks made under it have the shapes of their weights only: nothing is allocated, and no random number drawn.

    The device ``meta`` alone would do, but its arithmetic is written in Python and takes seconds to import.

    Args:
        max_bytes: stop with a ``ValueError`` as soon as the tensors made would not fit into a file of that size, were they float16.
    """

    FACTORIES = (torch.randn, torch.empty, torch.zeros, torch.ones, torch.full)
    # initial values, memory formats
    ARITHMETIC = (
        Tensor.div,
        Tensor.__truediv__,
        Tensor.mul_,
        Tensor.zero_,
        Tensor.fill_,
        Tensor.to,
    )
    LEAST = 32  # bytes of a tensor in any file: its name, type and shape

    def __init__(self, max_bytes: int | None = None):
        super().__init__()
        self.max_bytes, self.bytes = max_bytes, 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in self.FACTORIES:
            shape = args[0] if isinstance(args[0], list | tuple) else args
            self.bytes += 2 * prod(shape) + self.LEAST
            if self.max_bytes is not None and self.bytes > self.max_bytes:
                raise ValueError("it asks for more weights than the file has bytes")
            return torch.empty(list(shape), device="meta", dtype=kwargs.get("dtype"))
        if function in self.ARITHMETIC and args[0].is_meta:
            return args[0]
        if getattr(function, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)


def fit_channels(channels: Mapping[int, int], hint: tuple[int, int] | None = None) -> tuple[int, int]:
    """Find ``(channel_base, channel_max)`` with ``channels[r] == min(channel_base // r, channel_max)`` for all resolutions r.

    Many pairs give the same network; ``hint`` is preferred if it is one of them, else the smallest is returned.
    """
    # every base that works is at least this
    smallest = (
        max(c * r for r, c in channels.items()),
        max(channels.values()),
    )
    for base, maximum in ([hint] if hint and type(hint[0]) is type(hint[1]) is int else []) + [smallest]:
        if all(num_channels(r, base, maximum) == c for r, c in channels.items()):
            return base, maximum
    layout = ", ".join(f"{r}: {c}" for r, c in sorted(channels.items()))
    raise OtherNetworkError(
        f"its channels by resolution ({layout}) are not of the form min(channel_base // r, channel_max), so ganinv cannot hold it"
    )


def build_generator(
    state: State,
    name: str,
    max_bytes: int,
    conv_clamp: float | None = None,
    hint: tuple[int, int] | None = None,
    draw_noise: bool = False,
) -> Generator:
    """The generator that ``state`` (NVIDIA's names) belongs to, holding its weights, in eval mode.

    Args:
        name: what errors call it.
        max_bytes: refuse more tensor bytes than this (the file's size): many tensors can share the same few bytes of a hostile file.
        conv_clamp: a run-time setting that no tensor shows.
        hint: see :func:`fit_channels`.
        draw_noise: give it noise maps drawn with ``NOISE_SEED``, for ``state`` has none; they are the same for all networks of a size.
    """
    check_family(state, name)
    resolutions = block_resolutions(state, r"synthesis\.b(\d+)\.conv1\.weight", name)
    if any(f"synthesis.b{r}.torgb.weight" not in state or f"synthesis.b{r}.skip.weight" in state for r in resolutions):
        raise OtherNetworkError(
            f"{name} is not of the 'skip' architecture (one toRGB a resolution), the only one ganinv has"
        )
    first, fc0 = matrix(state, "synthesis.b4.conv1.affine.weight"), matrix(state, "mapping.fc0.weight")
    rgb = state[f"synthesis.b{resolutions[-1]}.torgb.weight"].shape[0]
    if rgb != 3:
        raise OtherNetworkError(f"{name} makes images of {rgb} channels; ganinv reads RGB models only")
    base, maximum = fit_channels({r: state[f"synthesis.b{r}.conv1.weight"].shape[0] for r in resolutions}, hint)
    layers = [key for key in state if re.fullmatch(r"mapping\.fc\d+\.weight", key)]
    if len(layers) > MAX_LAYERS:
        raise OtherNetworkError(f"{name} has {len(layers)} mapping layers; ganinv reads up to {MAX_LAYERS}")
    config: dict[str, Any] = dict(
        z_dim=fc0.shape[1],
        w_dim=first.shape[1],
        img_resolution=resolutions[-1],
        num_layers=len(layers),
        channel_base=base,
        channel_max=maximum,
        conv_clamp=setting(conv_clamp),
    )
    with Layout():
        network = Generator(**config)
    return fill(network, state, name, max_bytes, noise_maps(network) if draw_noise else {})


def check_family(state: State, name: str) -> None:
    """Refuse the relatives of the unconditional StyleGAN2 generator by name."""
    if any(key.startswith(("synthesis.L", "synthesis.input.")) for key in state):
        raise OtherNetworkError(f"{name} is a StyleGAN3 network; ganinv reads StyleGAN2 only")
    if any(key.startswith("mapping.embed.") for key in state):
        raise OtherNetworkError(
            f"{name} is a conditional model (it takes class labels); ganinv reads unconditional StyleGAN2 only"
        )


@contextmanager
def optional(notes: list[str]) -> Iterator[None]:
    """A discriminator that ganinv does not have is no reason to refuse its generator: leave it out, and say so. A damaged one is."""
    try:
        yield
    except OtherNetworkError as error:
        notes.append(printable(f"read without its discriminator: {error}", 300))


def build_discriminator(
    state: State,
    name: str,
    max_bytes: int,
    conv_clamp: float | None = None,
    mbstd_group_size: int | None = 4,
    hint: tuple[int, int] | None = None,
) -> Discriminator:
    """The discriminator that ``state`` (NVIDIA's names) belongs to, as :func:`build_generator`."""
    if any(key.startswith("mapping.") for key in state):
        raise OtherNetworkError(
            f"{name} is a conditional model (it takes class labels); ganinv reads unconditional StyleGAN2 only"
        )
    resolutions = block_resolutions(state, r"b(\d+)\.conv1\.weight", name, b4="b4.conv.weight")
    if any(
        f"b{r}.skip.weight" not in state or (f"b{r}.fromrgb.weight" in state) != (r == resolutions[-1])
        for r in resolutions[1:]
    ):
        raise OtherNetworkError(f"{name} is not of the 'resnet' architecture, the only one ganinv has")
    rgb = state[f"b{resolutions[-1]}.fromrgb.weight"].shape[1:2]
    if rgb != (3,):
        raise OtherNetworkError(f"{name} takes images of {list(rgb)} channels; ganinv reads RGB models only")
    channels = {4: state["b4.conv.weight"].shape[0]} | {
        r: state[f"b{r}.conv0.weight"].shape[0] for r in resolutions[1:]
    }
    base, maximum = fit_channels(channels, hint)
    config: dict[str, Any] = dict(
        img_resolution=resolutions[-1],
        channel_base=base,
        channel_max=maximum,
        conv_clamp=setting(conv_clamp),
        mbstd_group_size=setting(mbstd_group_size),
    )
    with Layout():
        network = Discriminator(**config)
    return fill(network, state, name, max_bytes)


def block_resolutions(state: State, pattern: str, name: str, b4: str | None = None) -> list[int]:
    """4, 8, ..., R from the keys, checked to be complete and within the sizes ganinv builds."""
    found = {int(match[1]) for key in state if (match := re.fullmatch(pattern, key)) and len(match[1]) <= 5} | (
        {4} if b4 in state else set()
    )
    top = max(found, default=0)
    if top not in (8, 16, 32, 64, 128, 256, 512, 1024) or found != {2**i for i in range(2, top.bit_length())}:
        raise OtherNetworkError(
            f"{name} is not a StyleGAN2 network of 8 to 1024 pixels (blocks found: {sorted(found) or 'none'})"
        )
    if any(
        state[key].ndim != 4
        for key in state
        if re.fullmatch(r"(synthesis\.)?b\d+\.(conv\d?|torgb|skip|fromrgb)\.weight", key)
    ):
        raise GanInvError(f"{name} has convolution weights that are not four-dimensional")
    return sorted(found)


def matrix(state: State, key: str) -> Tensor:
    if key not in state or state[key].ndim != 2:
        raise GanInvError(f"it lacks the matrix {key} of a StyleGAN2 generator")
    return state[key]


def noise_maps(network: Generator) -> State:
    """Noise maps for ``network``, drawn from a generator of their own, in the order of the layers."""
    random = torch.Generator().manual_seed(NOISE_SEED)
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items() if key.endswith(".noise_const")}
    return {key: torch.randn(shape, generator=random) for key, shape in shapes.items()}


def fill(network: Network, state: State, name: str, max_bytes: int, defaults: State | None = None) -> Network:
    """Give the tensors of ``state`` to ``network`` (laid out), after checking all there is to check about them; ``defaults`` are for those that
    it lacks."""
    expected = network.state_dict()
    defaults = defaults or {}
    missing: list[str] = [
        key for key in expected if key not in state and key not in defaults and not key.endswith("resample_filter")
    ]
    unknown: list[str] = [key for key in state if key not in expected and not key.endswith("resample_filter")]
    if missing or unknown:
        difference = "; ".join([*summary("lacks", missing), *summary("has", unknown)])
        raise OtherNetworkError(f"{name} is another kind of network than ganinv's StyleGAN2: it {difference}")
    if sum(tensor.nbytes for tensor in state.values()) > max_bytes:
        raise GanInvError(f"{name} claims more weights than the file has bytes; the file is damaged or hostile")
    low_pass = binomial_filter()
    own: State = {}
    for key, like in expected.items():
        tensor = state[key] if key in state else defaults.get(key, low_pass)  # rosinality stores its filters elsewhere
        if tensor.shape != like.shape:
            raise OtherNetworkError(
                f"{name} has {key} of shape {list(tensor.shape)} where its other tensors ask for {list(like.shape)}"
            )
        if tensor.dtype not in FLOATS:
            raise GanInvError(f"{name} stores {key} as {tensor.dtype}; weights must be floating-point numbers")
        tensor = tensor.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        if not torch.isfinite(tensor).all():
            raise GanInvError(
                f"{name} has NaN or infinite values in {key}, so its training diverged or the file is damaged; use an earlier snapshot"
            )
        if key.endswith("resample_filter") and not torch.allclose(tensor, low_pass, atol=1e-4):
            raise OtherNetworkError(f"{name} resamples with another filter than [1,3,3,1], the only one ganinv has")
        own[key] = tensor
    network.load_state_dict(own, assign=True)
    return network.eval()


def summary(verb: str, keys: list[str]) -> list[str]:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return [f"{verb} {', '.join(keys[:3])}{more}"] if keys else []


def setting(value: Any) -> Any:
    """A clamp or group size a file states: a sane number or None."""
    if value is None or (type(value) in (int, float) and 0 < value < 1e9):
        return value
    raise ValueError(f"a setting of {shown(value)}")


@torch.no_grad()
def estimate_w_avg(G: Generator, samples: int = 100_000, seed: int = 0) -> Tensor:
    """The mean ``[w_dim]`` of ``samples`` mapped z, which training would have tracked as ``w_avg``. The same on every call."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(G.mapping.w_dim, dtype=torch.float64, device="cpu")
    batch = max(1, min(1000, 2**24 // max(G.z_dim, G.num_ws * G.w_dim)))  # a small file can have large vectors
    for start in range(0, samples, batch):
        z = randn([min(batch, samples - start), G.z_dim], generator, G.device)
        total += G.mapping(z)[:, 0].cpu().double().sum(dim=0)
    return (total / samples).float()
