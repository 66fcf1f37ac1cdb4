"""The handful of operations StyleGAN2 is made of, in plain PyTorch.

Nothing here is compiled, everything runs on a CPU, and every function has a second derivative, which R1 and path-length
regularisation need. Two choices make it fast on a CPU (``benchmarks/stylegan2.py`` prints the ratios):

* the *non-fused* form of the modulated convolution (scale the input, convolve with shared weights, scale the output);
* upsampling as a stride-2 transposed convolution followed by the blur, instead of blurring an upsampled map first.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LRELU_GAIN = math.sqrt(2)


def widen(x: Tensor) -> Tensor:
    """``x``, in float32 if it was in half precision."""
    return x.float() if x.element_size() < 4 else x


def binomial_filter() -> Tensor:
    """The ``[4, 4]`` low-pass filter ``[1,3,3,1] x [1,3,3,1] / 64`` used everywhere in StyleGAN2 (sum 1)."""
    f = torch.tensor([1.0, 3.0, 3.0, 1.0], device="cpu", dtype=torch.float32)
    return torch.outer(f, f) / 64


def blur(x: Tensor, f: Tensor, padding: tuple[int, int, int, int], gain: float = 1.0, stride: int = 1) -> Tensor:
    """Filter every channel of ``x`` ``[N, C, H, W]`` with the symmetric filter ``f`` ``[4, 4]``.

    ``padding`` is (left, right, top, bottom) of zeros; ``stride`` keeps every stride-th output (``stride=2`` halves).
    """
    channels = x.shape[1]
    kernel = (f * gain).to(x.dtype).expand(channels, 1, -1, -1)
    if padding[0] == padding[1] == padding[2] == padding[3]:
        return F.conv2d(x, kernel, padding=padding[0], stride=stride, groups=channels)
    return F.conv2d(F.pad(x, padding), kernel, stride=stride, groups=channels)


def upsample2d(x: Tensor, f: Tensor) -> Tensor:
    """Double the size of ``x``: zeros between the pixels, then the filter with gain 4 (``[N, C, 2H, 2W]``)."""
    channels = x.shape[1]
    kernel = (f * 4).to(x.dtype).expand(channels, 1, -1, -1)
    # Zero insertion followed by a symmetric filter *is* a transposed convolution.
    return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=channels)


def downsample2d(x: Tensor, f: Tensor) -> Tensor:
    """Halve the size of ``x``: the filter, then every second pixel (``[N, C, H/2, W/2]``)."""
    return blur(x, f, padding=(1, 1, 1, 1), stride=2)


def conv2d_up(x: Tensor, weight: Tensor, f: Tensor) -> Tensor:
    """3x3 convolution that doubles the size: stride-2 transposed convolution, then the blur with gain 4."""
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # 2H + 1
    return blur(x, f, padding=(1, 1, 1, 1), gain=4.0)  # 2H


def conv2d_down(x: Tensor, weight: Tensor, f: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolution (3x3 or 1x1) that halves the size: the blur, then a stride-2 convolution."""
    # a 1x1 convolution commutes with subsampling: blur and subsample first, at a quarter of the cost
    if weight.shape[-1] == 1:
        return F.conv2d(downsample2d(x, f), weight, bias)
    return F.conv2d(blur(x, f, padding=(2, 2, 2, 2)), weight, bias, stride=2)


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    f: Tensor | None = None,
    demodulate: bool = True,
    up: int = 1,
    noise: Tensor | None = None,
    gain: float = 1.0,
) -> Tensor:
    r"""Convolution whose weights are scaled per sample by the style (StyleGAN2, Karras et al. 2020, Eqs. 1-3).

    With :math:`w'_{ijk} = s_i w_{ijk}` and :math:`w''_{ijk} = w'_{ijk} / \sqrt{\sum_{ik} {w'_{ijk}}^2 + \epsilon}`, convolving with
    :math:`w''` equals scaling the *input* channel ``i`` by :math:`s_i` and the *output* channel ``j`` by the demodulation factor.

    Args:
        x: input ``[N, I, H, W]``.
        weight: shared kernel ``[O, I, k, k]``.
        styles: per-sample input scales ``[N, I]``.
        f: resampling filter, needed when ``up=2``.
        demodulate: normalise the output to unit expected variance (off in toRGB).
        up: 1, or 2 to double the size.
        noise: added to the output, ``[H', W']`` or ``[N, 1, H', W']``.
        gain: scales the output, noise included.

    Returns:
        ``[N, O, H * up, W * up]``.
    """
    gains = None
    # demodulation undoes any scale: one that keeps products in float16's range (as NVIDIA's code does)
    if demodulate and x.dtype == torch.float16:
        weight = weight / (
            weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-8) * math.sqrt(weight[0].numel())
        )
        styles = styles / styles.abs().amax(dim=1, keepdim=True).clamp(min=1e-8)
    if demodulate:
        # sum_{i,k} (s_i w_ijk)^2 = sum_i s_i^2 (sum_k w_ijk^2): one small matrix product.
        energy = widen(styles).square() @ widen(weight).square().sum(dim=(2, 3)).t()  # [N, O]
        gains = (energy + 1e-8).rsqrt()[:, :, None, None]
    x = x * styles[:, :, None, None].to(x.dtype)
    if up == 2:
        assert f is not None, "up=2 needs the resampling filter"
        x = conv2d_up(x, weight.to(x.dtype), f)
    else:
        x = F.conv2d(x, weight.to(x.dtype), padding=weight.shape[-1] // 2)
    gains = x.new_full([], gain) if gains is None else (gains * gain).to(x.dtype)
    # Demodulation, gain and noise in one pass over the large tensor.
    return x * gains if noise is None else torch.addcmul((noise * gain).to(x.dtype), x, gains)


def lrelu(x: Tensor) -> Tensor:
    r"""Leaky ReLU with slope 0.2, *without* the gain :math:`\sqrt 2` that keeps the variance.

    Since ``lrelu(a x) = a lrelu(x)`` for a > 0, callers fold that gain into the small tensors before it (``LRELU_GAIN``).
    """
    return F.leaky_relu(x, 0.2)


def normalize_2nd_moment(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Scale each row of ``x`` ``[N, D]`` to unit root mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


def num_channels(resolution: int, channel_base: int, channel_max: int) -> int:
    """Feature maps at ``resolution``: ``min(channel_base // resolution, channel_max)``."""
    return min(channel_base // resolution, channel_max)
