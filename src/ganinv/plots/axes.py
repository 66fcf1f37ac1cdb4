"""Names beside lines and points, and numbers on logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from .style import ink


def label_ends(ax: Axes) -> None:
    """Write every line's name at the right, at the height where the line ends, pushed apart where names would overlap."""
    to_axes = ax.transScale + ax.transLimits
    ax.autoscale_view()
    lines = ax.get_lines()
    wanted = np.clip([to_axes.transform(np.asarray(line.get_xydata())[-1])[1] for line in lines], 0, 1)
    order, height = np.argsort(wanted), 0.075
    placed = wanted[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + height)
    for i in range(len(placed) - 1, -1, -1):
        placed[i] = min(
            placed[i], 1 - height * (len(placed) - 1 - i), placed[i + 1] - height if i + 1 < len(placed) else 1
        )
    for i, y in zip(order, placed, strict=True):
        ax.text(
            1.015, y, str(lines[i].get_label()), transform=ax.transAxes, color=ink(lines[i].get_color()), va="center"
        )


def raise_floor(ax: Axes, lines: Sequence[np.ndarray], floor: float) -> None:
    """Cut off what lies below ``floor`` times the largest value: rounding errors must not stretch a logarithmic axis."""
    largest = max(values.max() for values in lines)
    if min(values.min() for values in lines) < floor * largest:
        ax.set_ylim(bottom=floor * largest)


def plain_numbers(ax: Axes, log: str) -> None:
    """Write out the numbers of logarithmic axes, whose limits are set, at round ticks; powers of ten from three decades on."""
    ax.autoscale_view()
    for axis in (getattr(ax, f"{letter}axis") for letter in log):
        low, high = axis.get_view_interval()
        if high < 1e3 * low:
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 8 * low else MaxNLocator(6))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(lambda value, _: f"{value:g}")


def place_names(figure: Figure, ax: Axes, named: Sequence[tuple[str, tuple[float, float], str]]) -> None:
    """Write each name beside its point, on the side where it covers least: points, names written before, the border."""
    figure.canvas.draw()  # the layout is settled now
    renderer = cast(Any, figure.canvas).get_renderer()
    inside = ax.get_window_extent(renderer)
    size = 5 * figure.dpi / 72
    lines = [line for line in ax.get_lines() if line.get_marker() not in ("", "None", None)]
    places = [xy for line in lines for xy in ax.transData.transform(np.asarray(line.get_xydata()))]
    taken = [Bbox.from_bounds(x - size, y - size, 2 * size, 2 * size) for x, y in places]
    for line in ax.get_lines():  # and the lines themselves, in short pieces
        path: np.ndarray = np.asarray(line.get_transform().transform_path(line.get_path()).vertices, dtype=float)
        for a, b in pairwise(path):
            pieces = max(int(np.hypot(*(b - a)) / 4), 1)
            taken += [Bbox([point - 2, point + 2]) for point in np.linspace(a, b, min(pieces, 500))]
    legend = ax.get_legend()
    if legend is not None:
        taken.append(legend.get_window_extent(renderer))
    sides = [(8, 0, "left", "center"), (-8, 0, "right", "center"), (0, 8, "center", "bottom"), (0, -8, "center", "top")]
    sides += [
        (a * 7, b * 7, "left" if a > 0 else "right", "bottom" if b > 0 else "top") for a in (1, -1) for b in (1, -1)
    ]
    for name, xy, color in named:
        text = ax.annotate(name, xy, xytext=(0, 0), textcoords="offset points", color=ink(color), fontsize=9, zorder=5)
        text.set_in_layout(False)
        costs = []
        for dx, dy, horizontal, vertical in sides:
            text.set(position=(dx, dy), ha=horizontal, va=vertical)
            box = text.get_window_extent(renderer)
            covered = [Bbox.intersection(box, other) for other in taken]
            outside = box.width * box.height - (lambda b: b.width * b.height if b else 0.0)(
                Bbox.intersection(box, inside)
            )
            costs.append(sum(b.width * b.height for b in covered if b) + 3 * outside)
        dx, dy, horizontal, vertical = sides[int(np.argmin(costs))]
        text.set(position=(dx, dy), ha=horizontal, va=vertical)
        taken.append(text.get_window_extent(renderer))


def write_name(ax: Axes, name: str, x: float, y: float, color: str) -> None:
    text = ax.annotate(name, (x, y), xytext=(7, 4), textcoords="offset points", color=ink(color), fontsize=9, zorder=5)
    text.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8})
