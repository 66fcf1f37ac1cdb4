"""Codes seen in the plane of two directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .axes import write_name
from .style import describe, palette_of, start_of


def latents2d(
    cloud: Tensor,
    points: Mapping[str, Tensor] | None = None,
    paths: Mapping[str, Tensor] | None = None,
    axes: tuple[str, str] | None = None,
    title: str | None = None,
) -> Figure:
    """Codes in the plane: a cloud of random ones, with named points and paths (an optimisation's) drawn over it.

    Args:
        cloud: ``[M, d]``. Where d is not 2, everything is projected onto the two main directions of the cloud (PCA).
        points: name -> ``[d]`` or ``[k, d]``.
        paths: name -> ``[T, d]``, drawn from a ring to a dot.
    """
    project, share = _plane(cloud)
    names = axes or (
        ("first code", "second code")
        if share is None
        else (f"component 1 ({share[0]:.0%})", f"component 2 ({share[1]:.0%})")
    )
    figure, ax = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
    ax.plot(*project(cloud), ".", color="#8a8a8a", alpha=0.5, markersize=3, markeredgewidth=0, zorder=1)
    colors = iter(palette_of(len(paths or {}) + len(points or {})))
    for name, path in (paths or {}).items():
        xs, ys = project(path)
        color = next(colors)
        ax.plot(xs, ys, color=color, linewidth=1.4)
        ax.plot(xs[0], ys[0], "o", color="white", markeredgecolor=color, markersize=6)
        ax.plot(xs[-1], ys[-1], "o", color=color, markersize=6)
        write_name(ax, name, xs[-1], ys[-1], color)
    for name, point in (points or {}).items():
        xs, ys = project(point.reshape(-1, cloud.shape[1]))
        color = next(colors)
        ax.plot(xs, ys, "D", color=color, markersize=5.5)
        write_name(ax, name, xs[0], ys[0], color)
    ax.set(xlabel=names[0], ylabel=names[1], title=title or "", aspect="equal")
    ax.set_adjustable("datalim")
    drawn = [*(f"the path {name}" for name in paths or {}), *(f"the point {name}" for name in points or {})]
    return describe(
        figure,
        f"{start_of(title)}A grey cloud of {len(cloud)} random codes{' and on it ' if drawn else ''}{', '.join(drawn)}.",
    )


def _plane(cloud: Tensor) -> tuple[Any, list[float] | None]:
    """The projection from ``[k, d]`` to x and y, and the shares of the variance that the two directions hold (``None`` where d is 2)."""
    cloud = cloud.detach().cpu()
    if cloud.shape[1] == 2:
        return lambda codes: codes.detach().cpu().numpy().T, None
    mean = cloud.mean(dim=0)
    _, spread, directions = torch.linalg.svd(cloud - mean, full_matrices=False)
    variance = spread.square() / spread.square().sum()
    return lambda codes: ((codes.detach().cpu() - mean) @ directions[:2].T).numpy().T, variance[:2].tolist()
