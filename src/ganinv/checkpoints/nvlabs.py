"""Pickles of NVIDIA's ``stylegan2-ada-pytorch``, read without their code and written without copying it.

Such a pickle is a dict of whole modules. Each is stored as a call that first executes the Python source embedded beside its state. The reader
keeps the state only, and takes from it the tensors and the few settings that no tensor shows.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import warnings
from typing import Any

from torch import nn

from ..errors import GanInvError, shown
from ..stylegan2 import Discriminator, Generator
from ..stylegan2.discriminator import Conv2dLayer, DiscriminatorBlock, DiscriminatorEpilogue
from ..stylegan2.generator import (
    FullyConnectedLayer,
    MappingNetwork,
    SynthesisBlock,
    SynthesisLayer,
    SynthesisNetwork,
    ToRGBLayer,
)
from .checkpoint import NETWORKS, Checkpoint, check_networks, json_values, reading, writing
from .modules import is_module, submodule, tensors, unwrapped
from .networks import OtherNetworkError, build_discriminator, build_generator, check_family, optional
from .torchfiles import read_nvlabs_pickle
from .unpickle import Instance


def load_nvlabs(path: str | os.PathLike[str]) -> Checkpoint:
    """Read the networks of a ``stylegan2-ada-pytorch`` pickle (``G``, ``D``, ``G_ema``; any may be missing but one generator).

    Nothing in the file is executed. StyleGAN2 pickles of the ``stylegan3`` repository have the same structure and are read too. So is a single
    generator. A discriminator of another kind is left out, with a note.

    Raises:
        GanInvError: missing or damaged file, a pickle that calls other code, a conditional model, another architecture, StyleGAN3, a
            TensorFlow pickle.
    """
    with reading(path) as file:
        data = read_nvlabs_pickle(file)
        data = {"G_ema": data} if is_module(data) else data
        if not isinstance(data, dict) or not any(is_module(data.get(name)) for name in NETWORKS):
            raise GanInvError(
                "it is a pickle, but not one of NVIDIA's networks (a dict with G, D and G_ema); save a state dict as g_ema with torch.save instead"
            )
        return networks_of(data, file.stat().st_size)


def networks_of(data: dict[str, Any], max_bytes: int) -> Checkpoint:
    """The networks that ``data`` holds as NVIDIA's modules, under ``G_ema``, ``G`` and ``D``."""
    networks: dict[str, nn.Module] = {}
    notes: list[str] = []
    for name in NETWORKS:
        if not is_module(data.get(name)):
            continue
        if name == "D":
            with optional(notes):
                networks[name] = _discriminator(unwrapped(data[name]), name, max_bytes)
        else:
            networks[name] = _generator(unwrapped(data[name]), name, max_bytes)
    checkpoint = Checkpoint(networks, json_values(_metadata(data)), "nvlabs", notes)
    _ = checkpoint.G  # raises if there is none
    return checkpoint


def _generator(module: Instance, name: str, max_bytes: int) -> Generator:
    state = tensors(module)
    check_family(state, name)
    conv, fc0 = submodule(module, "synthesis.b4.conv1"), submodule(module, "mapping.fc0")
    multiplier = fc0.get("bias_gain", argument(module, "lr_multiplier", 0.01))
    if not isinstance(multiplier, int | float) or not math.isclose(multiplier, 0.01, rel_tol=1e-6):
        raise OtherNetworkError(
            f"{name}'s mapping network has the learning-rate multiplier {shown(multiplier)}; ganinv's is fixed at 0.01"
        )
    check_activation(conv, name)
    clamp = conv.get("conv_clamp", argument(module, "conv_clamp"))
    return build_generator(state, name, max_bytes, conv_clamp=clamp, hint=channel_hint(module))


def _discriminator(module: Instance, name: str, max_bytes: int) -> Discriminator:
    conv, mbstd = submodule(module, "b8.conv0"), submodule(module, "b4.mbstd")
    check_activation(conv, name)
    clamp, group = (
        conv.get("conv_clamp", argument(module, "conv_clamp")),
        mbstd.get("group_size", argument(module, "mbstd_group_size", 4)),
    )
    return build_discriminator(
        tensors(module), name, max_bytes, conv_clamp=clamp, mbstd_group_size=group, hint=channel_hint(module)
    )


def argument(module: Instance, key: str, default: Any = None) -> Any:
    """A keyword argument that the network was made with, on its own or inside another (``synthesis_kwargs`` and the like)."""
    kwargs = module.state.get("_init_kwargs")
    if not isinstance(kwargs, dict):
        return default
    given = [group[key] for group in (kwargs, *kwargs.values()) if isinstance(group, dict) and key in group]
    return given[-1] if given else default


def channel_hint(module: Instance) -> tuple[int, int]:
    return argument(module, "channel_base", 32768), argument(module, "channel_max", 512)


def check_activation(layer: dict[str, Any], name: str) -> None:
    activation = layer.get("activation", "lrelu")
    if type(activation) is not str or activation != "lrelu":
        raise OtherNetworkError(f"{name} uses the activation {shown(activation)}; ganinv has 'lrelu' only")


