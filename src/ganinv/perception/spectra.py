r"""Where an image, an error or a gradient has its energy: power by spatial frequency.

With :math:`\hat x(k, l)` the discrete Fourier transform of a channel of ``H x W`` pixels, the power at one frequency is

.. math::

    P(k, l) = \lvert \hat x(k, l) \rvert^2 / (H W)^2, \qquad \sum_{k,l} P(k, l) = \mathrm{mean}\, x^2

(Parseval), and frequencies are in cycles per pixel: 0 is the mean, 1/2 is one pixel on, one pixel off.
"""

from __future__ import annotations

import torch
from torch import Tensor


def power_spectrum(x: Tensor, window: bool = False) -> tuple[Tensor, Tensor]:
    """Power of every frequency.

    Args:
        x: ``[N, C, H, W]``, floating point, of any range.
        window: subtract each channel's mean and fade it out towards its borders (Hann). An image does not go on at its other side; without
            the window that edge shows as power at all frequencies. The power is divided by what the window leaves of white noise.

    Returns:
        the power ``[N, H, W]``, mean over the channels, and the frequency ``[H, W]`` of its cells, in cycles per pixel (0 to 0.71).
    """
    height, width = x.shape[-2:]
    if window:
        fade = torch.outer(
            *(torch.hann_window(size, periodic=True, dtype=x.dtype, device=x.device) for size in (height, width))
        )
        x = (x - x.mean(dim=(2, 3), keepdim=True)) * fade / fade.square().mean().sqrt()
    power = torch.fft.fft2(x, norm="forward").abs().square().mean(dim=1)
    across, down = (torch.fft.fftfreq(size, dtype=x.dtype, device=x.device) for size in (width, height))
    return power, torch.hypot(down[:, None], across[None, :])


def radial_spectrum(x: Tensor, window: bool = True) -> tuple[Tensor, Tensor]:
    """Mean power of the frequencies in each ring around zero.

    Args:
        x: ``[N, C, H, W]``, floating point.
        window: see :func:`power_spectrum`.

    Returns:
        the frequencies ``[K]`` of the rings in cycles per pixel, 1/R to 1/2 in steps of 1/R for images of R pixels (the smaller side), and the
        power ``[N, K]``. The corners beyond 1/2, to which only oblique waves reach, and the mean are left out.
    """
    power, frequency = power_spectrum(x, window)
    size = min(x.shape[-2:])
    ring = (frequency * size).round().long().flatten()
    total = power.new_zeros(len(x), int(ring.max()) + 1).index_add_(1, ring, power.flatten(1))
    count = torch.bincount(ring)
    rings = torch.arange(1, size // 2 + 1, device=x.device, dtype=torch.long)
    return rings.to(x.dtype) / size, (total / count)[:, rings]


def octave_shares(x: Tensor, octaves: int = 4) -> Tensor:
    """What share of the energy lies in each octave, ``[N, octaves + 1]``, from fine to coarse; a row adds up to 1.

    Octave j holds the frequencies above 1/4, 1/8, ... cycles per pixel that no finer octave holds, roughly what band j of a Laplacian pyramid
    does; the last entry is the rest, the mean included. All zeros for an image of zeros.
    """
    power, frequency = power_spectrum(x)
    octave = torch.full_like(frequency, octaves, dtype=torch.long)
    for j in reversed(range(octaves)):
        octave[frequency > 0.25 / 2**j] = j
    energy = power.new_zeros(len(x), octaves + 1).index_add_(1, octave.flatten(), power.flatten(1))
    return energy / energy.sum(dim=1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
