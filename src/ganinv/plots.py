"""The book's figures, in one style: white ground, Okabe-Ito colours, direct labels, pictures with hard pixels.

Every function draws one figure of at most ``WIDTH`` inches, returns it, and leaves a plain description of what can be seen in its attribute
``alt_text`` (see :func:`describe`): the start of the alternative text that a notebook's cell carries. End the cell with a semicolon.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from .files import atomic_path
from .images import to_pil

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)  # Okabe-Ito: told apart by colour-blind readers too
WIDTH = 7.5  # inches: the width of the page's column
ERROR_MAP = "magma"  # perceptually uniform, and black where there is no error

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": plt.cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "figure.figsize": (WIDTH, 3.2),
    "figure.titlesize": 11,
    "font.size": 10,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "image.cmap": "cividis",
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.facecolor": "white",
}

Picture = Tensor | Image.Image
Pictures = Tensor | Sequence[Picture]


def use_style() -> None:
    """Make :data:`STYLE` Matplotlib's defaults; once, where a notebook imports its tools."""
    cast(Any, plt.rcParams).update(STYLE)


def describe(figure: Figure, text: str) -> Figure:
    """Attach ``text``, what can be seen in plain words, as ``figure.alt_text``; returns the figure."""
    cast(Any, figure).alt_text = " ".join(text.split())
    return figure


