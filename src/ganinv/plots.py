"""The book's figures, in one style: white ground, Okabe-Ito colours, direct labels, pictures with hard pixels.

Every function draws one figure of at most ``WIDTH`` inches, returns it, and leaves a plain description of what can be seen in its attribute
``alt_text`` (see :func:`describe`): the start of the alternative text that a notebook's cell carries. End the cell with a semicolon.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from os import PathLike
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox
from PIL import Image
from torch import Tensor

from .files import atomic_path
from .perception.spectra import radial_spectrum
from .photos import to_pil

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


def filmstrips(
    strips: Mapping[str, Pictures], labels: Sequence[Any] | None = None, notes: Mapping[str, Sequence[str]] | None = None, suptitle: str | None = None
) -> Figure:
    """Several changes side by side in time: one row a strip, frames left to right, the same label above each column.

    Args:
        strips: name of the row -> its frames, as many in each row (the same code in a generator that is tuned; walks of several generators).
        labels: of the columns, such as steps or interpolation weights.
        notes: name of the row -> a short text above each of its frames, such as its error; rows may be left out.

    Raises:
        ValueError: no strip, strips of different lengths, or labels or notes that do not fit.
    """
    rows = {name: _cells(frames) for name, frames in strips.items()}
    count = len(next(iter(rows.values()), []))
    if not count or any(len(frames) != count for frames in rows.values()):
        raise ValueError(f"strips need frames, and as many in each, not {[len(frames) for frames in rows.values()]}")
    if any(len(texts) != count for texts in [*([] if labels is None else [labels]), *(notes or {}).values()]) or not set(notes or {}) <= set(rows):
        raise ValueError(f"strips of {count} frames need as many labels and notes, for the rows {list(rows)}")
    named = None if notes is None else [list(notes.get(name, [""] * count)) for name in rows]
    columns = None if labels is None else [str(label) for label in labels]
    figure = _sheet(list(rows.values()), named, list(rows), columns, suptitle=suptitle)
    return describe(
        figure,
        f"{_start(suptitle)}{_count(len(rows), 'strip')} of {_count(count, 'image')}{_listed(columns)}, one below the other: {', '.join(rows)}.",
    )


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
    difference = difference_map(result, target)
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
    differences = {name: difference_map(image, target)[0] for name, image in results.items()}
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
    difference = difference_map(image, target)
    limit = limit or _round_limit(difference)
    figure, ax = plt.subplots(figsize=(4.2, 3.2), layout="constrained")
    shown = _picture(ax, difference[0], title or "", "", limit)
    _error_bar(figure, ax, shown, difference, limit)
    return describe(
        figure, f"{_start(title)}A map of differences, mean {difference.mean():.3g}, largest {difference.max():.3g}, brighter where larger."
    )


def error_maps(targets: Tensor, results: Mapping[str, Tensor], limit: float | None = None, labels: Sequence[str] | None = None) -> Figure:
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
        _picture(row[0], _pixels(targets[i]), "photo" if i == 0 else "", "" if labels is None else labels[i])
        for ax, (name, images) in zip(row[1:], results.items(), strict=True):
            last = _picture(ax, differences[name][i], name if i == 0 else "", _mse_label(images[i], targets[i]), limit)
    _error_bar(figure, axes[:, 1:], last, everything, limit)
    means = ", ".join(f"{name} (mean {difference.mean():.2g})" for name, difference in differences.items())
    return describe(
        figure, f"{_count(len(targets), 'photo')}{_listed(labels)} and beside each its maps of differences, brighter where larger: {means}."
    )


def signed_maps(maps: Mapping[str, Tensor], limit: float | None = None, label: str = "", below: Sequence[str] | None = None) -> Figure:
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
    return describe(figure, f"{_count(len(maps), 'map')} in orange, white and violet, stronger colours where the magnitude is larger: {sizes}.")


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


def pyramids(rows: Mapping[str, Sequence[Tensor]], suptitle: str | None = None) -> Figure:
    """Several pyramids below each other, each band magnified alike in all rows, so that rows can be compared: missing or added detail shows.

    Args:
        rows: name -> bands ``[1, 3, h, w]``, finest first, of images of one size.

    Raises:
        ValueError: no pyramid, or pyramids of different depths.
    """
    depths = {len(bands) for bands in rows.values()}
    if len(depths) != 1:
        raise ValueError(f"pyramids are compared when they have one depth, not {sorted(depths)}")
    columns = list(zip(*rows.values(), strict=True))
    factors = [1 / max(max(band.abs().quantile(0.995).item() for band in column), 1e-6) for column in columns[:-1]] + [1.0]
    cells = [[(band * factor).clamp(-1, 1) for band, factor in zip(bands, factors, strict=True)] for bands in rows.values()]
    titles = [f"band {i}, × {factor:.2g}" for i, factor in enumerate(factors[:-1])] + ["rest"]
    figure = image_grid(cells, list(rows), titles, suptitle=suptitle)
    what = "Grey images of edges from fine to coarse, and a small blurred image last"
    return describe(figure, f"{_start(suptitle)}{what}, in {_count(len(rows), 'row')}: {', '.join(rows)}.")


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
    _plain_numbers(ax, log)
    if len(lines) > 1 or not isinstance(y, str):
        _label_ends(ax)
    told = "; ".join(f"{name} from {ys[0]:.3g} to {ys[-1]:.3g}" for name, (_, ys) in lines.items())
    scale = " on a logarithmic scale" if "y" in log else ""
    return describe(figure, f"{_start(title)}{_count(len(lines), 'curve')} of {ylabel or ', '.join(keys)} over {xlabel or x}{scale}: {told}.")


def histories(
    runs: Mapping[str, Rows], keys: Mapping[str, str] | Sequence[str], log: Sequence[str] = (), x: str = "step", smooth: float = 0.05
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
    lines = {key: {name: line for name, rows in runs.items() if (line := _line(rows, x, key))[1].size} for key in titles}
    if not any(lines.values()):
        raise ValueError("there is no curve to draw: no row holds the wanted keys")
    columns = min(len(titles), 3)
    height = -(-len(titles) // columns)
    figure, axes = plt.subplots(height, columns, figsize=(WIDTH, 2.3 * height + 0.3), squeeze=False, layout="constrained")
    colors = dict(zip(runs, _cycle(len(runs)), strict=True))
    for ax, (key, title) in zip(axes.flat, titles.items(), strict=False):
        for name, (xs, ys) in lines[key].items():
            width = min(max(round(smooth * len(ys)), 1), len(ys))
            if width > 1:
                ax.plot(xs, ys, color=colors[name], alpha=0.25, linewidth=0.8)
            means = np.exp(_running_mean(np.log(ys), width)) if key in log else _running_mean(ys, width)
            ax.plot(xs[width - 1 :], means, color=colors[name], label=name)
        ax.set_title(title, fontsize=9)
        ax.set_yscale("log" if key in log else "linear")
        _plain_numbers(ax, "y" if key in log else "")
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
    return describe(figure, f"{_count(len(titles), 'panel')} of curves over {x}. {told}.")


def spectra(
    images: Mapping[str, Tensor],
    ylabel: str = "power",
    window: bool = True,
    relative_to: str | None = None,
    floor: float = 1e-7,
    title: str | None = None,
) -> Figure:
    """Power over spatial frequency, both logarithmic, one line a name; dotted where the octaves meet, about where pyramid bands do.

    Args:
        images: name -> ``[N, C, H, W]`` images, errors or gradients, whose mean spectrum is drawn
            (:func:`ganinv.perception.spectra.radial_spectrum`).
        window: fade out the borders; leave it off for gradients and white errors.
        relative_to: divide all by the spectrum of this one, which becomes a grey line at 1.
        floor: what lies further below the largest power is cut off.
    """
    lines: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, pictures in images.items():
        frequencies, power = radial_spectrum(pictures.detach(), window)
        lines[name] = frequencies.cpu().numpy(), power.mean(dim=0).cpu().numpy()
    if relative_to is not None:
        base = lines[relative_to][1]
        lines = {name: (xs, ys / base) for name, (xs, ys) in lines.items() if name != relative_to}
        ylabel = f"{ylabel}, {relative_to} = 1"
    figure, ax = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    for (name, (xs, ys)), dashes in zip(lines.items(), _dashes(len(lines)), strict=True):
        ax.plot(xs, ys, linestyle=dashes, label=name)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.margins(x=0.01)
    _raise_floor(ax, [ys for _, ys in lines.values()], floor)
    _label_ends(ax)
    for edge in (1 / 4, 1 / 8, 1 / 16, 1 / 32):
        ax.axvline(edge, color="#8a8a8a", linestyle=":", linewidth=0.8, zorder=0)
    if relative_to is not None:
        ax.axhline(1, color="#8a8a8a", linewidth=1, zorder=0)
    ax.xaxis.set_major_formatter(lambda f, _: f"1/{1 / f:.0f}")
    ax.set(xlabel="cycles per pixel", ylabel=ylabel, title=title or "")
    told = "; ".join(f"{name} from {ys[0]:.2g} at the lowest to {ys[-1]:.2g} at the highest frequency" for name, (_, ys) in lines.items())
    return describe(figure, f"{_start(title)}{_count(len(lines), 'curve')} of {ylabel} over spatial frequency, on logarithmic scales: {told}.")


def band_profile(
    errors: Mapping[str, Sequence[float] | Tensor], ylabel: str = "mean |difference| of the band", log: bool = True, title: str | None = None
) -> Figure:
    """An error (or an energy) by the bands of a pyramid, from fine to coarse, one line a name.

    Args:
        errors: name -> ``[bands]``, or ``[N, bands]`` for several images, whose mean is drawn (see
            :func:`ganinv.losses.laplacian_pyramid.band_errors`). Values of different depths may stand side by side: the last is always the rest.
        log: a logarithmic scale, of three decades at most; what is smaller leaves the figure.
    """
    lines = {name: np.atleast_2d(np.asarray(values, dtype=float)).mean(axis=0) for name, values in errors.items()}
    deepest = max(len(values) for values in lines.values())
    figure, ax = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    for (name, values), marker, dashes in zip(lines.items(), _markers(len(lines)), _dashes(len(lines)), strict=True):
        ax.plot(_band_places(len(values), deepest), values, marker=marker, markersize=6, linestyle=dashes, label=name)
    names = ["finest", *(f"band {i}" for i in range(1, deepest - 1)), "rest"] if deepest > 1 else ["image"]
    ax.set_xticks(range(deepest), names)
    ax.set_yscale("log" if log else "linear")
    if log:
        _raise_floor(ax, list(lines.values()), 1e-3)
        _plain_numbers(ax, "y")
    ax.set(ylabel=ylabel, title=title or "")
    ax.margins(x=0.03)
    _label_ends(ax)
    told = "; ".join(f"{name} {', '.join(f'{value:.2g}' for value in values)}" for name, values in lines.items())
    return describe(figure, f"{_start(title)}{_count(len(lines), 'line')} of {ylabel} from the finest band to the rest: {told}.")


def matrix(
    values: Tensor | Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], label: str, log: bool = False, digits: int = 2
) -> Figure:
    """A table of numbers as coloured cells with the numbers in them; cells that are not finite stay white.

    Raises:
        ValueError: labels that do not fit.
    """
    table = np.asarray(values, dtype=float)
    if table.shape != (len(rows), len(columns)):
        raise ValueError(f"{len(rows)} rows and {len(columns)} columns do not fit a table of shape {table.shape}")
    figure, ax = plt.subplots(figsize=(min(WIDTH, 2.4 + 1.05 * len(columns)), 0.9 + 0.42 * len(rows)), layout="constrained")
    seen = table[np.isfinite(table) & (table > 0)] if log else table[np.isfinite(table)]
    scale: dict[str, Any] = {"norm": LogNorm(max(seen.min(), seen.max() * 1e-4), seen.max() * (1 + 1e-9), clip=True)} if log and seen.size else {}
    shown = ax.imshow(np.ma.masked_invalid(table), aspect="auto", **scale)
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            light = np.dot([0.2126, 0.7152, 0.0722], shown.cmap(shown.norm(value))[:3]) > 0.45
            ax.text(j, i, f"{value:.{digits}g}", ha="center", va="center", fontsize=9, color="black" if light else "white")
    ax.set_xticks(range(len(columns)), columns, fontsize=9)
    ax.set_yticks(range(len(rows)), rows, fontsize=9)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(shown, ax=ax, aspect=14, pad=0.02)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    cast(Any, bar.outline).set_visible(False)
    told = "; ".join(f"{name} {', '.join(f'{value:.{digits}g}' for value in row)}" for name, row in zip(rows, table, strict=True))
    return describe(figure, f"A table of {label}, columns{_listed(columns) or ' as labelled'}: {told}.")


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
    for (name, points), color, marker in zip(drawn.items(), _cycle(len(drawn)), _markers(len(drawn)), strict=True):
        middles = np.array([(x.mean(), y.mean()) for x, y, _ in points])
        joined = len(points) > 1
        ax.plot(*middles.T, marker=marker, color=color, markersize=7, linewidth=1 if joined else 0, alpha=0.9, label=name, zorder=3)
        for x, y, label in points:
            spread = [group.std(ddof=1) if group.size > 1 else 0.0 for group in (x, y)]
            if any(spread):
                ax.errorbar(x.mean(), y.mean(), xerr=spread[0] or None, yerr=spread[1] or None, color=_ink(color), linewidth=0.8, capsize=3, zorder=2)
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
        *(corner for a, b in zip(corners, [*corners[1:], None], strict=True) for corner in ((a, (b[0], a[1])) if b else (a,))),
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
    _plain_numbers(ax, log)
    if shown:
        ax.legend(handles=shown, fontsize=9)
    _place_names(figure, ax, named)
    told = "; ".join(
        f"{name}{f', {label}' if label and label != name else ''} ({x.mean():.3g}, {y.mean():.3g})"
        for name, points in drawn.items()
        for x, y, label in points
    )
    return describe(
        figure,
        f"{_start(title)}{_count(len(flat), 'point')} of {ylabel} over {xlabel}, {len(front)} of them on the dashed frontier. As (x, y): {told}.",
    )


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


def tradeoff(
    points: Mapping[str, tuple[float, float, float]], xlabel: str, ylabel: str, label: str, log: str = "", paths: Mapping[str, Any] | None = None
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
        ax.plot(x, y, "o", color=colours.to_rgba(value), markeredgecolor=BLACK, markeredgewidth=0.8, markersize=11, zorder=3)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_xscale("log" if "x" in log else "linear")
    ax.set_yscale("log" if "y" in log else "linear")
    ax.margins(0.12)
    _plain_numbers(ax, log)
    bar = figure.colorbar(colours, ax=ax, aspect=18, pad=0.02)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    cast(Any, bar.outline).set_visible(False)
    _place_names(figure, ax, [(name, (x, y), BLACK) for name, (x, y, _) in points.items()])
    told = "; ".join(f"{name} ({x:.3g}, {y:.3g}), {value:.3g}" for name, (x, y, value) in points.items())
    return describe(figure, f"{_count(len(points), 'point')} of {ylabel} over {xlabel}, darker where {label} is larger. As (x, y), value: {told}.")


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
    wanted = np.clip([to_axes.transform(np.asarray(line.get_xydata())[-1])[1] for line in lines], 0, 1)
    order, height = np.argsort(wanted), 0.075
    placed = wanted[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + height)
    for i in range(len(placed) - 1, -1, -1):
        placed[i] = min(placed[i], 1 - height * (len(placed) - 1 - i), placed[i + 1] - height if i + 1 < len(placed) else 1)
    for i, y in zip(order, placed, strict=True):
        ax.text(1.015, y, str(lines[i].get_label()), transform=ax.transAxes, color=_ink(lines[i].get_color()), va="center")


def _running_mean(values: np.ndarray, width: int) -> np.ndarray:
    return np.convolve(values, np.full(width, 1 / width), mode="valid")


def _band_places(bands: int, deepest: int) -> list[int]:
    """Where the bands of a pyramid stand on an axis of ``deepest`` bands: the last is the rest, whatever the depth."""
    return [*range(bands - 1), deepest - 1]


def _dashes(n: int) -> list[Any]:
    patterns = ["-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (3, 3)), (0, (1, 3))]  # no two solid: lines that coincide show both
    return [patterns[i % len(patterns)] for i in range(n)]


def _raise_floor(ax: Axes, lines: Sequence[np.ndarray], floor: float) -> None:
    """Cut off what lies below ``floor`` times the largest value: rounding errors must not stretch a logarithmic axis."""
    largest = max(values.max() for values in lines)
    if min(values.min() for values in lines) < floor * largest:
        ax.set_ylim(bottom=floor * largest)


def _plain_numbers(ax: Axes, log: str) -> None:
    """Write out the numbers of logarithmic axes, whose limits are set, at round ticks; powers of ten from three decades on."""
    ax.autoscale_view()
    for axis in (getattr(ax, f"{letter}axis") for letter in log):
        low, high = axis.get_view_interval()
        if high < 1e3 * low:
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 8 * low else MaxNLocator(6))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(lambda value, _: f"{value:g}")


def _markers(n: int) -> list[str]:
    return ["osD^vPX"[i % 7] for i in range(n)]


def _points(points: Point | Sequence[Point], name: str) -> list[tuple[np.ndarray, np.ndarray, str]]:
    """A point (a tuple) or points (a list of them) of :func:`pareto` as ``(x values, y values, label)``; a single one has its series' name."""
    rows = [(*points, name)] if isinstance(points, tuple) else points
    return [(np.ravel(np.asarray(x, float)), np.ravel(np.asarray(y, float)), str(label[0]) if label else "") for x, y, *label in rows]


def _place_names(figure: Figure, ax: Axes, named: Sequence[tuple[str, tuple[float, float], str]]) -> None:
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
    sides += [(a * 7, b * 7, "left" if a > 0 else "right", "bottom" if b > 0 else "top") for a in (1, -1) for b in (1, -1)]
    for name, xy, color in named:
        text = ax.annotate(name, xy, xytext=(0, 0), textcoords="offset points", color=_ink(color), fontsize=9, zorder=5)
        text.set_in_layout(False)
        costs = []
        for dx, dy, horizontal, vertical in sides:
            text.set(position=(dx, dy), ha=horizontal, va=vertical)
            box = text.get_window_extent(renderer)
            covered = [Bbox.intersection(box, other) for other in taken]
            outside = box.width * box.height - (lambda b: b.width * b.height if b else 0.0)(Bbox.intersection(box, inside))
            costs.append(sum(b.width * b.height for b in covered if b) + 3 * outside)
        dx, dy, horizontal, vertical = sides[int(np.argmin(costs))]
        text.set(position=(dx, dy), ha=horizontal, va=vertical)
        taken.append(text.get_window_extent(renderer))


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
