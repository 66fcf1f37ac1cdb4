"""Named points in the plane of two measures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .axes import place_names, plain_numbers
from .style import BLACK, WIDTH, counted, describe, ink, marker_shapes, palette_of, start_of

Point = tuple[Any, ...]


def pareto_front(points: Sequence[Sequence[float]] | np.ndarray) -> list[int]:
    """Indices of the points ``[N, 2]`` that no other beats, both coordinates being the better the smaller, from left to right.

    A point is beaten by one that is nowhere worse and somewhere better; of equal points the first stays. Points that are not finite are left out.
    """
    values = np.asarray(points, dtype=float).reshape(-1, 2)
    best, front = math.inf, []
    for i in np.lexsort((values[:, 1], values[:, 0])):
        if np.isfinite(values[i]).all() and values[i, 1] < best:
            front.append(int(i))
            best = values[i, 1]
    return front


def pareto(
    series: Mapping[str, Point | Sequence[Point]],
    xlabel: str = "Fréchet ratio",
    ylabel: str = "MSE",
    log: str = "y",
    limits: tuple[float | None, float | None] = (None, None),
    title: str | None = None,
) -> Figure:
    """What an error costs: labelled points, both axes the better the smaller, and the frontier of those that no other beats.

    Args:
        series: name -> a tuple ``(x, y)``, a point labelled with the name; or a list of ``(x, y)`` or ``(x, y, label)``, which share a colour and a
            marker, are joined in their order, and are named in a legend. x and y are numbers, or several measurements of one (images, seeds),
            drawn at their mean with the standard deviation as whiskers.
        log: axes with logarithmic scales: ``""``, ``"x"``, ``"y"`` or ``"xy"``.
        limits: targets for x and y, drawn as dotted lines.

    Raises:
        ValueError: there is no point.
    """
    drawn = {name: _points(points, name) for name, points in series.items()}
    flat = [(x.mean(), y.mean()) for points in drawn.values() for x, y, _ in points]
    if not flat:
        raise ValueError("there is no point to draw")
    figure, ax = plt.subplots(figsize=(WIDTH, 4.0), layout="constrained")
    named, shown = [], []
    for (name, points), color, marker in zip(
        drawn.items(), palette_of(len(drawn)), marker_shapes(len(drawn)), strict=True
    ):
        middles = np.array([(x.mean(), y.mean()) for x, y, _ in points])
        joined = len(points) > 1
        ax.plot(
            *middles.T,
            marker=marker,
            color=color,
            markersize=7,
            linewidth=1 if joined else 0,
            alpha=0.9,
            label=name,
            zorder=3,
        )
        for x, y, label in points:
            spread = [group.std(ddof=1) if group.size > 1 else 0.0 for group in (x, y)]
            if any(spread):
                ax.errorbar(
                    x.mean(),
                    y.mean(),
                    xerr=spread[0] or None,
                    yerr=spread[1] or None,
                    color=ink(color),
                    linewidth=0.8,
                    capsize=3,
                    zorder=2,
                )
            if label:
                named.append((label, (x.mean(), y.mean()), color))
        if joined:
            shown.append(
                ax.get_lines()[-1]
                if not any(x.size > 1 or y.size > 1 for x, y, _ in points)
                else Line2D([], [], color=color, marker=marker, label=name)
            )
    ax.set_xscale("log" if "x" in log else "linear")
    ax.set_yscale("log" if "y" in log else "linear")
    ax.margins(0.12)
    front = pareto_front(flat)
    left, bottom = (flat[front[0]][0], flat[front[-1]][1])
    ax.autoscale_view()
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    corners = [flat[i] for i in front]
    steps = [
        (left, y1),
        *(
            corner
            for a, b in zip(corners, [*corners[1:], None], strict=True)
            for corner in ((a, (b[0], a[1])) if b else (a,))
        ),
        (x1, bottom),
    ]
    ax.plot(*np.array(steps).T, color="#6e6e6e", linestyle="--", linewidth=1, zorder=1)
    for target, line in zip(limits, (ax.axvline, ax.axhline), strict=True):
        if target is not None:
            line(target, color="#6e6e6e", linestyle=":", linewidth=1, zorder=0)
    ax.set(xlabel=f"{xlabel} (smaller is better)", ylabel=f"{ylabel} (smaller is better)", title=title or "")
    ax.set(
        xlim=(min(x0, limits[0] or x0), max(x1, (limits[0] or x1))),
        ylim=(min(y0, limits[1] or y0), max(y1, (limits[1] or y1))),
    )
    plain_numbers(ax, log)
    if shown:
        ax.legend(handles=shown, fontsize=9)
    place_names(figure, ax, named)
    told = "; ".join(
        f"{name}{f', {label}' if label and label != name else ''} ({x.mean():.3g}, {y.mean():.3g})"
        for name, points in drawn.items()
        for x, y, label in points
    )
    return describe(
        figure,
        f"{start_of(title)}{counted(len(flat), 'point')} of {ylabel} over {xlabel}, {len(front)} of them on the dashed frontier. As (x, y): {told}.",
    )


def tradeoff(
    points: Mapping[str, tuple[float, float, float]],
    xlabel: str,
    ylabel: str,
    label: str,
    log: str = "",
    paths: Mapping[str, Any] | None = None,
) -> Figure:
    """Named points in the plane with a third measure as their colour: light where it is small, dark where it is large.

    Args:
        points: name -> (x, y, value).
        label: of the colours' scale.
        log: axes with logarithmic scales: ``""``, ``"x"``, ``"y"`` or ``"xy"``.
        paths: name of a point -> a pair (x values, y values), how it got there: drawn as a thin grey line.

    Raises:
        ValueError: there is no point.
    """
    if not points:
        raise ValueError("there is no point to draw")
    values = [value for _, _, value in points.values()]
    colours: Any = plt.cm.ScalarMappable(plt.Normalize(min(values), max(values)), plt.get_cmap("cividis_r"))
    figure, ax = plt.subplots(figsize=(WIDTH, 4.0), layout="constrained")
    for path in (paths or {}).values():
        ax.plot(*path, color="#8a8a8a", linewidth=1, zorder=1)
    for x, y, value in points.values():
        ax.plot(
            x, y, "o", color=colours.to_rgba(value), markeredgecolor=BLACK, markeredgewidth=0.8, markersize=11, zorder=3
        )
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_xscale("log" if "x" in log else "linear")
    ax.set_yscale("log" if "y" in log else "linear")
    ax.margins(0.12)
    plain_numbers(ax, log)
    bar = figure.colorbar(colours, ax=ax, aspect=18, pad=0.02)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    cast(Any, bar.outline).set_visible(False)
    place_names(figure, ax, [(name, (x, y), BLACK) for name, (x, y, _) in points.items()])
    told = "; ".join(f"{name} ({x:.3g}, {y:.3g}), {value:.3g}" for name, (x, y, value) in points.items())
    return describe(
        figure,
        f"{counted(len(points), 'point')} of {ylabel} over {xlabel}, darker where {label} is larger. As (x, y), value: {told}.",
    )


def _points(points: Point | Sequence[Point], name: str) -> list[tuple[np.ndarray, np.ndarray, str]]:
    """A point (a tuple) or points (a list of them) of :func:`pareto` as ``(x values, y values, label)``; a single one has its series' name."""
    rows = [(*points, name)] if isinstance(points, tuple) else points
    return [
        (np.ravel(np.asarray(x, float)), np.ravel(np.asarray(y, float)), str(label[0]) if label else "")
        for x, y, *label in rows
    ]
