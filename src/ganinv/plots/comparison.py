"""Reconstructions beside their targets, and maps of where they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .sheets import pixels_of
from .style import ERROR_MAP, WIDTH, counted, describe, listed, start_of


def compare(
    target: Tensor,
    initial: Tensor | None,
    result: Tensor,
    limit: float | None = None,
    labels: Sequence[str] = ("target", "initial estimate", "result"),
) -> Figure:
    """One row a photo: target, where the method started, where it ended, and the magnified difference between target and result.

    Args:
        target, initial, result: ``[N, 3, H, W]`` in [-1, 1]; ``initial`` may be missing.
        limit: difference (0 to 2, mean over the channels) that the brightest colour stands for, the same in all rows; by default a round number
            that few pixels exceed.
    """
    shown = {labels[0]: target, **({} if initial is None else {labels[1]: initial}), labels[2]: result}
    difference = difference_map(result, target)
    limit = limit or _round_limit(difference)
    figure, axes = _panels(len(target), len(shown) + 1, below=0.22)
    for i, row in enumerate(axes):
        for ax, (label, images) in zip(row, shown.items(), strict=False):
            _picture(
                ax,
                pixels_of(images[i]),
                label if i == 0 else "",
                "" if images is target else _mse_label(images[i], target[i]),
            )
        last = _picture(row[-1], difference[i], f"difference × {2 / limit:.3g}" if i == 0 else "", "", limit)
    _error_bar(figure, axes[:, -1], last, difference, limit)
    start = "" if initial is None else f"where it started ({_mse_label(initial, target)}), "
    return describe(
        figure,
        f"From left to right the target, {start}the result ({_mse_label(result, target)}) and their difference, magnified {2 / limit:.3g} times"
        f"{'' if len(target) == 1 else f', for {len(target)} photos'}.",
    )


def compare_methods(target: Tensor, results: Mapping[str, Tensor], limit: float | None = None) -> Figure:
    """A target ``[1, 3, H, W]`` and what several methods made of it, each with its map of differences below, on one scale."""
    differences = {name: difference_map(image, target)[0] for name, image in results.items()}
    limit = limit or _round_limit(np.stack(list(differences.values())))
    figure, axes = _panels(2, len(results) + 1, below=0.11)
    _picture(axes[0, 0], pixels_of(target), "target", "")
    axes[1, 0].set_axis_off()
    for column, (name, image) in enumerate(results.items(), 1):
        _picture(axes[0, column], pixels_of(image), name, "")
        last = _picture(axes[1, column], differences[name], "", _mse_label(image, target), limit)
    _error_bar(figure, axes[1, 1:], last, np.stack(list(differences.values())), limit)
    scores = ", ".join(f"{name} ({_mse_label(image, target)})" for name, image in results.items())
    return describe(
        figure,
        f"The target, then its reconstructions by {scores}; below each its difference from the target, brighter where it is larger.",
    )


def error_map(image: Tensor, target: Tensor, limit: float | None = None, title: str | None = None) -> Figure:
    """Where a reconstruction differs from its target (both ``[1, 3, H, W]`` in [-1, 1]): the absolute difference, mean over the channels."""
    difference = difference_map(image, target)
    limit = limit or _round_limit(difference)
    figure, ax = plt.subplots(figsize=(4.2, 3.2), layout="constrained")
    shown = _picture(ax, difference[0], title or "", "", limit)
    _error_bar(figure, ax, shown, difference, limit)
    return describe(
        figure,
        f"{start_of(title)}A map of differences, mean {difference.mean():.3g}, largest {difference.max():.3g}, brighter where larger.",
    )


def error_maps(
    targets: Tensor, results: Mapping[str, Tensor], limit: float | None = None, labels: Sequence[str] | None = None
) -> Figure:
    """Where several reconstructions differ from their targets, all on one scale: one row a photo, the photo first, one column a result.

    Args:
        targets: ``[N, 3, H, W]`` in [-1, 1].
        results: name -> ``[N, 3, H, W]``.
        limit: difference (0 to 2, mean over the channels) of the brightest colour; by default a round number that few pixels exceed.
        labels: name of each photo.
    """
    differences = {name: difference_map(images, targets) for name, images in results.items()}
    everything = np.concatenate(list(differences.values()))
    limit = limit or _round_limit(everything)
    figure, axes = _panels(len(targets), len(results) + 1, below=0.22)
    for i, row in enumerate(axes):
        _picture(row[0], pixels_of(targets[i]), "photo" if i == 0 else "", "" if labels is None else labels[i])
        for ax, (name, images) in zip(row[1:], results.items(), strict=True):
            last = _picture(ax, differences[name][i], name if i == 0 else "", _mse_label(images[i], targets[i]), limit)
    _error_bar(figure, axes[:, 1:], last, everything, limit)
    means = ", ".join(f"{name} (mean {difference.mean():.2g})" for name, difference in differences.items())
    return describe(
        figure,
        f"{counted(len(targets), 'photo')}{listed(labels)} and beside each its maps of differences, brighter where larger: {means}.",
    )


def signed_maps(
    maps: Mapping[str, Tensor], limit: float | None = None, label: str = "", below: Sequence[str] | None = None
) -> Figure:
    """Maps with a sign (a gradient by the pixels, a change): orange below zero, violet above it, white at zero, all on one scale.

    Args:
        maps: name -> ``[1, C, H, W]``; the mean over the channels is shown.
        limit: magnitude of the strongest colours; by default one that few pixels exceed.
        label: of the scale.
        below: a text under each map.
    """
    shown = {name: values.detach().mean(dim=1)[0].cpu().numpy() for name, values in maps.items()}
    limit = limit or max(float(np.quantile(np.abs(np.stack(list(shown.values()))), 0.995)), 1e-12)
    figure, axes = _panels(1, len(maps), below=0.0 if below is None else 0.22)
    for i, (ax, (name, values)) in enumerate(zip(axes[0], shown.items(), strict=True)):
        last = ax.imshow(values, interpolation="nearest", cmap="PuOr", vmin=-limit, vmax=limit)
        ax.set_title(name)
        ax.set_xlabel("" if below is None else below[i], fontsize=9)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_color("#b0b0b0")
    bar = figure.colorbar(last, ax=axes, extend="both", shrink=0.9, aspect=14, pad=0.03)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    cast(Any, bar.outline).set_visible(False)
    sizes = ", ".join(f"{name} (mean magnitude {np.abs(values).mean():.2g})" for name, values in shown.items())
    return describe(
        figure,
        f"{counted(len(maps), 'map')} in orange, white and violet, stronger colours where the magnitude is larger: {sizes}.",
    )


def _panels(rows: int, columns: int, below: float) -> tuple[Figure, Any]:
    """Square axes with a title above the first row, room for ``below`` inches of text a row, and for a colour bar at the right."""
    size = min(1.9, (WIDTH - 0.9) / columns)
    return plt.subplots(
        rows, columns, figsize=(columns * size + 0.9, rows * (size + below) + 0.25), squeeze=False, layout="compressed"
    )


def _picture(ax: Axes, pixels: np.ndarray, title: str, below: str, limit: float | None = None) -> Any:
    """One picture, or with ``limit`` one map of differences, in axes of its own."""
    scale: dict[str, Any] = {} if limit is None else {"cmap": ERROR_MAP, "vmin": 0, "vmax": limit}
    shown = ax.imshow(pixels, interpolation="nearest", **scale)
    ax.set_title(title)
    ax.set_xlabel(below, fontsize=9)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return shown


def _error_bar(figure: Figure, axes: Any, shown: Any, difference: np.ndarray, limit: float) -> None:
    bar = figure.colorbar(
        shown, ax=axes, extend="max" if difference.max() > limit else "neither", shrink=0.9, aspect=14, pad=0.03
    )
    bar.set_label("mean |difference|", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    cast(Any, bar.outline).set_visible(False)


def difference_map(image: Tensor, target: Tensor) -> np.ndarray:
    """Absolute difference as it is seen (clamped to [-1, 1]), mean over the channels: ``[N, H, W]``."""
    return (image.clamp(-1, 1) - target.clamp(-1, 1)).abs().mean(dim=1).detach().cpu().numpy()


def _mse_label(image: Tensor, target: Tensor) -> str:
    return f"MSE {(image.clamp(-1, 1) - target).square().mean().item():.2g}"


def _round_limit(difference: np.ndarray) -> float:
    """1, 2 or 5 times a power of ten that 99 % of the differences stay below; at least what 8 bits resolve."""
    value = max(float(np.quantile(difference, 0.99)), 0.01)
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if value <= step * power * (1 + 1e-6))
