"""The StyleGAN2 generator: mapping ``z -> w``, synthesis ``ws -> image`` (Karras et al. 2020, *Analyzing and improving...*).

Parameter names are those of NVIDIA's ``stylegan2-ada-pytorch``, so ``load_state_dict`` takes an official state dict strictly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import randn
from .ops import (
    LRELU_GAIN,
    binomial_filter,
    lrelu,
    modulated_conv2d,
    normalize_2nd_moment,
    num_channels,
    upsample2d,
    widen,
)

NOISE_MODES = ("const", "random", "none")
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
HALF_RESOLUTIONS = 4  # the highest ones, which are computed in half precision where that is asked for
MIN_RESOLUTION, MAX_RESOLUTION = 8, 1024


def check_resolution(img_resolution: int) -> None:
    """Raise ``ValueError`` unless ``img_resolution`` is a power of two between 8 and 1024."""
    if not MIN_RESOLUTION <= img_resolution <= MAX_RESOLUTION or img_resolution & (img_resolution - 1):
        raise ValueError(
            f"img_resolution must be a power of two from {MIN_RESOLUTION} to {MAX_RESOLUTION}, not {img_resolution}"
        )


class FullyConnectedLayer(nn.Module):
    """Linear layer with *equalised learning rate*: weights are stored at unit variance and scaled at run time.

    ``lr_multiplier`` makes the layer learn slower (0.01 in the mapping network).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
        activation: str = "linear",
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], float(bias_init)))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        gain = LRELU_GAIN if self.activation == "lrelu" else 1.0
        x = F.linear(x, self.weight * (self.weight_gain * gain), self.bias * (self.bias_gain * gain))
        return lrelu(x) if self.activation == "lrelu" else x


class MappingNetwork(nn.Module):
    """``f: Z -> W``, a stack of fully connected layers ``fc0 ... fc{num_layers-1}``, and the running mean ``w_avg`` of its output."""

    w_avg: Tensor

    def __init__(self, z_dim: int, w_dim: int, num_ws: int, num_layers: int = 8, lr_multiplier: float = 0.01):
        super().__init__()
        self.z_dim, self.w_dim, self.num_ws, self.num_layers = z_dim, w_dim, num_ws, num_layers
        for i in range(num_layers):
            layer = FullyConnectedLayer(
                z_dim if i == 0 else w_dim, w_dim, lr_multiplier=lr_multiplier, activation="lrelu"
            )
            setattr(self, f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros([w_dim]))

    def forward(self, z: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int | None = None) -> Tensor:
        """Map ``z`` ``[N, z_dim]`` to ``ws`` ``[N, num_ws, w_dim]``, the same ``w`` for every layer.

        Truncation pulls the first ``truncation_cutoff`` layers (all of them for ``None``) towards the mean:
        ``w_avg + truncation_psi * (w - w_avg)``.
        """
        x = normalize_2nd_moment(z.to(self.w_avg.dtype))
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        ws = x.unsqueeze(1).repeat(1, self.num_ws, 1)
        return truncate(ws, self.w_avg, truncation_psi, truncation_cutoff)


def truncate(ws: Tensor, w_avg: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int | None = None) -> Tensor:
    """The truncation trick on ``ws`` ``[N, num_ws, w_dim]``: move the first ``truncation_cutoff`` layers towards ``w_avg``."""
    if truncation_psi == 1:
        return ws
    cutoff = ws.shape[1] if truncation_cutoff is None else truncation_cutoff
    return torch.cat([w_avg.lerp(ws[:, :cutoff], truncation_psi), ws[:, cutoff:]], dim=1)


