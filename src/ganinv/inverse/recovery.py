"""What a solver returns: the recovered images and how they came about."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..perception.features import EFFICIENTNET
from ..stylegan2 import Generator
from .operators import Operator

if TYPE_CHECKING:
    from ..zoo import Bundle


@dataclass
class Recovery:
    """Images from their measurements.

    Attributes:
        solver: its name in ``SOLVERS``.
        gan, operator: what was given.
        y: the measurements ``[N, *operator.shape]``.
        image: the recovered images ``[N, 3, R, R]``, in about [-1, 1].
        ws: their codes ``[N, num_ws, w_dim]``, or ``None`` for a solver without a generator.
        candidates: what each restart ended at, ``[N, restarts, 3, R, R]``, or ``None`` for a solver without restarts. ``image`` is the best of them.
        losses: the final loss of each, ``[N, restarts]``.
        generators: the generator of each image, where one was tuned; empty where not.
        history: rows with ``photo``, ``step`` and what was computed there, ``misfit`` among it (see :meth:`Operator.misfit`).
        seconds: wall time.
        config: the settings, as a plain dict.
        target: what was measured, ``[N, 3, R, R]``, where that is known: scores need it.
        warnings: a sentence for what went wrong.
    """

    solver: str
    gan: Bundle
    operator: Operator
    y: Tensor
    image: Tensor
    ws: Tensor | None = None
    candidates: Tensor | None = None
    losses: Tensor | None = None
    generators: list[Generator] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    config: dict[str, Any] = field(default_factory=dict)
    target: Tensor | None = None
    warnings: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.image)

    def to(self, device: str | torch.device) -> Recovery:
        """The same with its tensors, and the generators that were tuned, on ``device``."""
        moved: dict[str, Any] = {
            name: value.detach().to(device)
            for name in ("y", "image", "ws", "candidates", "losses", "target")
            if (value := getattr(self, name)) is not None
        }
        generators = [G if G.device == torch.device(device) else copy.deepcopy(G).to(device) for G in self.generators]
        return replace(self, **moved, generators=generators)

    @property
    def tuned(self) -> bool:
        """Whether the generator was changed."""
        return bool(self.generators)

    @property
    def generator(self) -> Generator:
        """The generator of the one image."""
        if len(self) != 1:
            raise ValueError(f"{len(self)} images were recovered: use `generators[i]`")
        return self.generators[0] if self.generators else self.gan.G

    @cached_property
    def misfit(self) -> Tensor:
        """How far the images are from explaining the measurements, ``[N]``, see :meth:`Operator.misfit`."""
        return self.operator.misfit(self.image, self.y)

    def scores_by(self, trunks: Sequence[str] = (EFFICIENTNET,)) -> list[dict[str, Any]]:
        """MSE, PSNR, SSIM and perceptual distances of each image from its target (``mse_own_noise`` is ``mse``: no noise maps are tuned).

        Raises:
            ValueError: the target is not known.
        """
        from ..perception.scores import batch_scores

        if self.target is None:
            raise ValueError("what was measured is not known: set `target`")
        rows = batch_scores(self.image, self.target, trunks)
        return [row | {"mse_own_noise": row["mse"]} for row in rows]

    @cached_property
    def scores_each(self) -> list[dict[str, Any]]:
        """The scores of each image."""
        return self.scores_by()