def save_figure(path: str | PathLike[str], figure: Figure) -> None:
    """Write a figure as PNG, whole or not at all, with its description in the file, and close it."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Description": getattr(figure, "alt_text", ""), "Software": "ganinv"})
    plt.close(figure)


# --- pictures ---------------------------------------------------------------------------------------------------------------------------------


def show_images(
    images: Pictures, titles: Sequence[str] | None = None, columns: int | None = None, scale: float = 1.8, suptitle: str | None = None
) -> Figure:
    """Pictures side by side, in rows of ``columns`` (at most 8 by default), each at most ``scale`` inches wide, with a title above each.

    Args:
        images: ``[N, 3, H, W]`` float in [-1, 1] or uint8, one ``[3, H, W]``, or a list of such tensors or Pillow images.

    Raises:
        ValueError: no image, or a different number of titles.
    """
    cells = _cells(images)
    if not cells or (titles is not None and len(titles) != len(cells)):
        raise ValueError(f"{len(cells)} images and {0 if titles is None else len(titles)} titles do not go together")
    columns = columns or min(len(cells), 8)
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    named = None if titles is None else [list(titles[i : i + columns]) for i in range(0, len(cells), columns)]
    figure = _sheet(rows, named, scale=scale, suptitle=suptitle)
    return describe(figure, f"{_start(suptitle)}{_count(len(cells), 'image')} in {_count(len(rows), 'row')}{_listed(titles)}.")


def filmstrip(frames: Pictures, labels: Sequence[Any] | None = None, suptitle: str | None = None) -> Figure:
    """Frames of one change, left to right in time order (rows of 8), with a label such as the step above each."""
    titles = None if labels is None else [str(label) for label in labels]
    figure = show_images(frames, titles, min(len(_cells(frames)), 8), suptitle=suptitle)
    return describe(figure, f"{_start(suptitle)}A strip of {_count(len(_cells(frames)), 'frame')}{_listed(titles)}.")


def image_grid(
    cells: Sequence[Sequence[Picture | None]] | Tensor,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    scale: float = 1.4,
    suptitle: str | None = None,
) -> Figure:
    """A table of pictures with labelled rows and columns (style mixing, truncation); ``None`` leaves a cell empty.

    Args:
        cells: rows of pictures, or ``[rows, columns, 3, H, W]``.

    Raises:
        ValueError: rows of different lengths, or labels that do not fit.
    """
    table = [[None if cell is None else _pixels(cell) for cell in row] for row in cells]
    width = len(table[0]) if table else 0
    if not width or any(len(row) != width for row in table):
        raise ValueError(f"a grid needs rows of one length, not of {[len(row) for row in table]}")
    if (rows is not None and len(rows) != len(table)) or (columns is not None and len(columns) != width):
        raise ValueError(f"a grid of {len(table)} rows and {width} columns needs as many labels")
    figure = _sheet(table, None, rows, columns, scale, suptitle)
    return describe(
        figure, f"{_start(suptitle)}A grid of images, {_count(len(table), 'row')}{_listed(rows)} by {_count(width, 'column')}{_listed(columns)}."
    )


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
    difference = _difference(result, target)
    limit = limit or _round_limit(difference)
    figure, axes = _panels(len(target), len(shown) + 1, below=0.22)
    for i, row in enumerate(axes):
        for ax, (label, images) in zip(row, shown.items(), strict=False):
            _picture(ax, _pixels(images[i]), label if i == 0 else "", "" if images is target else _mse_label(images[i], target[i]))
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
    differences = {name: _difference(image, target)[0] for name, image in results.items()}
    limit = limit or _round_limit(np.stack(list(differences.values())))
    figure, axes = _panels(2, len(results) + 1, below=0.11)
    _picture(axes[0, 0], _pixels(target), "target", "")
    axes[1, 0].set_axis_off()
    for column, (name, image) in enumerate(results.items(), 1):
        _picture(axes[0, column], _pixels(image), name, "")
        last = _picture(axes[1, column], differences[name], "", _mse_label(image, target), limit)
    _error_bar(figure, axes[1, 1:], last, np.stack(list(differences.values())), limit)
    scores = ", ".join(f"{name} ({_mse_label(image, target)})" for name, image in results.items())
    return describe(
        figure, f"The target, then its reconstructions by {scores}; below each its difference from the target, brighter where it is larger."
    )


def error_map(image: Tensor, target: Tensor, limit: float | None = None, title: str | None = None) -> Figure:
    """Where a reconstruction differs from its target (both ``[1, 3, H, W]`` in [-1, 1]): the absolute difference, mean over the channels."""
    difference = _difference(image, target)
    limit = limit or _round_limit(difference)
    figure, ax = plt.subplots(figsize=(4.2, 3.2), layout="constrained")
    shown = _picture(ax, difference[0], title or "", "", limit)
    _error_bar(figure, ax, shown, difference, limit)
    return describe(
        figure, f"{_start(title)}A map of differences, mean {difference.mean():.3g}, largest {difference.max():.3g}, brighter where larger."
    )


def pyramid(bands: Sequence[Tensor], gain: float | None = None) -> Figure:
    """The bands of a Laplacian pyramid of one image (each ``[1, 3, h, w]``, finest first), all shown at the same size.

    Bands hold differences, so grey is zero; each is multiplied by ``gain`` or, by default, by what makes it fill the range. The last is the
    small image that remains.
    """
    shown, titles = [], []
    for i, band in enumerate(bands):
        h, w = band.shape[-2:]
        if i == len(bands) - 1:
            shown.append(band)
            titles.append(f"rest\n{w} × {h}")
        else:
            factor = gain or 1 / max(band.abs().quantile(0.995).item(), 1e-6)
            shown.append(band * factor)
            titles.append(f"band {i}, × {factor:.2g}\n{w} × {h}")
    figure = show_images([picture.clamp(-1, 1) for picture in shown], titles, len(shown))
    sizes = ", ".join(f"{band.shape[-1]}" for band in bands)
    return describe(figure, f"{len(bands) - 1} grey images of edges, from fine to coarse, and a small blurred image; {sizes} pixels wide.")


# --- graphs -----------------------------------------------------------------------------------------------------------------------------------

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
    if len(lines) > 1 or not isinstance(y, str):
        _label_ends(ax)
    told = "; ".join(f"{name} from {ys[0]:.3g} to {ys[-1]:.3g}" for name, (_, ys) in lines.items())
    scale = " on a logarithmic scale" if "y" in log else ""
    return describe(figure, f"{_start(title)}{_count(len(lines), 'curve')} of {ylabel or ', '.join(keys)} over {xlabel or x}{scale}: {told}.")


def bars_with_spread(groups: Mapping[str, Sequence[float] | Tensor], ylabel: str, log: bool = False, title: str | None = None) -> Figure:
    """Every value of every group as a dot, with the group's mean (bar and number) and standard deviation (whisker).

    Bars would lie about ratios on a logarithmic scale, so with ``log`` the mean is a dash, without a whisker.

    Raises:
        ValueError: a group is empty.
    """
    values = {name: np.asarray(group, dtype=float).ravel() for name, group in groups.items()}
    if not values or any(not group.size for group in values.values()):
        raise ValueError("every group needs at least one value")
    figure, ax = plt.subplots(figsize=(min(WIDTH, 1.6 + 1.2 * len(values)), 3.4), layout="constrained")
    for i, (group, color) in enumerate(zip(values.values(), _cycle(len(values)), strict=True)):
        mean = group.mean()
        if log:
            ax.plot([i - 0.3, i + 0.3], [mean, mean], color=color, linewidth=3, solid_capstyle="butt")
        else:
            ax.bar(i, mean, width=0.6, color=0.5 + 0.5 * np.array(to_rgb(color)))
        if group.size > 1:
            if not log:
                ax.errorbar(i, mean, yerr=group.std(ddof=1), color=_ink(color), capsize=4, linewidth=1.2)
            ax.plot(i + np.linspace(-0.18, 0.18, group.size), group, "o", markersize=3.5, color=_ink(color), alpha=0.7, markeredgewidth=0)
        ax.annotate(f"{mean:.3g}", (i + 0.32, mean), xytext=(2, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_xticks(range(len(values)), list(values))
    ax.set_xlim(-0.6, len(values) - 0.2)
    ax.grid(False, axis="x")
    ax.set(ylabel=ylabel, title=title or "")
    ax.set_yscale("log" if log else "linear")
    told = "; ".join(f"{name} {group.mean():.3g}{f' ± {group.std(ddof=1):.2g}' if group.size > 1 else ''}" for name, group in values.items())
    return describe(figure, f"{_start(title)}{'Dashes' if log else 'Bars'} for the mean {ylabel} with single values as dots: {told}.")


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
    names = axes or (("first code", "second code") if share is None else (f"component 1 ({share[0]:.0%})", f"component 2 ({share[1]:.0%})"))
    figure, ax = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
    ax.plot(*project(cloud), ".", color="#8a8a8a", alpha=0.5, markersize=3, markeredgewidth=0, zorder=1)
    colors = iter(_cycle(len(paths or {}) + len(points or {})))
    for name, path in (paths or {}).items():
        xs, ys = project(path)
        color = next(colors)
        ax.plot(xs, ys, color=color, linewidth=1.4)
        ax.plot(xs[0], ys[0], "o", color="white", markeredgecolor=color, markersize=6)
        ax.plot(xs[-1], ys[-1], "o", color=color, markersize=6)
        _name(ax, name, xs[-1], ys[-1], color)
    for name, point in (points or {}).items():
        xs, ys = project(point.reshape(-1, cloud.shape[1]))
        color = next(colors)
        ax.plot(xs, ys, "D", color=color, markersize=5.5)
        _name(ax, name, xs[0], ys[0], color)
    ax.set(xlabel=names[0], ylabel=names[1], title=title or "", aspect="equal")
    ax.set_adjustable("datalim")
    drawn = [*(f"the path {name}" for name in paths or {}), *(f"the point {name}" for name in points or {})]
    return describe(figure, f"{_start(title)}A grey cloud of {len(cloud)} random codes{' and on it ' if drawn else ''}{', '.join(drawn)}.")


# --- what they share --------------------------------------------------------------------------------------------------------------------------


def _pixels(picture: Picture) -> np.ndarray:
    """One picture as uint8 ``[H, W, 3]``."""
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    pictures = to_pil(picture)
    if len(pictures) != 1:
        raise ValueError(f"one picture was expected here, not {len(pictures)}")
    return np.asarray(pictures[0])


def _cells(images: Pictures) -> list[np.ndarray]:
    if isinstance(images, Tensor):
        return [np.asarray(picture) for picture in to_pil(images)] if images.numel() else []
    return [_pixels(picture) for picture in images]


def _sheet(
    cells: Sequence[Sequence[np.ndarray | None]],
    titles: Sequence[Sequence[str]] | None = None,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    scale: float = 1.8,
    suptitle: str | None = None,
) -> Figure:
    """All pictures in one pair of axes, whose unit is the width of a picture: quick to draw, however many there are."""
    count = max(len(row) for row in cells)
    margin = 0.0 if rows is None else 0.1 + 0.075 * max(len(line) for label in rows for line in label.split("\n"))
    gap, size = 0.05, min(scale, (WIDTH - 0.1 - margin) / (count + 0.05 * (count - 1)))  # inches a picture
    lines = 0 if titles is None else max(title.count("\n") + 1 for row in titles for title in row)
    head = 0.17 * lines / size  # what the titles take, in widths of a picture
    heights = [max((cell.shape[0] / cell.shape[1] for cell in row if cell is not None), default=1.0) for row in cells]
    width, height = count + gap * (count - 1), sum(heights) + len(cells) * head + gap * (len(cells) - 1)
    extra = (0.3 if suptitle else 0.0) + (0.0 if columns is None else 0.1 + 0.17 * max(label.count("\n") + 1 for label in columns))
    figure = plt.figure(figsize=(width * size + margin + 0.1, height * size + extra + 0.1), layout="constrained")
    ax = figure.add_subplot()
    top, middles = 0.0, []
    for i, (row, tall) in enumerate(zip(cells, heights, strict=True)):
        top += head
        for j, cell in enumerate(row):
            left = j * (1 + gap)
            if cell is not None:
                ax.imshow(cell, extent=(left, left + 1, top + cell.shape[0] / cell.shape[1], top), interpolation="nearest")
            if titles is not None:
                ax.text(left + 0.5, top - 0.025 / size, titles[i][j], ha="center", va="bottom", fontsize=9, linespacing=1.1)
        middles.append(top + tall / 2)
        top += tall + gap
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.set_anchor("NW")  # so that the layout finds the labels where it left room for them
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.set_xticks([] if columns is None else [j * (1 + gap) + 0.5 for j in range(count)], None if columns is None else columns)
    ax.set_yticks([] if rows is None else middles, None if rows is None else rows)
    if suptitle:
        figure.suptitle(suptitle)
    return figure


def _panels(rows: int, columns: int, below: float) -> tuple[Figure, Any]:
    """Square axes with a title above the first row, room for ``below`` inches of text a row, and for a colour bar at the right."""
    size = min(1.9, (WIDTH - 0.9) / columns)
    return plt.subplots(rows, columns, figsize=(columns * size + 0.9, rows * (size + below) + 0.25), squeeze=False, layout="compressed")


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
    bar = figure.colorbar(shown, ax=axes, extend="max" if difference.max() > limit else "neither", shrink=0.9, aspect=14, pad=0.03)
    bar.set_label("mean |difference|", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    cast(Any, bar.outline).set_visible(False)


def _difference(image: Tensor, target: Tensor) -> np.ndarray:
    """Absolute difference as it is seen (clamped to [-1, 1]), mean over the channels: ``[N, H, W]``."""
    return (image.clamp(-1, 1) - target.clamp(-1, 1)).abs().mean(dim=1).detach().cpu().numpy()


def _mse_label(image: Tensor, target: Tensor) -> str:
    return f"MSE {(image.clamp(-1, 1) - target).square().mean().item():.2g}"


def _round_limit(difference: np.ndarray) -> float:
    """1, 2 or 5 times a power of ten that 99 % of the differences stay below; at least what 8 bits resolve."""
    value = max(float(np.quantile(difference, 0.99)), 0.01)
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if value <= step * power * (1 + 1e-6))


def _line(values: Any, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """Finite points of rows, of plain values, or of a pair (x values, y values)."""
    if isinstance(values, tuple) and len(values) == 2:
        xs, ys = (np.asarray(part, dtype=float) for part in values)
    elif isinstance(values, Sequence) and values and isinstance(values[0], Mapping):
        rows = [row for row in values if y in row]
        xs, ys = np.array([row.get(x, i) for i, row in enumerate(rows)], dtype=float), np.array([row[y] for row in rows], dtype=float)
    else:
        ys = np.asarray(values, dtype=float)
        xs = np.arange(len(ys), dtype=float)
    finite = np.isfinite(ys)
    return xs[finite], ys[finite]


def _label_ends(ax: Axes) -> None:
    """Write every line's name at the right, at the height where the line ends, pushed apart where names would overlap."""
    to_axes = ax.transScale + ax.transLimits
    ax.autoscale_view()
    lines = ax.get_lines()
    wanted = np.array([to_axes.transform(np.asarray(line.get_xydata())[-1])[1] for line in lines])
    order, height = np.argsort(wanted), 0.075
    placed = wanted[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + height)
    for i in range(len(placed) - 1, -1, -1):
        placed[i] = min(placed[i], 1 - height * (len(placed) - 1 - i), placed[i + 1] - height if i + 1 < len(placed) else 1)
    for i, y in zip(order, placed, strict=True):
        ax.text(1.015, y, str(lines[i].get_label()), transform=ax.transAxes, color=_ink(lines[i].get_color()), va="center")


