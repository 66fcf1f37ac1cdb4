r"""How good a reconstruction is: MSE, PSNR, SSIM and the perceptual distance.

Images are float ``[N, 3, H, W]`` in [-1, 1], and every metric of pairs gives ``[N]``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .features import EFFICIENTNET


def mse(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of images in [-1, 1], ``[N]``. (On [0, 1] it would be a quarter of this.)"""
    return (x - y).square().mean(dim=(1, 2, 3))


def psnr(x: Tensor, y: Tensor) -> Tensor:
    r"""Peak signal-to-noise ratio in dB, ``[N]``: :math:`10 \log_{10}(2^2 / \mathrm{MSE})`, infinite for equal images."""
    return 10 * torch.log10(4 / mse(x, y))


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity, ``[N]``, 1 for equal images, by scikit-image with the settings of Wang et al. 2004.

    That is a Gaussian window of standard deviation 1.5 (11 pixels wide), population covariances, K1 = .01 and K2 = .03, the mean over pixels
    (5 at the border left out) and RGB.

    Raises:
        ValueError: images smaller than the window.
    """
    from skimage.metrics import structural_similarity

    if min(x.shape[-2:]) < 11:
        raise ValueError(f"SSIM needs images of at least 11x11 pixels, not {x.shape[-2]}x{x.shape[-1]}")
    settings = dict(data_range=2.0, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    pairs = zip(x.detach().cpu().double().numpy(), y.detach().cpu().double().numpy(), strict=True)
    return torch.tensor([structural_similarity(a, b, **settings) for a, b in pairs], dtype=x.dtype, device=x.device)


@torch.no_grad()
def batch_scores(images: Tensor, targets: Tensor, trunks: Sequence[str] = (EFFICIENTNET,)) -> list[dict]:
    """The scores of every reconstruction ``[N, 3, H, W]`` against its target, as :func:`scores` gives them for one."""
    from .perceptual import perceptual

    if images.shape != targets.shape:
        raise ValueError(f"images {list(images.shape)} and targets {list(targets.shape)} differ in shape")
    images = images.clamp(-1, 1)  # as they are shown and saved
    seen = {trunk: perceptual(images, targets, trunk).tolist() for trunk in trunks}
    columns = zip(
        mse(images, targets).tolist(), psnr(images, targets).tolist(), ssim(images, targets).tolist(), strict=True
    )
    return [
        {"mse": m, "psnr": p, "ssim": s, "perceptual": {trunk: values[i] for trunk, values in seen.items()}}
        for i, (m, p, s) in enumerate(columns)
    ]


def scores(image: Tensor, target: Tensor, trunks: Sequence[str] = (EFFICIENTNET,)) -> dict:
    """``{"mse", "psnr", "ssim", "perceptual": {trunk: value}}`` of one reconstruction, ``[3, H, W]`` or ``[1, 3, H, W]``, clamped to [-1, 1].

    Raises:
        ValueError: several images, or shapes that differ.
        GanInvError: a trunk that cannot be had (see :class:`ganinv.perception.perceptual.Perceptual`).
    """
    image, target = (x[None] if x.ndim == 3 else x for x in (image, target))
    if len(image) != 1:
        raise ValueError(f"scores takes one image, not {len(image)}; batch_scores takes several")
    return batch_scores(image, target, trunks)[0]
