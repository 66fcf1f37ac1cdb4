"""The first estimate that PTI and near-perfect inversion start from: an encoder's, or a projection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ..run import Callback, Resume
from .projection import Projection, projection
from .restyle import ReStyle, restyle
from .result import Inversion

if TYPE_CHECKING:
    from ..zoo import Bundle


def estimate(
    gan: Bundle,
    target: Tensor,
    config: Projection | ReStyle,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Inversion:
    """Photos ``[N, 3, R, R]`` in [-1, 1] by whichever of the two methods ``config`` is for.

    Raises:
        GanInvError: the photos are not finite, or not of the generator's resolution, or the bundle has no such encoder.
    """
    if isinstance(config, ReStyle):
        return restyle(gan, target, config, callback, resume)
    return projection(gan, target, config, callback, resume)
