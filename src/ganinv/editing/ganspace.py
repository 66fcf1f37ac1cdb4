r"""GANSpace: the principal components of W, and of which layers they are applied to (Härkönen et al. 2020).

.. math::

    w^+_\ell \leftarrow w^+_\ell + t\,\sigma_i v_i, \quad \ell \in [a, b), \qquad \operatorname{Cov}(w)\, v_i = \sigma_i^2 v_i

The authors take the components of up to a million samples by incremental PCA; here they come from the covariance that a bundle knows. What a
component does is found by looking, and so are the layers (section 3.3): an edit is written (i, a, b, t). The encoders' repositories *set* the
coordinate, which is :meth:`Direction.to`; :meth:`Direction.at` adds to it.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.checkpoint import reading
from ..checkpoints.torchfiles import read_torch_file
from ..errors import GanInvError
from .direction import Direction

if TYPE_CHECKING:
    from ..zoo import Bundle

COMPONENTS = 80
MOST_BYTES = 2**26  # of one array in a file


@dataclass(frozen=True, eq=False)
class PCA:
    """Principal components of W.

    Attributes:
        mean: ``[w_dim]``.
        components: unit vectors as rows ``[K, w_dim]``, those of largest variance first; of either sign, but the same on every machine.
        std: standard deviation along each, ``[K]``.
        generator: ``sha256`` of the bundle; empty where that is not known.
    """

    mean: Tensor
    components: Tensor
    std: Tensor
    generator: str = ""

    @classmethod
    def of(cls, gan: Bundle, components: int = COMPONENTS) -> PCA:
        """The first ``components`` (or all) of a bundle's W."""
        variance, vectors = torch.linalg.eigh(gan.w_cov.double())
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(dim=0)[None]).sign()
        count = min(components, gan.G.w_dim)
        std = variance.clamp(min=0).sqrt().flip(0)[:count].float()
        return cls(gan.G.mapping.w_avg.cpu(), vectors.T.flip(0)[:count].float(), std, gan.sha256)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PCA:
        """Read the authors' ``.npz``, or the ``.pt`` of the encoders' repositories (``mean``, ``comp``, ``std``), without executing anything in it.

        Raises:
            GanInvError: it is neither, or its parts do not fit.
        """
        with reading(path) as file:
            if zipfile.is_zipfile(file) and Path(path).suffix == ".npz":
                mean, components, std = (_array(file, name) for name in ("lat_mean", "lat_comp", "lat_stdev"))
            else:
                content = read_torch_file(file)
                if not isinstance(content, dict) or not all(
                    isinstance(content.get(name), Tensor) for name in ("mean", "comp", "std")
                ):
                    raise GanInvError("it holds no principal components (mean, comp, std); name GANSpace's .npz or .pt")
                mean, components, std = (content[name].float().clone() for name in ("mean", "comp", "std"))
            mean = mean.flatten()
            components, std = components.reshape(-1, len(mean)), std.flatten()
            if (
                not len(std)
                or len(std) != len(components)
                or not all(part.isfinite().all() for part in (mean, components, std))
            ):
                raise GanInvError("its mean, components and deviations do not fit together; download it again")
        return cls(mean, components, std)

    def __len__(self) -> int:
        return len(self.std)

    def direction(self, i: int, layers: Iterable[int] | None = None, name: str = "") -> Direction:
        """Component ``i`` (from 0) for some rows of w+, all by default.

        Raises:
            GanInvError: there are not so many.
        """
        if not 0 <= i < len(self):
            raise GanInvError(f"there is no component {i}: there are {len(self)}, from 0.")
        v, sigma = self.components[i] / self.components[i].norm(), self.std[i].item()
        return Direction(
            name or f"component {i}",
            sigma * v,
            None if layers is None else tuple(layers),
            offset=(self.mean @ v).item() / sigma if sigma else 0.0,
            method="ganspace",
            generator=self.generator,
        )


def _array(path: Path, name: str) -> Tensor:
    """One array of an ``.npz`` file, if it is no larger than any PCA's."""
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(f"{name}.npy").file_size > MOST_BYTES:
            raise GanInvError(f"its {name} is larger than any principal components are; the file is damaged or hostile")
    with np.load(path, allow_pickle=False) as data:
        return torch.from_numpy(np.asarray(data[name], dtype=np.float32))
