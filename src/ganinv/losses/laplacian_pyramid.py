r"""Reconstruction as seen in frequency bands: the L1 distance between two Laplacian pyramids (Burt & Adelson 1983).

With :math:`A_0 = x` the image,

.. math::

    A_{j+1} = \mathrm{down}_2(g * A_j), \qquad
    B_j = A_j - \mathrm{up}_2(A_{j+1}), \qquad
    x = B_0 + \mathrm{up}_2(B_1 + \mathrm{up}_2(B_2 + \dots + \mathrm{up}_2(A_J)))

.. math::

    L_\mathrm{recon}(x, y) = \sum_{j<J} \lambda_j \, \mathrm{mean} |B_j(x) - B_j(y)| + \lambda_J \, \mathrm{mean} |A_J(x) - A_J(y)|

where :math:`g = [1, 4, 6, 4, 1] / 16` along both axes, images are reflected at their borders, :math:`\mathrm{down}_2` keeps every second
pixel, and :math:`\mathrm{up}_2` puts zeros between the pixels and smooths them with :math:`2g` along both axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

KERNEL = np.array([1, 4, 6, 4, 1]) / 16
MAX_LEVELS = 6


@lru_cache(maxsize=256)
def _down_and_up(size: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Both operations along one axis of ``size`` pixels, as matrices ``[ceil(size/2), size]`` and ``[size, ceil(size/2)]``."""
    if not dtype.is_floating_point:
        raise ValueError(f"a pyramid needs floating-point images, not {dtype}")
    neighbours = np.pad(np.arange(size), 2, mode="reflect")
    smooth = np.zeros((size, size))  # row i: g around pixel i
    for i in range(size):
        np.add.at(smooth[i], neighbours[i : i + 5], KERNEL)
    down = smooth[::2]
    up = 2 * smooth[:, ::2] if size > 1 else smooth  # a single pixel has no zeros between
    with torch.inference_mode(False):  # the cache outlives the mode of its first caller
        return torch.tensor(down, dtype=dtype, device=device), torch.tensor(up, dtype=dtype, device=device)


def shrink(x: Tensor) -> Tensor:
    """Smooth and keep every second pixel: ``[N, C, H, W]`` to ``[N, C, ceil(H/2), ceil(W/2)]``."""
    (down_h, _), (down_w, _) = (_down_and_up(size, x.dtype, x.device) for size in x.shape[-2:])
    return down_h @ (x @ down_w.mT)  # small dense matrices: any size, and faster than padding and convolving


def expand(x: Tensor, height: int, width: int) -> Tensor:
    """Smooth interpolation to ``[N, C, height, width]``, where ``x`` has half that size, rounded up."""
    (_, up_h), (_, up_w) = (_down_and_up(size, x.dtype, x.device) for size in (height, width))
    return up_h @ (x @ up_w.mT)


def default_levels(height: int, width: int) -> int:
    """log2(resolution) - 2, so that the residual is about 4 pixels wide, from 1 to 6: 4 levels for 64 pixels."""
    return min(max(min(height, width).bit_length() - 3, 1), MAX_LEVELS)


def laplacian_pyramid(x: Tensor, levels: int | None = None) -> list[Tensor]:
    """Split images into bands, from the finest detail to the low-pass residual.

    Args:
        x: images ``[N, C, H, W]`` of any size and range, floating point.
        levels: number of bands before the residual (:func:`default_levels` for ``None``). Each halves the size, rounded up; once a single
            pixel is left, further bands are zero.

    Returns:
        ``levels + 1`` tensors ``[N, C, h, w]``, their sum (see :func:`reconstruct`) being ``x`` up to rounding.

    Raises:
        ValueError: ``levels`` is negative, or the images are not floating point.
    """
    if levels is None:
        levels = default_levels(*x.shape[-2:])
    if levels < 0:
        raise ValueError(f"a pyramid cannot have {levels} levels")
    bands = []
    for _ in range(levels):
        smaller = shrink(x)
        bands.append(x - expand(smaller, *x.shape[-2:]))
        x = smaller
    return [*bands, x]


def reconstruct(bands: Sequence[Tensor]) -> Tensor:
    """The images whose pyramid is ``bands``: enlarge and add, from the residual up."""
    x = bands[-1]
    for band in reversed(bands[:-1]):
        x = expand(x, *band.shape[-2:]) + band
    return x


def band_errors(x: Tensor, y: Tensor, levels: int | None = None) -> Tensor:
    """Mean absolute difference of each band, ``[N, levels + 1]``, from fine to coarse.

    The pyramid is linear, so the difference of two pyramids is the pyramid of the difference: one is enough, and a fixed target costs nothing.
    """
    return torch.stack([band.abs().mean(dim=(1, 2, 3)) for band in laplacian_pyramid(x - y, levels)], dim=1)


def laplacian_pyramid_loss(
    x: Tensor, y: Tensor, levels: int | None = None, weights: Sequence[float] | None = None, reduction: str = "mean"
) -> Tensor:
    """L1 distance between the Laplacian pyramids of images ``[N, C, H, W]`` in [-1, 1]: :math:`L_recon` of near-perfect inversion.

    Args:
        levels: bands before the residual, by default log2(resolution) - 2, at most 6.
        weights: one for each band from fine to coarse and one for the residual, by default all 1. Each multiplies a *mean*, so every level
            weighs the same however few pixels it has.
        reduction: ``"mean"`` over the images for a scalar, ``"none"`` for ``[N]``.

    Raises:
        ValueError: ``weights`` of the wrong length, or an unknown ``reduction``.
    """
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction must be 'mean' or 'none', not {reduction!r}")
    errors = band_errors(x, y, levels)
    if weights is not None:
        if len(weights) != errors.shape[1]:
            raise ValueError(
                f"a pyramid of {errors.shape[1] - 1} levels needs {errors.shape[1]} weights, not {len(weights)}"
            )
        errors = errors * errors.new_tensor(weights)
    losses = errors.sum(dim=1)
    return losses.mean() if reduction == "mean" else losses
