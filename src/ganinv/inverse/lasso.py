r"""Lasso (Tibshirani 1996): of all images that explain the measurements, one with few coefficients, the baseline of Bora et al. (2017).

.. math::

    \min_c \; \tfrac12 \lVert y - A \Psi^\top c \rVert^2 + \lambda \lVert c \rVert_1

in the discrete cosine transform or in wavelets, both orthonormal. scikit-learn solves the same (its ``alpha`` is λ over the number of measurements),
but it wants :math:`A \Psi^\top` as a matrix; with :func:`~.proximal.fista` both are functions. The tests compare the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from torch import Tensor

from ..inversion.result import config_dict
from ..run import Callback, Resume
from ..settings import Checked, Count, Weight, one_of
from .operators import Operator
from .proximal import fista, shrink
from .recovery import Recovery
from .register import solver

if TYPE_CHECKING:
    from ..zoo import Bundle

Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Lasso(Checked):
    r"""Attributes:
    basis: ``"dct"`` or ``"wavelet"``.
    wavelet: which of PyWavelets', as deep as it fits the image, periodic at its edges.
    weight: :math:`\lambda`, for images in [-1, 1] and operators of gain 1. Ours, no paper's. The best depends on m: of .01, .05, .1 and .2, on two
        held-out faces and the two real portraits with Gaussian measurements and 200 steps, cosines had the least MSE at .2 for m = 200 (.229, after
        .239 at .01) and m = 1,000 (.108, after .152), and at .01 for m = 4,000 (.026, and .028 at .2). .1 was never
        more than 1.2 % above the best of the four, for wavelets 4.5 %.
    """

    basis: Annotated[str, one_of("dct", "wavelet")] = "dct"
    wavelet: str = "db4"
    weight: Weight = 0.1
    steps: Count = 500


@solver("lasso-wavelet", Lasso(basis="wavelet"), "few wavelet coefficients", "sparse in wavelets")
@solver("lasso-dct", Lasso(), "few cosine coefficients", "sparse in cosines")
def lasso(
    gan: Bundle,
    y: Tensor,
    operator: Operator,
    config: Lasso | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Recovery:
    """Recover images from measurements ``[N, *operator.shape]``, on the CPU. Of ``gan`` nothing is used."""
    config = config or Lasso()
    began = time.perf_counter() - (resume.seconds if resume else 0.0)
    analyse, synthesise = (dct, inverse_dct) if config.basis == "dct" else wavelets(config.wavelet, operator.resolution)

    def prox(x: Tensor, over_L: float) -> Tensor:
        return synthesise(shrink(analyse(x), config.weight * over_L))

    image, history = fista(y.cpu(), operator, prox, config.steps, f"lasso in {config.basis}", callback, resume)
    seconds = time.perf_counter() - began
    return Recovery(
        f"lasso-{config.basis}", gan, operator, y, image, history=history, seconds=seconds, config=config_dict(config)
    )


def dct(x: Tensor) -> Tensor:
    """The orthonormal cosine transform of every colour, ``[N, 3, R, R]``."""
    from scipy.fft import dctn

    return torch.from_numpy(dctn(x.numpy(), axes=(2, 3), norm="ortho"))


def inverse_dct(c: Tensor) -> Tensor:
    """Its inverse, which is its adjoint."""
    from scipy.fft import idctn

    return torch.from_numpy(idctn(c.numpy(), axes=(2, 3), norm="ortho"))


def wavelets(name: str, resolution: int) -> tuple[Transform, Transform]:
    """``(analyse, synthesise)`` of images ``[N, 3, R, R]``: the orthonormal wavelet transform of every colour, and its inverse."""
    import pywt

    settings = dict(wavelet=name, mode="periodization", axes=(2, 3))
    level = pywt.dwt_max_level(resolution, name)  # beyond, every coefficient would feel the edges

    @lru_cache
    def places(n: int) -> list:
        """Where in an array the coefficients of ``n`` images are."""
        empty = np.zeros((n, 3, resolution, resolution), np.float32)
        return pywt.coeffs_to_array(pywt.wavedecn(empty, level=level, **settings), axes=(2, 3))[1]

    def analyse(x: Tensor) -> Tensor:
        return torch.from_numpy(pywt.coeffs_to_array(pywt.wavedecn(x.numpy(), level=level, **settings), axes=(2, 3))[0])

    def synthesise(c: Tensor) -> Tensor:
        coefficients = pywt.array_to_coeffs(c.numpy(), places(len(c)), output_format="wavedecn")
        return torch.from_numpy(pywt.waverecn(coefficients, **settings))

    return analyse, synthesise
