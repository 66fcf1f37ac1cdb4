"""Curves over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .axes import label_ends, plain_numbers
from .style import WIDTH, counted, describe, palette_of, start_of

Rows = Sequence[Mapping[str, float]]


def curves(
    series: Rows | Mapping[str, Any],
    x: str = "step",
    y: str | Sequence[str] = "mse",
    log: str = "",
    xlabel: str | None = None,
    ylabel: str | None = None,
    title: str | None = None,
) -> Figure:
    """Lines with their names at their right ends.

    Args:
        series: the rows of a history, drawn as one line for every key in ``y``; or a dict of named lines, each rows (of which ``x`` and ``y`` are
            taken), values, or a pair (x values, y values).
        log: axes with logarithmic scales: ``""``, ``"x"``, ``"y"`` or ``"xy"``.

    Raises:
        ValueError: there is nothing to draw.
    """
    keys = [y] if isinstance(y, str) else list(y)
    lines = (
        {name: _line(values, x, keys[0]) for name, values in series.items()}
        if isinstance(series, Mapping)
        else {key: _line(series, x, key) for key in keys}
    )
    lines = {name: line for name, line in lines.items() if line[1].size}
    if not lines:
        raise ValueError("there is no curve to draw: no row holds the wanted keys")
    figure, ax = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    for name, (xs, ys) in lines.items():
        ax.plot(xs, ys, label=name)
    ax.set(xlabel=xlabel or x, ylabel=ylabel or (keys[0] if len(keys) == 1 else ""), title=title or "")
    ax.margins(x=0.01)
    ax.set_xscale("log" if "x" in log else "linear")
    ax.set_yscale("log" if "y" in log else "linear")
    plain_numbers(ax, log)
    if len(lines) > 1 or not isinstance(y, str):
        label_ends(ax)
    told = "; ".join(f"{name} from {ys[0]:.3g} to {ys[-1]:.3g}" for name, (_, ys) in lines.items())
    scale = " on a logarithmic scale" if "y" in log else ""
    return describe(
        figure,
        f"{start_of(title)}{counted(len(lines), 'curve')} of {ylabel or ', '.join(keys)} over {xlabel or x}{scale}: {told}.",
    )


def histories(
    runs: Mapping[str, Rows],
    keys: Mapping[str, str] | Sequence[str],
    log: Sequence[str] = (),
    x: str = "step",
    smooth: float = 0.05,
) -> Figure:
    """The histories of several runs: one panel a key, one colour a run; pale every step, full the running mean.

    Args:
        runs: name -> rows of its history. A run is missing from the panels of keys that it does not hold.
        keys: the keys to draw, or a dict key -> title of its panel.
        log: the keys whose axis is logarithmic.
        smooth: width of the running mean, as a share of the run; 0 for none.

    Raises:
        ValueError: no run holds any of the keys.
    """
    titles = dict(keys) if isinstance(keys, Mapping) else {key: key for key in keys}
    lines = {
        key: {name: line for name, rows in runs.items() if (line := _line(rows, x, key))[1].size} for key in titles
    }
    if not any(lines.values()):
        raise ValueError("there is no curve to draw: no row holds the wanted keys")
    columns = min(len(titles), 3)
    height = -(-len(titles) // columns)
    figure, axes = plt.subplots(
        height, columns, figsize=(WIDTH, 2.3 * height + 0.3), squeeze=False, layout="constrained"
    )
    colors = dict(zip(runs, palette_of(len(runs)), strict=True))
    for ax, (key, title) in zip(axes.flat, titles.items(), strict=False):
        for name, (xs, ys) in lines[key].items():
            width = min(max(round(smooth * len(ys)), 1), len(ys))
            if width > 1:
                ax.plot(xs, ys, color=colors[name], alpha=0.25, linewidth=0.8)
            means = np.exp(_running_mean(np.log(ys), width)) if key in log else _running_mean(ys, width)
            ax.plot(xs[width - 1 :], means, color=colors[name], label=name)
        ax.set_title(title, fontsize=9)
        ax.set_yscale("log" if key in log else "linear")
        plain_numbers(ax, "y" if key in log else "")
        ax.tick_params(labelsize=8)
        ax.set_xlabel(x, fontsize=9)
    for ax in axes.flat[len(titles) :]:
        ax.set_axis_off()
    if len(runs) > 1:
        handles = [Line2D([], [], color=color, label=name) for name, color in colors.items()]
        figure.legend(handles=handles, loc="outside upper center", ncols=min(len(runs), 4), fontsize=9)
    told = "; ".join(
        f"{titles[key]}: " + ", ".join(f"{name} from {ys[0]:.3g} to {ys[-1]:.3g}" for name, (_, ys) in drawn.items())
        for key, drawn in lines.items()
        if drawn
    )
    return describe(figure, f"{counted(len(titles), 'panel')} of curves over {x}. {told}.")


def _line(values: Any, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """Finite points of rows, of plain values, or of a pair (x values, y values)."""
    if isinstance(values, tuple) and len(values) == 2:
        xs, ys = (np.asarray(part, dtype=float) for part in values)
    elif isinstance(values, Sequence) and values and isinstance(values[0], Mapping):
        rows = [row for row in values if y in row]
        xs, ys = (
            np.array([row.get(x, i) for i, row in enumerate(rows)], dtype=float),
            np.array([row[y] for row in rows], dtype=float),
        )
    else:
        ys = np.asarray(values, dtype=float)
        xs = np.arange(len(ys), dtype=float)
    finite = np.isfinite(ys)
    return xs[finite], ys[finite]


def _running_mean(values: np.ndarray, width: int) -> np.ndarray:
    return np.convolve(values, np.full(width, 1 / width), mode="valid")