def _metadata(data: dict[str, Any]) -> dict[str, Any]:
    stored = json.loads(data["ganinv"]) if isinstance(data.get("ganinv"), str) else {}
    dataset = data.get("training_set_kwargs")
    dataset = dataset if isinstance(dataset, dict) else {}
    training = {
        key: dataset[key]
        for key in ("resolution", "max_size", "xflip", "use_labels")
        if type(dataset.get(key)) in (int, bool)
    }
    return {
        **({"training": {"dataset": training}} if training else {}),
        **stored,
        "kind": "stylegan2",
        "w_avg": stored.get("w_avg", "stored"),
    }


# --- writing ------------------------------------------------------------------------------------------------------------------------------

# What NVIDIA's loader executes to find the classes: their own, from the checkout it runs in. Their source may not be copied into the file.
MODULE_SOURCE = """try:
    from training.networks import *
except ImportError:
    from training.networks_stylegan2 import *
"""


def save_nvlabs(
    path: str | os.PathLike[str], networks: dict[str, nn.Module], *, metadata: dict[str, Any] | None = None
) -> None:
    """Write a pickle for NVIDIA's tools: the structure of their own files, with every parameter, buffer and attribute of their modules.

    Their files embed the source code of the networks, which their licence keeps us from copying. Ours embed one import of
    ``training.networks`` (``training.networks_stylegan2`` in the ``stylegan3`` repository) instead, so ``legacy.load_network_pkl`` reads them
    when it runs inside a checkout of either repository, as their scripts do. :func:`load_nvlabs` and other readers that execute nothing see no
    difference.

    A missing ``G`` or ``G_ema`` is stood in for by the other. Without ``D`` the file is written with a warning: ``load_network_pkl`` insists
    on one.

    Raises:
        GanInvError: the file cannot be written.
        ValueError: ``networks`` is not what it should be.
    """
    check_networks(networks)
    G_ema, G = networks.get("G_ema", networks.get("G")), networks.get("G", networks.get("G_ema"))
    D = networks.get("D")
    if D is None:
        warnings.warn(
            f"{path}: written without a discriminator; ganinv reads it, NVIDIA's load_network_pkl asks for one",
            stacklevel=2,
        )
    data: dict[str, Any] = {"G": nvidia_module(G), "D": None if D is None else nvidia_module(D)}
    data["G_ema"] = data["G"] if G is G_ema else nvidia_module(G_ema)
    data |= {"augment_pipe": None, "training_set_kwargs": None, "ganinv": json.dumps(metadata or {})}
    with writing(path) as temporary, open(temporary, "wb") as file:
        NvidiaPickler(file, protocol=4).dump(data)


class _ReconstructPersistentObject:
    """Stands for ``torch_utils.persistence._reconstruct_persistent_obj`` while pickling."""

    def __call__(self, meta: dict[str, Any]) -> Any:
        raise NotImplementedError("only ever pickled")


RECONSTRUCT = _ReconstructPersistentObject()


class NvidiaModule:
    """A module as NVIDIA's decorator pickles it: a call with the class name, the source to find it in, and the state."""

    def __init__(self, class_name: str, state: dict[str, Any]):
        self.meta = dict(type="class", version=6, module_src=MODULE_SOURCE, class_name=class_name, state=state)

    def __reduce__(self) -> tuple[Any, ...]:
        return RECONSTRUCT, (self.meta,)


PurePythonPickler: Any = pickle._Pickler


class NvidiaPickler(PurePythonPickler):
    """The standard pickler (in Python, which can be extended), writing one global by name that cannot be imported here."""

    def save_reconstruct(self, obj: Any) -> None:
        self.save("torch_utils.persistence")
        self.save("_reconstruct_persistent_obj")
        self.write(pickle.STACK_GLOBAL)
        self.memoize(obj)

    dispatch = {**PurePythonPickler.dispatch, _ReconstructPersistentObject: save_reconstruct}  # noqa: RUF012


def nvidia_module(module: Any, **attributes: Any) -> NvidiaModule:
    """``module`` with the attributes that NVIDIA's class of the same name has (in either of their repositories)."""
    children, layers = {}, 0
    for key, child in module._modules.items():
        place: dict[str, Any] = {}  # what a block knows of its place in the network
        if isinstance(child, SynthesisBlock):
            place = dict(is_last=child.resolution == module.img_resolution)
        elif isinstance(child, DiscriminatorBlock):
            place = dict(resolution=int(key.removeprefix("b")), first_layer_idx=layers)
            layers += len(child._modules)
        children[key] = nvidia_module(child, **place)
    parameters = {key: copied(value) for key, value in module._parameters.items()}
    state = {
        **nn.Module().eval().__dict__,
        **nvidia_attributes(module),
        **attributes,
        "_parameters": parameters,
        "_buffers": {key: value.detach().cpu().clone() for key, value in module._buffers.items()},
        "_modules": children,
        "_init_args": (),
        "_init_kwargs": nvidia_arguments(module),
    }
    if isinstance(module, DiscriminatorEpilogue):
        plain = {**nn.Module().eval().__dict__, "_init_args": (), "_init_kwargs": {}}
        state["_modules"]["mbstd"] = NvidiaModule(
            "MinibatchStdLayer", plain | dict(group_size=module.mbstd_group_size, num_channels=1)
        )
    return NvidiaModule(type(module).__name__, state)