class SynthesisLayer(nn.Module):
    """Style -> modulated 3x3 convolution -> noise -> bias -> leaky ReLU."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        up: int = 1,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        self.resolution, self.up, self.conv_clamp = resolution, up, conv_clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros([out_channels]))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", binomial_filter())

    def forward(self, x: Tensor, styles: Tensor, noise_mode: str = "const", noise: Tensor | None = None) -> Tensor:
        if noise is None and noise_mode == "random":
            # drawn on the CPU, so that a seed means the same noise everywhere
            noise = torch.randn(x.shape[0], 1, self.resolution, self.resolution, device="cpu", dtype=torch.float32).to(
                x.device
            )
        elif noise is None and noise_mode == "const":
            noise = self.noise_const
        if noise is not None:
            noise = noise * self.noise_strength
        # The activation's gain is folded into the small tensors before it: lrelu(a x) = a lrelu(x).
        x = modulated_conv2d(x, self.weight, styles, self.resample_filter, up=self.up, noise=noise, gain=LRELU_GAIN)
        x = lrelu(x + (self.bias * LRELU_GAIN).to(x.dtype)[:, None, None])
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)


class ToRGBLayer(nn.Module):
    """Modulated 1x1 convolution to three channels, without demodulation."""

    def __init__(self, in_channels: int, w_dim: int, img_channels: int = 3, conv_clamp: float | None = None):
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros([img_channels]))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        x = (
            modulated_conv2d(x, self.weight, styles * self.weight_gain, demodulate=False)
            + self.bias.to(x.dtype)[:, None, None]
        )
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)


Fusion = tuple[Tensor, Tensor]


def _fused(x: Tensor, fusion: Mapping[str, Fusion] | None, name: str) -> Tensor:
    if fusion is None or name not in fusion:
        return x
    gain, shift = (maps.to(x.dtype) for maps in fusion[name])
    return x * (1 + gain) + shift


def _in(dtype: torch.dtype | None, x: Tensor) -> Tensor:
    return x if dtype is None else x.to(dtype)


class SynthesisBlock(nn.Module):
    """One resolution: (conv0 that doubles the size, except at 4x4), conv1, and toRGB added to the upsampled image so far."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        img_channels: int = 3,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        self.resolution = resolution
        self.register_buffer("resample_filter", binomial_filter())
        self.layer_names: list[str] = []  # in the order they consume ws
        if in_channels == 0:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, w_dim, resolution, up=2, conv_clamp=conv_clamp)
            self.layer_names.append("conv0")
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim, resolution, conv_clamp=conv_clamp)
        self.torgb = ToRGBLayer(out_channels, w_dim, img_channels, conv_clamp=conv_clamp)
        self.layer_names += ["conv1", "torgb"]

    def forward(
        self,
        x: Tensor | None,
        img: Tensor | None,
        styles: Mapping[str, Tensor],
        noise_mode: str,
        noise: Mapping[str, Tensor],
        rgb_gain: float = 1.0,
        base: Tensor | None = None,
        fusion: Mapping[str, Fusion] | None = None,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        name = f"b{self.resolution}"
        if base is not None:  # in place of conv0's output, and of everything before it
            x = _in(dtype, base)
        elif x is None:
            batch = styles[f"{name}.conv1"].shape[0]
            x = _in(dtype, self.const).unsqueeze(0).expand(batch, -1, -1, -1)
        else:
            x = self.conv0(_in(dtype, x), styles[f"{name}.conv0"], noise_mode, noise.get(f"{name}.conv0"))
        x = _fused(x, fusion, f"{name}.conv0")
        x = self.conv1(x, styles[f"{name}.conv1"], noise_mode, noise.get(f"{name}.conv1"))
        x = _fused(x, fusion, f"{name}.conv1")
        rgb = widen(self.torgb(x, styles[f"{name}.torgb"]))
        if rgb_gain != 1:
            rgb = rgb * rgb_gain
        return x, rgb if img is None else upsample2d(img, self.resample_filter) + rgb


class SynthesisNetwork(nn.Module):
    """``g: W+ -> image`` in the "skip" architecture: blocks ``b4 ... b{img_resolution}``, each adding its RGB contribution.

    Besides ``ws``, the style vectors (the space *S* of StyleSpace) and the noise maps can be read and written:
    :meth:`styles`, :meth:`noise`, and the arguments of :meth:`forward`.

    Attributes:
        precision: ``"fp32"``; or ``"bf16"`` or ``"fp16"``, in which the convolutions of the four highest resolutions are computed (but not those of
            4x4), as in NVIDIA's networks. Weights, styles, noise and images stay float32. It pays on a GPU, for wide networks.
    """

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        check_resolution(img_resolution)
        self.precision = "fp32"
        self.w_dim, self.img_resolution, self.img_channels = w_dim, img_resolution, img_channels
        self.block_resolutions = [2**i for i in range(2, int(math.log2(img_resolution)) + 1)]
        self.num_ws = 2 * len(self.block_resolutions)
        self.layer_ws: dict[
            str, int
        ] = {}  # layer name -> index into ws; toRGB shares its index with the next block's conv0
        index, in_channels = 0, 0
        for res in self.block_resolutions:
            out_channels = num_channels(res, channel_base, channel_max)
            block = SynthesisBlock(in_channels, out_channels, w_dim, res, img_channels, conv_clamp)
            setattr(self, f"b{res}", block)
            for layer in block.layer_names:
                self.layer_ws[f"b{res}.{layer}"] = index
                index += layer != "torgb"
            in_channels = out_channels

    @property
    def conv_names(self) -> list[str]:
        """Names of the 3x3 layers, coarse to fine; each has one noise map."""
        return [name for name in self.layer_ws if not name.endswith("torgb")]

    def layer(self, name: str) -> SynthesisLayer | ToRGBLayer:
        """The layer of that name, such as ``"b8.conv0"`` or ``"b4.torgb"``."""
        return cast("SynthesisLayer | ToRGBLayer", self.get_submodule(name))

    def dtype(self, resolution: int) -> torch.dtype | None:
        """What the block of that resolution computes in, ``None`` for whatever comes in."""
        return PRECISIONS[self.precision] if resolution > max(4, self.img_resolution >> HALF_RESOLUTIONS) else None

    def styles(self, ws: Tensor) -> dict[str, Tensor]:
        """The style vectors of every layer (space S): ``{"b4.conv1": [N, C], "b4.torgb": ...}`` from ``ws`` ``[N, num_ws, w_dim]``."""
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(
                f"ws must have shape [N, {self.num_ws}, {self.w_dim}] for this generator, not {list(ws.shape)}"
            )
        return {name: self.layer(name).affine(ws[:, i]) for name, i in self.layer_ws.items()}

    def noise(self) -> dict[str, Tensor]:
        """The constant noise maps by layer, each ``[1, 1, r, r]`` (views of the buffers): a value :meth:`forward` accepts as ``noise``."""
        return {name: self.get_buffer(f"{name}.noise_const")[None, None] for name in self.conv_names}

    def random_noise(self, n: int, random: torch.Generator) -> dict[str, Tensor]:
        """Fresh noise for ``n`` images, ``{layer: [n, 1, r, r]}``: as ``noise_mode="random"`` has it, but drawn on the CPU from ``random``."""
        return {name: randn([n, *maps.shape[1:]], random, maps.device) for name, maps in self.noise().items()}

    def forward(
        self,
        ws: Tensor | None,
        noise_mode: str = "const",
        noise: Mapping[str, Tensor] | None = None,
        styles: Mapping[str, Tensor] | None = None,
        rgb_gain: float = 1.0,
        base: Mapping[str, Tensor] | None = None,
        fusion: Mapping[str, Fusion] | None = None,
    ) -> Tensor:
        """Synthesise images.

        Args:
            ws: latents ``[N, num_ws, w_dim]``; may be ``None`` when ``styles`` names every layer.
            noise_mode: ``"const"`` (the stored maps), ``"random"`` (fresh noise) or ``"none"``.
            noise: maps that replace a layer's noise whatever the mode, ``{"b4.conv1": [N or 1, 1, 4, 4], ...}``.
            styles: style vectors that replace those computed from ``ws``, for all layers or some.
            rgb_gain: weight of the last block's toRGB, below 1 while a new block is faded in (progressive growing).
            base: feature maps ``{"b8.conv0": [N, C, 8, 8]}`` to begin with in place of that layer's output (a base code, as in BDInvert): what
                comes before it, with its RGB, is not computed. One layer ``b*.conv0`` at most.
            fusion: ``{layer: (gain, shift)}``, both ``[N or 1, C, r, r]``: the 3x3 layer's output F becomes ``F * (1 + gain) + shift`` (HFGI).

        Returns:
            images ``[N, 3, R, R]``, about [-1, 1], not clamped.

        Raises:
            ValueError: unknown ``noise_mode`` or layer name, ``ws`` of the wrong shape, or no style for some layer.
        """
        if noise_mode not in NOISE_MODES:
            raise ValueError(f"noise_mode must be one of {', '.join(NOISE_MODES)}, not {noise_mode!r}")
        for name in [*(styles or {}), *(noise or {}), *(base or {}), *(fusion or {})]:
            if name not in self.layer_ws:
                raise ValueError(f"this generator has no layer {name!r}; its layers are {', '.join(self.layer_ws)}")
        all_styles = {**({} if ws is None else self.styles(ws)), **(styles or {})}
        if missing := [name for name in self.layer_ws if name not in all_styles]:
            raise ValueError(f"without ws, styles has to name every layer; missing: {', '.join(missing)}")
        base = base or {}
        if len(base) > 1 or any(not name.endswith("conv0") for name in base):
            raise ValueError(f"base has to name one layer b*.conv0, not {', '.join(base)}")
        first = int(next(iter(base)).split(".")[0][1:]) if base else self.block_resolutions[0]
        x = img = None
        for res in self.block_resolutions:
            if res < first:
                continue
            gain = rgb_gain if res == self.img_resolution else 1.0
            x, img = getattr(self, f"b{res}")(
                x, img, all_styles, noise_mode, noise or {}, gain, base.get(f"b{res}.conv0"), fusion, self.dtype(res)
            )
        assert img is not None
        return img


class Generator(nn.Module):
    """StyleGAN2 generator ``G = synthesis(mapping(z))``.

    Args:
        z_dim, w_dim: sizes of Z and W.
        img_resolution: power of two from 8 to 1024.
        num_layers: depth of the mapping network (8 in the paper, 2 in NVIDIA's ``auto`` and ``cifar`` configurations).
        channel_base, channel_max: feature maps at resolution r are ``min(channel_base // r, channel_max)``.
        conv_clamp: clamp activations to this magnitude (256 in networks trained with mixed precision), or ``None``.
    """

    def __init__(
        self,
        z_dim: int = 512,
        w_dim: int = 512,
        img_resolution: int = 1024,
        num_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        conv_clamp: float | None = None,
        img_channels: int = 3,
    ):
        super().__init__()
        self.z_dim, self.w_dim, self.img_resolution, self.img_channels = z_dim, w_dim, img_resolution, img_channels
        self.config: dict[str, Any] = dict(
            z_dim=z_dim,
            w_dim=w_dim,
            img_resolution=img_resolution,
            num_layers=num_layers,
            channel_base=channel_base,
            channel_max=channel_max,
            conv_clamp=conv_clamp,
        )
        self.synthesis = SynthesisNetwork(w_dim, img_resolution, img_channels, channel_base, channel_max, conv_clamp)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, w_dim, self.num_ws, num_layers)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.mapping.w_avg.device

    def forward(
        self, z: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int | None = None, noise_mode: str = "random"
    ) -> Tensor:
        """Images ``[N, 3, R, R]`` from ``z`` ``[N, z_dim]``."""
        return self.synthesis(self.mapping(z, truncation_psi, truncation_cutoff), noise_mode=noise_mode)
