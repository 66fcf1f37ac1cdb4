r"""Total variation (Rudin, Osher and Fatemi 1992): of all images that explain the measurements, one with few edges.

.. math::

    \min_x \; \tfrac12 \lVert y - A x \rVert^2 + \lambda \operatorname{TV}(x)

by :func:`~.proximal.fista`, whose proximal map is scikit-image's denoiser (Chambolle 2004).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..inversion.result import config_dict
from ..run import Callback, Resume
from ..settings import Checked, Count, Positive, Weight
from .operators import Operator
from .proximal import fista
from .recovery import Recovery
from .register import solver

if TYPE_CHECKING:
    from ..zoo import Bundle


@dataclass(frozen=True)
class TotalVariation(Checked):
    r"""Attributes:
    weight: :math:`\lambda`, for images in [-1, 1] and operators of gain 1.
    inner: the most iterations of the denoiser.
    """

    weight: Weight = 0.01
    steps: Count = 300
    inner: Positive = 20


@solver("tv", TotalVariation(), "few edges", "small total variation")
def total_variation(
    gan: Bundle,
    y: Tensor,
    operator: Operator,
    config: TotalVariation | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Recovery:
    """Recover images from measurements ``[N, *operator.shape]``, on the CPU. Of ``gan`` nothing is used."""
    from skimage.restoration import denoise_tv_chambolle

    config = config or TotalVariation()
    began = time.perf_counter() - (resume.seconds if resume else 0.0)

    def prox(x: Tensor, over_L: float) -> Tensor:
        if not config.weight:
            return x
        smooth = [
            denoise_tv_chambolle(one, weight=config.weight * over_L, eps=0.0, max_num_iter=config.inner, channel_axis=0)
            for one in x.numpy()
        ]
        return torch.from_numpy(np.stack(smooth)).to(x.dtype)

    image, history = fista(y.cpu(), operator, prox, config.steps, "total variation", callback, resume)
    seconds = time.perf_counter() - began
    return Recovery("tv", gan, operator, y, image, history=history, seconds=seconds, config=config_dict(config))