def copied(parameter: nn.Parameter | None) -> nn.Parameter | None:
    return None if parameter is None else nn.Parameter(parameter.detach().cpu().clone(), parameter.requires_grad)


def nvidia_attributes(module: Any) -> dict[str, Any]:
    """Facts about ``module`` under NVIDIA's attribute names."""
    block = dict(img_channels=3, use_fp16=False, channels_last=False)
    match module:
        case FullyConnectedLayer():
            out_features, in_features = module.weight.shape
            return dict(
                in_features=in_features,
                out_features=out_features,
                activation=module.activation,
                weight_gain=module.weight_gain,
                bias_gain=module.bias_gain,
            )
        case MappingNetwork():
            sizes = dict(
                z_dim=module.z_dim, c_dim=0, w_dim=module.w_dim, num_ws=module.num_ws, num_layers=module.num_layers
            )
            return dict(**sizes, w_avg_beta=0.995, trainable_layers=module.num_layers)
        case SynthesisLayer():
            return dict(
                in_channels=module.weight.shape[1],
                out_channels=module.weight.shape[0],
                w_dim=module.affine.weight.shape[1],
                resolution=module.resolution,
                up=module.up,
                use_noise=True,
                activation="lrelu",
                conv_clamp=module.conv_clamp,
                padding=1,
                act_gain=math.sqrt(2),
            )
        case ToRGBLayer():
            sizes = dict(in_channels=module.weight.shape[1], out_channels=3, w_dim=module.affine.weight.shape[1])
            return dict(**sizes, conv_clamp=module.conv_clamp, weight_gain=module.weight_gain)
        case SynthesisBlock():
            first = not hasattr(module, "conv0")
            return block | dict(
                in_channels=0 if first else module.conv0.weight.shape[1],
                w_dim=module.conv1.affine.weight.shape[1],
                resolution=module.resolution,
                architecture="skip",
                fused_modconv_default=True,
                num_conv=1 if first else 2,
                num_torgb=1,
            )
        case SynthesisNetwork():
            sizes = dict(w_dim=module.w_dim, num_ws=module.num_ws, num_fp16_res=0)
            return dict(**sizes, **image_size(module), block_resolutions=module.block_resolutions)
        case Generator():
            return dict(
                z_dim=module.z_dim,
                c_dim=0,
                w_dim=module.w_dim,
                num_ws=module.num_ws,
                img_resolution=module.img_resolution,
                img_channels=3,
            )
        case Conv2dLayer():
            unbiased = {"bias": None} if module.bias is None else {}
            return unbiased | dict(
                in_channels=module.weight.shape[1],
                out_channels=module.weight.shape[0],
                activation=module.activation,
                up=1,
                down=module.down,
                conv_clamp=None if module.bias is None else module.conv_clamp,  # the skip branch is never clamped
                padding=module.weight.shape[-1] // 2,
                weight_gain=module.weight_gain,
                act_gain=math.sqrt(2) if module.activation == "lrelu" else 1,
            )
        case DiscriminatorBlock():
            in_channels = 0 if hasattr(module, "fromrgb") else module.conv0.weight.shape[1]
            return block | dict(in_channels=in_channels, num_layers=len(module._modules), architecture="resnet")
        case DiscriminatorEpilogue():
            return dict(
                in_channels=module.conv.weight.shape[0], cmap_dim=0, resolution=4, img_channels=3, architecture="resnet"
            )
        case Discriminator():
            return dict(c_dim=0, **image_size(module), block_resolutions=module.block_resolutions)
    raise TypeError(f"no counterpart of {type(module).__name__} in NVIDIA's code")


def image_size(module: Any) -> dict[str, int]:
    return dict(
        img_resolution=module.img_resolution, img_resolution_log2=int(math.log2(module.img_resolution)), img_channels=3
    )


def nvidia_arguments(module: Any) -> dict[str, Any]:
    """The keyword arguments that make the same network in ``stylegan2-ada-pytorch``."""
    if isinstance(module, Generator):
        synthesis = {key: module.config[key] for key in ("channel_base", "channel_max", "conv_clamp")}
        sizes = dict(
            z_dim=module.z_dim, c_dim=0, w_dim=module.w_dim, img_resolution=module.img_resolution, img_channels=3
        )
        return dict(
            **sizes,
            mapping_kwargs=dict(num_layers=module.config["num_layers"]),
            synthesis_kwargs=dict(**synthesis, num_fp16_res=0),
        )
    if isinstance(module, Discriminator):
        common = {key: module.config[key] for key in ("img_resolution", "channel_base", "channel_max", "conv_clamp")}
        epilogue = dict(mbstd_group_size=module.config["mbstd_group_size"])
        return dict(c_dim=0, img_channels=3, num_fp16_res=0, **common, epilogue_kwargs=epilogue)
    return {}
