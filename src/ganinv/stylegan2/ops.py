"""The handful of operations StyleGAN2 is made of, in plain PyTorch.

Nothing here is compiled, everything runs on a CPU, and every function has a second derivative, which R1 and path-length
regularisation need. Two choices make it fast on a CPU (``benchmarks/stylegan2.py`` prints the ratios):

* the *non-fused* form of the modulated convolution (scale the input, convolve with shared weights, scale the output), but where the maps are so
  much larger than the weights that scaling those is the cheaper (:func:`fuses`);
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
    bias: Tensor | None = None,
) -> Tensor:
    r"""Convolution whose weights are scaled per sample by the style (StyleGAN2, Karras et al. 2020, Eqs. 1-3).

    With :math:`w'_{ijk} = s_i w_{ijk}` and :math:`w''_{ijk} = w'_{ijk} / \sqrt{\sum_{ik} {w'_{ijk}}^2 + \epsilon}`, convolving with
    :math:`w''` equals scaling the *input* channel ``i`` by :math:`s_i` and the *output* channel ``j`` by the demodulation factor. Which of the two
    is done depends on what is larger, see :func:`fuses`.

    Args:
        x: input ``[N, I, H, W]``.
        weight: shared kernel ``[O, I, k, k]``.
        styles: per-sample input scales ``[N, I]``.
        f: resampling filter, needed when ``up=2``.
        demodulate: normalise the output to unit expected variance (off in toRGB).
        up: 1, or 2 to double the size.
        noise: added to the output, ``[H', W']`` or ``[N, 1, H', W']``.
        gain: scales the output, noise and bias included.
        bias: added to the output, ``[O]``.

    Returns:
        ``[N, O, H * up, W * up]``.
    """
    # demodulation undoes any scale: one that keeps products in float16's range (as NVIDIA's code does)
    if demodulate and x.dtype == torch.float16:
        weight = weight / (
            weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-8) * math.sqrt(weight[0].numel())
        )
        styles = styles / styles.abs().amax(dim=1, keepdim=True).clamp(min=1e-8)
    gains = None  # of the output's channels, [N, O]
    if demodulate:
        # sum_{i,k} (s_i w_ijk)^2 = sum_i s_i^2 (sum_k w_ijk^2): one small matrix product.
        energy = widen(styles).square() @ widen(weight).square().sum(dim=(2, 3)).t()
        gains = (energy + 1e-8).rsqrt() * gain
    noise = None if noise is None else (noise * gain).to(x.dtype)
    if fuses(x, weight, up):
        scales = styles[:, None] * gain if gains is None else styles[:, None] * gains[:, :, None]  # [N, O, I]
        y = _fused(x, weight, scales, f, up)
        y = y if noise is None else y + noise
    else:
        y = _convolved(x * styles[:, :, None, None].to(x.dtype), weight.to(x.dtype), f, up)
        gains = y.new_full([], gain) if gains is None else gains[:, :, None, None].to(y.dtype)
        # Demodulation, gain and noise in one pass over the large tensor.
        y = y * gains if noise is None else torch.addcmul(noise, y, gains)
    # not inside the convolution, whose gradient in the bias oneDNN adds up one by one: .4 % wrong at 1024 x 1024
    return y if bias is None else y + (bias * gain).to(y.dtype)[:, None, None]


def fuses(x: Tensor, weight: Tensor, up: int) -> bool:
    """Whether the styles scale the weights, and not the maps ``x`` that they are convolved with.

    The fused form goes over ``N`` copies of the weights, the other one over the maps, several times each with the backward pass. A 1x1 kernel
    (toRGB) has few weights, and as a product of matrices a sample it is 1.2 to 4 times as fast as the non-fused one. A 3x3 kernel is fused for a
    single image whose maps have eight times as many numbers as the weights (1.03 to 1.09 times as fast; below that, .7 to 1): a grouped
    convolution of several images is not worth it (``benchmarks/stylegan2.py``).
    """
    if weight.shape[-1] == 1:
        return True
    maps = (x.shape[1] + len(weight) * up**2) * x.shape[2:].numel()
    return len(x) == 1 and maps >= 8 * weight.numel()


def _fused(x: Tensor, weight: Tensor, scales: Tensor, f: Tensor | None, up: int) -> Tensor:
    """The convolution with ``weight`` ``[O, I, k, k]`` times ``scales`` ``[N, O, I]``; of one image, unless k = 1."""
    if weight.shape[-1] == 1:
        return ((weight.flatten(1) * scales).to(x.dtype) @ x.flatten(2)).unflatten(2, x.shape[2:])
    return _convolved(x, (weight * scales[0, :, :, None, None]).to(x.dtype), f, up)


def _convolved(x: Tensor, weight: Tensor, f: Tensor | None, up: int) -> Tensor:
    if up == 2:
        assert f is not None, "up=2 needs the resampling filter"
        return conv2d_up(x, weight, f)
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


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
