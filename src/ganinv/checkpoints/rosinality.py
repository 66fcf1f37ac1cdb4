"""Files of rosinality's ``stylegan2-pytorch`` and of the pSp family (pSp, e4e, ReStyle, HyperStyle, ...), whose decoder is the same network.

The weights are NVIDIA's under other names, with axes of length one added; :func:`generator_names` and :func:`discriminator_names` are the
whole dictionary. NVIDIA's generators come in PyTorch files too, as whole modules (PTI's tuned ones); they are handed on.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import GanInvError, printable, shown
from ..stylegan2 import Discriminator, Generator
from ..stylegan2.ops import binomial_filter
from .checkpoint import Checkpoint, check_networks, json_values, reading, writing
from .modules import MAX_PARTS, is_module, part, state_of, tensors, unwrapped
from .networks import (
    NOISE_SEED,
    OtherNetworkError,
    State,
    build_discriminator,
    build_generator,
    estimate_w_avg,
    matrix,
    optional,
)
from .nvlabs import networks_of
from .torchfiles import read_torch_file
from .unpickle import Instance, Namespace

# (NVIDIA's key, rosinality's key, leading axes of length one to add, trailing ones)
Dictionary = list[tuple[str, str, int, int]]
TRAINING_ARGS = (
    "iter",
    "batch",
    "size",
    "latent",
    "n_mlp",
    "r1",
    "lr",
    "mixing",
    "channel_multiplier",
    "augment",
    "dataset_type",
    "encoder_type",
)
MAX_BLOCKS = 8  # above 4x4: 1024 pixels


def generator_names(blocks: int, mapping_layers: int) -> Dictionary:
    """The parameters of a generator with ``blocks`` blocks above 4x4."""
    names: Dictionary = []
    for j in range(mapping_layers):
        names += [(f"mapping.fc{j}.{kind}", f"style.{j + 1}.{kind}", 0, 0) for kind in ("weight", "bias")]
    names.append(("synthesis.b4.const", "input.input", 1, 0))
    convs, rgbs = [("b4.conv1", "conv1")], [("b4.torgb", "to_rgb1")]
    for i in range(blocks):
        res = 8 << i
        convs += [(f"b{res}.conv0", f"convs.{2 * i}"), (f"b{res}.conv1", f"convs.{2 * i + 1}")]
        rgbs.append((f"b{res}.torgb", f"to_rgbs.{i}"))
    for k, (nvidia, rosinality) in enumerate(convs):
        names += [
            (f"synthesis.{nvidia}.bias", f"{rosinality}.activate.bias", 0, 0),
            (f"synthesis.{nvidia}.noise_strength", f"{rosinality}.noise.weight", 1, 0),
            (f"synthesis.{nvidia}.noise_const", f"noises.noise_{k}", 2, 0),
        ]
    names += [(f"synthesis.{nvidia}.bias", f"{rosinality}.bias", 1, 2) for nvidia, rosinality in rgbs]
    for nvidia, rosinality in convs + rgbs:
        names.append((f"synthesis.{nvidia}.weight", f"{rosinality}.conv.weight", 1, 0))
        names += [
            (f"synthesis.{nvidia}.affine.{kind}", f"{rosinality}.conv.modulation.{kind}", 0, 0)
            for kind in ("weight", "bias")
        ]
    return names


def discriminator_names(blocks: int) -> Dictionary:
    """The parameters of a discriminator with ``blocks`` blocks above 4x4."""
    pairs = [(f"b{4 << blocks}.fromrgb.weight", "convs.0.0.weight"), (f"b{4 << blocks}.fromrgb.bias", "convs.0.1.bias")]
    for k in range(1, blocks + 1):
        res = 8 << (blocks - k)
        pairs += [
            (f"b{res}.conv0.weight", f"convs.{k}.conv1.0.weight"),
            (f"b{res}.conv0.bias", f"convs.{k}.conv1.1.bias"),
            (f"b{res}.conv1.weight", f"convs.{k}.conv2.1.weight"),
            (f"b{res}.conv1.bias", f"convs.{k}.conv2.2.bias"),
            (f"b{res}.skip.weight", f"convs.{k}.skip.1.weight"),
        ]
    pairs += [("b4.conv.weight", "final_conv.0.weight"), ("b4.conv.bias", "final_conv.1.bias")]
    pairs += [
        (f"b4.{layer}.{kind}", f"final_linear.{n}.{kind}")
        for n, layer in enumerate(("fc", "out"))
        for kind in ("weight", "bias")
    ]
    return [(nvidia, rosinality, 0, 0) for nvidia, rosinality in pairs]


# --- reading ------------------------------------------------------------------------------------------------------------------------------


def load_torch(path: str | os.PathLike[str], *, w_avg: bool = True) -> Checkpoint:
    """Read a PyTorch file: rosinality's (as trained or as converted), the pSp family's (its decoder only), or a generator saved as a whole module
    (rosinality's, or NVIDIA's as PTI tunes it).

    ``w_avg`` comes from ``latent_avg``. Where a file has none (rosinality's trainer writes none) it is estimated from 100,000 samples, which
    takes seconds; ``w_avg=False`` leaves it zero. Noise maps that a file lacks are drawn, and a discriminator of another kind is left out, both
    with a note.

    Raises:
        GanInvError: missing or damaged file, a file that calls other code, another network.
    """
    with reading(path) as file:
        content, max_bytes = read_torch_file(file), file.stat().st_size
        kind = torch_format(content)
        if is_module(content):
            content = whole_module(content)
        if kind == "nvlabs":
            return networks_of(content, max_bytes)
        states = (
            psp_states(content)
            if kind == "psp"
            else {name: state_of(content[key]) for name, key in SLOTS.items() if key in content}
        )
        latent_avg = content.get("latent_avg")
        ours = isinstance(content.get("ganinv"), str)
        networks: dict[str, nn.Module] = {}
        metadata = json_values(_metadata(content))
        notes: list[str] = []
        for name, state in states.items():
            if name == "D":
                with optional(notes):
                    networks[name] = discriminator_from(state, name, max_bytes)
            else:
                networks[name] = generator_from(state, latent_avg, name, max_bytes, ours)
                if without_noise(state):
                    metadata["noise_seed"] = NOISE_SEED
                    notes.append(f"{name} comes without noise maps: they were drawn with seed {NOISE_SEED}")
        if not isinstance(latent_avg, Tensor):
            metadata["w_avg"] = "estimated" if w_avg else "missing"
        checkpoint = Checkpoint(networks, metadata, kind, notes)
        if metadata["w_avg"] == "estimated" and not isinstance(latent_avg, Tensor):
            mean = estimate_w_avg(checkpoint.G)
            for network in networks.values():
                if isinstance(network, Generator):
                    network.mapping.w_avg.copy_(mean)
        _ = checkpoint.G  # raises if there is none
        return checkpoint


SLOTS = {"G_ema": "g_ema", "G": "g", "D": "d"}


def torch_format(structure: Any) -> str:
    """``"rosinality"``, ``"psp"`` or ``"nvlabs"``, by the keys of a walked-through file, or by the parts of the module that it is.

    Raises:
        GanInvError: neither.
    """
    if is_module(structure):
        parts = part(unwrapped(structure), "_modules").keys()
        if "synthesis" in parts:
            return "nvlabs"
        if "decoder" in parts:
            return "psp"
        if "to_rgbs" in parts:
            return "rosinality"
        raise GanInvError(
            f"it is a module of the class {shown(structure.class_name)}, not a StyleGAN2 generator that ganinv knows; save the generator's state dict"
        )
    if isinstance(structure, dict):
        if "g_ema" in structure or "g" in structure:
            return "rosinality"
        if isinstance(structure.get("state_dict"), dict) and decoder_of(structure["state_dict"]):
            return "psp"
        if any(is_module(structure.get(name)) for name in ("G_ema", "G")):
            return "nvlabs"
        keys = ", ".join(printable(str(key), 40) for key in list(structure)[:5])
        expected = "g_ema, or state_dict with decoder.*"
        raise GanInvError(
            f"it is a PyTorch file without a StyleGAN2 that ganinv knows: its keys are {keys or 'none'}, not {expected}"
        )
    raise GanInvError("it is a PyTorch file, but not a dictionary of networks; save state dicts under g_ema, g and d")


def whole_module(module: Instance) -> dict[str, Any]:
    """The dictionary that a file would hold, had its one module been saved in one."""
    module = unwrapped(module)
    if "synthesis" in part(module, "_modules"):
        return {"G_ema": module}
    if "decoder" in part(module, "_modules"):
        return {
            "state_dict": tensors(module),
            "latent_avg": module.state.get("latent_avg"),
            "opts": module.state.get("opts"),
        }
    return {"g_ema": module}


def decoder_of(state_dict: Any) -> dict[str, Any]:
    """The part of a pSp-family model's state dict that is rosinality's generator."""
    state = state_of(state_dict)
    return state_of(
        {str(key).removeprefix("decoder."): value for key, value in state.items() if str(key).startswith("decoder.")}
    )


def psp_states(content: dict[str, Any]) -> dict[str, Any]:
    return {"G_ema": decoder_of(content["state_dict"])}


def without_noise(state: Any) -> bool:
    """Whether a state dict of rosinality's generator has no noise map at all; early releases have none."""
    return not any(isinstance(key, str) and key.startswith("noises.") for key in state)


def translate(state: Any, names: Dictionary, name: str) -> State:
    """``state`` in NVIDIA's names. Every key has to be accounted for."""
    if len(state) > MAX_PARTS:
        raise GanInvError(f"{name} has {len(state)} tensors, more than ganinv reads; the file is damaged or hostile")
    translated: State = {}
    for nvidia, rosinality, leading, trailing in names:
        if not isinstance(state.get(rosinality), Tensor):
            raise OtherNetworkError(f"{name} lacks {rosinality}, so it is not rosinality's StyleGAN2")
        tensor = state[rosinality]
        ones = tensor.shape[:leading] + tensor.shape[tensor.ndim - trailing :]
        if tensor.ndim < leading + trailing or any(n != 1 for n in ones):
            raise OtherNetworkError(
                f"{name} has {rosinality} of shape {list(tensor.shape)}, which rosinality's StyleGAN2 cannot have"
            )
        translated[nvidia] = tensor.reshape(tensor.shape[leading : tensor.ndim - trailing])
    known = {rosinality for _, rosinality, _, _ in names}
    low_pass = binomial_filter()
    for key, tensor in state.items():
        if str(key).endswith(".kernel") and isinstance(tensor, Tensor):
            if tensor.shape != (4, 4) or not torch.allclose(tensor.float() / tensor.float().sum(), low_pass, atol=1e-4):
                raise OtherNetworkError(f"{name} resamples with another filter than [1,3,3,1], the only one ganinv has")
        elif key not in known:
            raise OtherNetworkError(
                f"{name} has {printable(str(key), 80)}, which rosinality's StyleGAN2 does not; other architectures are not supported"
            )
    return translated


def blocks_of(state: Any, pattern: str, name: str) -> int:
    """One more than the highest index that ``pattern`` finds among the keys."""
    if not isinstance(state, dict):
        raise OtherNetworkError(f"{name} is not a state dict")
    found = [int(match[1]) for key in state if (match := re.fullmatch(pattern, str(key))) and len(match[1]) < 5]
    if not found or max(found) > 64:
        raise OtherNetworkError(f"{name} is not rosinality's StyleGAN2 (no parameter matches {pattern!r})")
    return max(found) + 1


def generator_from(state: Any, latent_avg: Any, name: str, max_bytes: int, ours: bool = False) -> Generator:
    """``ours``: ganinv wrote it, so z and w may have different sizes."""
    layers = blocks_of(state, r"style\.(\d+)\.weight", name) - 1
    blocks = blocks_of(state, r"to_rgbs\.(\d+)\.bias", name)
    names, draw_noise = generator_names(min(blocks, MAX_BLOCKS + 1), layers), without_noise(state)
    if draw_noise:
        names = [entry for entry in names if not entry[1].startswith("noises.")]
    translated = translate(state, names, name)
    first = matrix(translated, "mapping.fc0.weight")
    if first.shape[1] > first.shape[0] and not ours:
        raise OtherNetworkError(
            f"{name} seems to be a conditional model, converted: its mapping network takes {first.shape[1]} numbers and gives {first.shape[0]}, "
            "and what it takes beside z are class labels; ganinv reads unconditional StyleGAN2 only"
        )
    w_dim = matrix(translated, "synthesis.b4.conv1.affine.weight").shape[-1]
    if isinstance(latent_avg, Tensor):
        if latent_avg.shape[-1:] != (w_dim,):
            raise GanInvError(
                f"its latent_avg has shape {list(latent_avg.shape)}, where the generator asks for {w_dim} numbers"
            )
        if w_dim == 0:
            raise GanInvError(f"{name} has vectors w of no numbers; the file is damaged or hostile")
        rows = latent_avg.reshape(-1, w_dim)
        # The pSp family stores one row a layer, all alike.
        translated["mapping.w_avg"] = rows[0] if bool((rows == rows[0]).all()) else rows.float().mean(dim=0)
    else:
        translated["mapping.w_avg"] = torch.zeros(w_dim, device="cpu", dtype=torch.float32)
    return build_generator(translated, name, max_bytes, hint=(32768, 512), draw_noise=draw_noise)


def discriminator_from(state: Any, name: str, max_bytes: int) -> Discriminator:
    blocks = blocks_of(state, r"convs\.(\d+)\.skip\.1\.weight", name) - 1
    return build_discriminator(
        translate(state, discriminator_names(min(blocks, MAX_BLOCKS + 1)), name), name, max_bytes, hint=(32768, 512)
    )


def _metadata(content: dict[str, Any]) -> dict[str, Any]:
    options = content.get("args") or content.get("opts") or {}
    options = options.values if isinstance(options, Namespace) else options if isinstance(options, dict) else {}
    training = {key: options[key] for key in TRAINING_ARGS if type(options.get(key)) in (int, float, bool, str)}
    stored = json.loads(content["ganinv"]) if isinstance(content.get("ganinv"), str) else {}
    return {**({"training": training} if training else {}), "w_avg": "stored", **stored, "kind": "stylegan2"}


# --- writing ------------------------------------------------------------------------------------------------------------------------------


def save_rosinality(
    path: str | os.PathLike[str],
    networks: dict[str, nn.Module],
    *,
    metadata: dict[str, Any] | None = None,
    strict: bool = True,
) -> None:
    """Write ``g_ema`` and ``latent_avg`` (with ``g`` and ``d`` if there) as rosinality's converter does; the pSp family starts from such files.

    A network that only has ``G`` is written as ``g_ema``. rosinality's classes have no ``conv_clamp`` and a fixed minibatch-std group of 4;
    where that loses something there is a warning.

    Args:
        strict: refuse networks that rosinality's classes cannot hold (they fix 512 channels up to 32 pixels, 16384·m/r from 64 on, and one
            size for z and w). ``False`` writes them in the same layout all the same; ganinv reads it back.

    Raises:
        GanInvError: the file cannot be written, or (strict) rosinality's classes cannot hold the network.
        ValueError: ``networks`` is not what it should be.
    """
    check_networks(networks)
    content: dict[str, Any] = {}
    lost = set()
    for name, network in networks.items():
        assert isinstance(network, Generator | Discriminator)
        config = network.config
        if strict and (reason := inexpressible(network)):
            raise GanInvError(
                f"{path}: rosinality's classes cannot hold {name}: {reason}; strict=False writes its layout for ganinv alone"
            )
        if config["conv_clamp"] is not None:
            lost.add(f"conv_clamp={config['conv_clamp']:g} (activations beyond it will differ)")
        if isinstance(network, Discriminator) and config["mbstd_group_size"] != 4:
            lost.add(f"mbstd_group_size={config['mbstd_group_size']} (rosinality's is 4)")
        slot = "g_ema" if name == "G" and "G_ema" not in networks else SLOTS[name]
        content[slot] = rosinality_state(network)
    G = networks.get("G_ema", networks.get("G"))
    assert isinstance(G, Generator)
    content["latent_avg"] = G.mapping.w_avg.detach().cpu().clone()
    content["ganinv"] = json.dumps(metadata or {})
    if lost:
        warnings.warn(f"{path}: rosinality's format has no place for {' and '.join(sorted(lost))}", stacklevel=2)
    with writing(path) as temporary:
        torch.save(content, temporary)


def inexpressible(network: Generator | Discriminator) -> str | None:
    """Why rosinality's class cannot be made to hold ``network``, or None."""
    if isinstance(network, Generator) and network.z_dim != network.w_dim:
        return f"z has {network.z_dim} dimensions and w {network.w_dim}, rosinality's are equal"
    config: dict[str, Any] = network.config
    base, maximum = config["channel_base"], config["channel_max"]
    multiplier = max(1, min(base // 64, maximum) // 256)  # their channel_multiplier shows at 64 pixels
    for res in (2**i for i in range(2, network.img_resolution.bit_length())):
        have, theirs = min(base // res, maximum), 512 if res <= 32 else 16384 * multiplier // res
        if have != theirs:
            return f"{have} channels at {res} pixels, where rosinality's have {theirs}"
    return None


def rosinality_state(network: Generator | Discriminator) -> State:
    """The state dict that rosinality's class would have, filters included."""
    blocks = network.img_resolution.bit_length() - 3
    state = network.state_dict()
    low_pass = binomial_filter()
    if isinstance(network, Generator):
        names = generator_names(blocks, network.mapping.num_layers)
        up = [f"convs.{2 * i}.conv.blur.kernel" for i in range(blocks)] + [
            f"to_rgbs.{i}.upsample.kernel" for i in range(blocks)
        ]
        kernels = dict.fromkeys(up, low_pass * 4)
    else:
        names = discriminator_names(blocks)
        kernels = dict.fromkeys(
            [f"convs.{k}.{layer}.0.kernel" for k in range(1, blocks + 1) for layer in ("conv2", "skip")], low_pass
        )
    weights = {
        rosinality: state[nvidia][(None,) * leading + (..., *(None,) * trailing)]
        for nvidia, rosinality, leading, trailing in names
    }
    return {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in (weights | kernels).items()
    }