def _name(ax: Axes, name: str, x: float, y: float, color: str) -> None:
    text = ax.annotate(name, (x, y), xytext=(7, 4), textcoords="offset points", color=_ink(color), fontsize=9, zorder=5)
    text.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8})


def _ink(color: Any) -> tuple[float, float, float]:
    """The colour, darkened until text in it reads well on white (contrast of 4.5 to 1)."""
    rgb = np.array(to_rgb(color))
    while 1.05 / (np.dot([0.2126, 0.7152, 0.0722], np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)) + 0.05) < 4.5:
        rgb = rgb * 0.95
    return tuple(rgb.tolist())


def _cycle(n: int) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(n)]


def _plane(cloud: Tensor) -> tuple[Any, list[float] | None]:
    """The projection from ``[k, d]`` to x and y, and the shares of the variance that the two directions hold (``None`` where d is 2)."""
    if cloud.shape[1] == 2:
        return lambda codes: codes.detach().cpu().numpy().T, None
    mean = cloud.mean(dim=0)
    _, spread, directions = torch.linalg.svd((cloud - mean).detach(), full_matrices=False)
    variance = spread.square() / spread.square().sum()
    return lambda codes: ((codes.detach() - mean) @ directions[:2].T).cpu().numpy().T, variance[:2].tolist()


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _start(title: str | None) -> str:
    return f"{title}: " if title else ""


def _listed(names: Sequence[str] | None) -> str:
    shown = [" ".join(name.split()) for name in names or [] if name.strip()]
    return f" ({', '.join(shown)})" if shown and len(shown) <= 12 else ""
