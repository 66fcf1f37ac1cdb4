"""How well a generator covers its images: the Fréchet distance of their features."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..cache import cache_folder, fingerprint, software
from ..devices import randn
from ..errors import GanInvError
from ..files import atomic_path
from ..stylegan2 import Generator
from .features import EFFICIENTNET, feature_extractor

BATCH = 16  # images; more do not fit a CPU's cache and are slower


@dataclass
class FrechetStatistics:
    """Mean ``[d]`` and covariance ``[d, d]`` (float64) of the features of ``n`` images, and the name of the features."""

    mean: np.ndarray
    cov: np.ndarray
    n: int
    features: str = EFFICIENTNET

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an ``.npz`` file."""
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, mean=self.mean, cov=self.cov, n=self.n, features=self.features)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FrechetStatistics:
        """Read a file written by :meth:`save`; nothing in it is executed.

        Raises:
            GanInvError: not such a file.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                stats = cls(data["mean"], data["cov"], int(data["n"]), str(data["features"]))
            if stats.mean.ndim != 1 or stats.cov.shape != 2 * stats.mean.shape:
                raise ValueError("mean and covariance do not fit together")
        except FileNotFoundError:
            raise GanInvError(f"{path} does not exist") from None
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise GanInvError(f"{path} holds no feature statistics ({error}): compute them again") from None
        return stats


def frechet_distance(a: FrechetStatistics, b: FrechetStatistics) -> float:
    r"""Squared Fréchet distance between the two Gaussians (the FID of Heusel et al. 2017, when the features are Inception's).

    .. math::

        d^2 = \lVert \mu_a - \mu_b \rVert^2 + \mathrm{tr}\,\Sigma_a + \mathrm{tr}\,\Sigma_b - 2\,\mathrm{tr}\,(\Sigma_a \Sigma_b)^{1/2}

    It shrinks as more images are drawn: compare only distances of equal ``n``, and name the features. NaN if either set has NaN features.

    Raises:
        ValueError: the statistics are of different features.
    """
    if a.features != b.features or a.mean.shape != b.mean.shape:
        raise ValueError(
            f"statistics of {a.features} ({len(a.mean)}-d) cannot be compared with those of {b.features} ({len(b.mean)}-d)"
        )
    if not (np.isfinite(a.cov).all() and np.isfinite(b.cov).all()):
        return math.nan  # one of the generators has diverged
    # tr (AB)^(1/2) is the sum of the singular values of A^(1/2) B^(1/2), which keeps its accuracy where covariances are singular.
    overlap = np.linalg.svd(_sqrt(a.cov) @ _sqrt(b.cov), compute_uv=False).sum()
    distance = np.square(a.mean - b.mean).sum() + np.trace(a.cov) + np.trace(b.cov) - 2 * overlap
    return max(float(distance), 0.0)  # below zero only by rounding


def _sqrt(cov: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance matrix."""
    values, vectors = np.linalg.eigh(cov)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


@torch.inference_mode()
def feature_statistics(images: Tensor | Iterable[Tensor], features: str = EFFICIENTNET) -> FrechetStatistics:
    """Mean and covariance of the features of ``images``.

    Args:
        images: ``[M, 3, H, W]``, or batches of it; float in [-1, 1], which is rounded to 8 bits as in an image file, or uint8.
        features: see :func:`ganinv.perception.features.feature_extractor`.

    Raises:
        GanInvError: fewer than two images, or features that cannot be had.
    """
    extract = feature_extractor(features)
    rows = [
        extract(batch).cpu().double().numpy() for batch in _batches([images] if isinstance(images, Tensor) else images)
    ]
    n = sum(map(len, rows))
    if n < 2:
        raise GanInvError(f"feature statistics need at least two images, not {n}")
    x = np.concatenate(rows)
    return FrechetStatistics(x.mean(axis=0), np.cov(x, rowvar=False), n, features)


def _batches(images: Iterable[Tensor]) -> Iterator[Tensor]:
    for chunk in images:
        for batch in chunk.split(BATCH):
            if batch.dtype != torch.uint8:
                batch = (batch.clamp(-1, 1) * 127.5 + 127.5).round()
            yield batch.float() / 127.5 - 1


@torch.no_grad()
def sample_images(
    G: Generator, n: int, seed: int = 0, noise_mode: str = "random", truncation_psi: float = 1.0, batch: int = BATCH
) -> Iterator[Tensor]:
    """Batches of ``n`` random images ``[b, 3, R, R]`` in all; image i is the same whatever ``batch`` is (up to rounding).

    Args:
        noise_mode: with ``"random"`` the noise is drawn from the seed too, so a comparison before and after tuning sees the same noise.
    """
    random = torch.Generator().manual_seed(seed)
    zs = randn([n, G.z_dim], random, G.device)
    shapes = {name: m.shape[1:] for name, m in G.synthesis.noise().items()} if noise_mode == "random" else {}
    sizes = [math.prod(shape) for shape in shapes.values()]
    for z in zs.split(batch):
        flat = torch.stack([randn([sum(sizes)], random) for _ in z])  # image by image, so that batches do not matter
        noise = {
            name: maps.reshape(-1, *shapes[name]).to(z.device)
            for name, maps in zip(shapes, flat.split(sizes, dim=1), strict=True)
        }
        yield G.synthesis(G.mapping(z, truncation_psi), noise_mode=noise_mode, noise=noise)


def generator_statistics(
    G: Generator,
    n: int,
    seed: int = 0,
    noise_mode: str = "random",
    truncation_psi: float = 1.0,
    batch: int = BATCH,
    features: str = EFFICIENTNET,
    cache: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> FrechetStatistics:
    """Feature statistics of ``n`` random images of ``G``, the same for the same seed.

    The default ``noise_mode="random"`` keeps noise maps tuned to one photo out of the samples.

    Args:
        cache: keep them in the user's cache (:func:`ganinv.cache.cache_folder`) under the weights, the samples, the seed, the features and the
            device, and take them from there next time. For a generator that will be measured again, such as a bundle's own.
        progress: called after every batch with the number of images drawn and ``n``.
    """
    if not cache:
        return feature_statistics(
            _counted(sample_images(G, n, seed, noise_mode, truncation_psi, batch), n, progress), features
        )
    where = f"{G.device.type} {G.synthesis.precision}"
    key = fingerprint(
        G, f"{n} images, seed {seed}, {noise_mode} noise, psi {truncation_psi}, {features}, {where}", software()
    )
    path = cache_folder() / "statistics" / f"{key}.npz"
    with suppress(GanInvError):  # none there, or a damaged file
        return FrechetStatistics.load(path)
    statistics = generator_statistics(G, n, seed, noise_mode, truncation_psi, batch, features, progress=progress)
    with suppress(OSError):  # a cache that cannot be written saves no time, and does no harm
        statistics.save(path)
    return statistics


def _counted(batches: Iterator[Tensor], n: int, progress: Callable[[int, int], None] | None) -> Iterator[Tensor]:
    drawn = 0
    for batch in batches:
        drawn += len(batch)
        if progress:
            progress(drawn, n)
        yield batch
