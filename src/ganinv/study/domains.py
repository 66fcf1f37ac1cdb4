r"""Pictures at a growing distance from what a generator was trained on, and that distance.

Everything is drawn from files in the wheel of scikit-image: a portrait (NASA's of Eileen Collins, public domain), what can be made of it without
another picture (grey, stone, a pencil drawing), a head that somebody has sculpted (on an ancient coin), a cat, a motorbike, and a wall of bricks. The
last is noise, in which there is nothing at all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..devices import randn
from ..errors import GanInvError
from ..perception.features import feature_extractor, resize
from ..perception.frechet import feature_statistics
from ..photos import ImageWarning, from_uint8, load_target, to_uint8
from ..report import ManifoldCheck
from ..zoo import Bundle
from .photos import VARIANTS, Photos

SIZE = 256  # pixels at least in which stone and drawing are made, before they are brought to the generator's size
# a head seen from the front: left, upper, right, lower edge in scikit-image's picture of coins
COIN = (
    188,
    170,
    237,
    219,
)


def domains(gan: Bundle) -> Photos:
    """``{name: [1, 3, R, R] in [-1, 1]}``: a held-out image (where the bundle has any), a portrait, and ever less of one.

    For a generator of faces :func:`domain_distance` grows along the list on the whole; it is measured, not assumed.
    """
    from skimage import data

    size = max(gan.resolution, SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # some are enlarged here, and then reduced
        portrait = load_target(Image.fromarray(data.astronaut()), size, "face")
        coin = load_target(Image.fromarray(data.coins()).crop(COIN), size, "center")
    pictures = {
        "portrait": portrait,
        "grey": VARIANTS[" grey"](portrait),
        "stone": stone(portrait),
        "drawing": drawing(portrait),
        "coin": coin,
        "cat": load_target(Image.fromarray(data.chelsea()), size, "center"),
        "motorbike": load_target(Image.fromarray(data.stereo_motorcycle()[0]), size, "center"),
        "bricks": load_target(Image.fromarray(data.brick()), size, "center"),
    }
    heldout = {} if gan.heldout is None else {"held-out": from_uint8(gan.heldout[:1])}
    noise = randn([1, 3, gan.resolution, gan.resolution], torch.Generator().manual_seed(0)) / 2
    reduced = {name: resize(picture, gan.resolution).clamp(-1, 1) for name, picture in pictures.items()}
    return heldout | reduced | {"noise": noise.clamp(-1, 1)}


def drawing(x: Tensor) -> Tensor:
    """``[N, 3, H, W]`` in [-1, 1] as if drawn with a pencil: paper white, and dark where a pixel is darker than what surrounds it."""
    brightness = (VARIANTS[" grey"](x) + 1) / 2
    ratio = brightness / (_blur(brightness, x.shape[-1] / 32) + 1e-3)
    return ratio.clamp(0, 1) ** 3 * 2 - 1


def stone(x: Tensor) -> Tensor:
    """``[N, 3, H, W]`` in [-1, 1] as a relief in rough stone: smoothed brightness for its height, lit from the upper left."""
    size = x.shape[-1]
    height = _blur((VARIANTS[" grey"](x)[:, :1] + 1) / 2, size / 85)
    # slopes do not depend on the number of pixels
    padded = F.pad(height, (1, 1, 1, 1), mode="replicate") * size * 3 / 64
    slopes = [padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2], padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]]
    normal = F.normalize(torch.cat([-slopes[0], -slopes[1], torch.ones_like(height)], dim=1), dim=1)
    light = F.normalize(x.new_tensor([-0.5, -0.6, 0.62]), dim=0)
    shade = (normal * light[:, None, None]).sum(dim=1, keepdim=True).clamp(0)
    grain = _blur(randn([1, 1, size, size], torch.Generator().manual_seed(0), x.device), size / 256)
    colour = x.new_tensor([0.86, 0.84, 0.80])[:, None, None]
    return (0.75 * shade + 0.25 * height + 0.03 * grain / grain.std()).clamp(0, 1) * colour * 2 - 1


STYLES: dict[str, Callable[[Tensor], Tensor]] = {"drawing": drawing, "stone": stone}
"""What a whole domain can be made of, from its photos: functions of ``[N, 3, H, W]`` in [-1, 1]."""


def styled_reference(gan: Bundle, style: str, n: int | None = None) -> Tensor:
    """The bundle's (first ``n``) training images in one of the :data:`STYLES`, uint8 ``[M, 3, R, R]``.

    Raises:
        GanInvError: there is no such style, or the bundle has no training images.
    """
    if style not in STYLES:
        raise GanInvError(f"there is no style {style!r}: choose from {', '.join(STYLES)}.")
    if gan.reference is None:
        raise GanInvError(f"{gan.name} comes without training images, of which a {style} could be made.")
    return torch.cat([to_uint8(STYLES[style](from_uint8(batch))) for batch in gan.reference[:n].split(64)])


def style_position(gan: Bundle, style: str, n: int | None = None) -> Callable[[Tensor], np.ndarray]:
    r"""How far images are on the way from photos to a style, a function of ``[N, 3, R, R]`` in [-1, 1] that gives ``[N]``.

    .. math::

        s(x) = \frac{(f - \mu_0)^\top \Sigma^{-1} (\mu_1 - \mu_0)}{(\mu_1 - \mu_0)^\top \Sigma^{-1} (\mu_1 - \mu_0)}

    the place of an image's features :math:`f` along Fisher's linear discriminant (1936) between the training images (mean :math:`\mu_0`) and the same
    images in that style (:math:`\mu_1`), :math:`\Sigma` being the mean of both covariances, moved a little towards a multiple of the identity as in
    :func:`domain_distance`. Training images are at 0 on average, their styled versions at 1.

    Args:
        n: of the training images only the first so many.

    Raises:
        GanInvError: as :func:`styled_reference`, or the features cannot be had.
    """
    others = feature_statistics(styled_reference(gan, style, n))
    photos = feature_statistics(cast("Tensor", gan.reference)[:n])
    extract = feature_extractor(photos.features)
    way = others.mean - photos.mean
    cov = _shrunk((photos.cov + others.cov) / 2, photos.n + others.n)
    axis = np.linalg.solve(cov, way)
    axis /= axis @ way

    @torch.no_grad()
    def position(images: Tensor) -> np.ndarray:
        parts = [extract(from_uint8(to_uint8(batch))).cpu().double().numpy() for batch in images.split(64)]
        return (np.concatenate(parts) - photos.mean) @ axis

    return position


def _shrunk(cov: np.ndarray, n: int) -> np.ndarray:
    """A covariance ``[d, d]`` of ``n`` images, each variance moved towards their mean by d / (d + n)."""
    d = len(cov)
    share = d / (d + n)
    return (1 - share) * cov + share * np.trace(cov) / d * np.eye(d)


def _blur(x: Tensor, sigma: float) -> Tensor:
    from torchvision.transforms.functional import gaussian_blur  # a second to import

    return gaussian_blur(x, [2 * int(3 * sigma + 0.5) + 1] * 2, [sigma] * 2)


def domain_distance(gan: Bundle) -> Callable[[Tensor], np.ndarray]:
    r"""The distance of images from what the generator was trained on, a function of ``[N, 3, R, R]`` in [-1, 1] that gives ``[N]``.

    .. math::

        \tfrac{1}{d} (f - \mu)^\top \Sigma^{-1} (f - \mu)

    the squared Mahalanobis distance per dimension of an image's features :math:`f` from the Gaussian that Fréchet distances put in the place of the
    training images. It is 1 for them on average. (The plain squared distance is all about the few directions in which faces differ most, and for
    faces64 it puts a lawn nearer than a portrait.) Each variance is moved a little towards their mean, by d / (d + n) for n training images: with few
    of them the covariance could not be inverted.

    Raises:
        GanInvError: the features cannot be had.
    """
    statistics, _ = ManifoldCheck(gan).reference
    extract = feature_extractor(statistics.features)
    d, n = len(statistics.mean), statistics.n
    cov = _shrunk(statistics.cov, n)

    @torch.no_grad()
    def distance(images: Tensor) -> np.ndarray:
        offset = extract(from_uint8(to_uint8(images))).cpu().double().numpy() - statistics.mean
        return (offset * np.linalg.solve(cov, offset.T).T).sum(axis=1) / d

    return distance
