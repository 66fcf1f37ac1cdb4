"""Sheets, strips and tables of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ..photos import to_pil
from .style import WIDTH, counted, describe, listed, start_of

Picture = Tensor | Image.Image
Pictures = Tensor | Sequence[Picture]


def show_images(
    images: Pictures,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    scale: float = 1.8,
    suptitle: str | None = None,
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
    return describe(
        figure, f"{start_of(suptitle)}{counted(len(cells), 'image')} in {counted(len(rows), 'row')}{listed(titles)}."
    )


def filmstrip(frames: Pictures, labels: Sequence[Any] | None = None, suptitle: str | None = None) -> Figure:
    """Frames of one change, left to right in time order (rows of 8), with a label such as the step above each."""
    titles = None if labels is None else [str(label) for label in labels]
    figure = show_images(frames, titles, min(len(_cells(frames)), 8), suptitle=suptitle)
    return describe(figure, f"{start_of(suptitle)}A strip of {counted(len(_cells(frames)), 'frame')}{listed(titles)}.")


def filmstrips(
    strips: Mapping[str, Pictures],
    labels: Sequence[Any] | None = None,
    notes: Mapping[str, Sequence[str]] | None = None,
    suptitle: str | None = None,
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
    if any(
        len(texts) != count for texts in [*([] if labels is None else [labels]), *(notes or {}).values()]
    ) or not set(notes or {}) <= set(rows):
        raise ValueError(f"strips of {count} frames need as many labels and notes, for the rows {list(rows)}")
    named = None if notes is None else [list(notes.get(name, [""] * count)) for name in rows]
    columns = None if labels is None else [str(label) for label in labels]
    figure = _sheet(list(rows.values()), named, list(rows), columns, suptitle=suptitle)
    return describe(
        figure,
        f"{start_of(suptitle)}{counted(len(rows), 'strip')} of {counted(count, 'image')}{listed(columns)}, one below the other: {', '.join(rows)}.",
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
    table = [[None if cell is None else pixels_of(cell) for cell in row] for row in cells]
    width = len(table[0]) if table else 0
    if not width or any(len(row) != width for row in table):
        raise ValueError(f"a grid needs rows of one length, not of {[len(row) for row in table]}")
    if (rows is not None and len(rows) != len(table)) or (columns is not None and len(columns) != width):
        raise ValueError(f"a grid of {len(table)} rows and {width} columns needs as many labels")
    figure = _sheet(table, None, rows, columns, scale, suptitle)
    return describe(
        figure,
        f"{start_of(suptitle)}A grid of images, {counted(len(table), 'row')}{listed(rows)} by {counted(width, 'column')}{listed(columns)}.",
    )


def pixels_of(picture: Picture) -> np.ndarray:
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
    return [pixels_of(picture) for picture in images]


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
    extra = (0.3 if suptitle else 0.0) + (
        0.0 if columns is None else 0.1 + 0.17 * max(label.count("\n") + 1 for label in columns)
    )
    figure = plt.figure(figsize=(width * size + margin + 0.1, height * size + extra + 0.1), layout="constrained")
    ax = figure.add_subplot()
    top, middles = 0.0, []
    for i, (row, tall) in enumerate(zip(cells, heights, strict=True)):
        top += head
        for j, cell in enumerate(row):
            left = j * (1 + gap)
            if cell is not None:
                ax.imshow(
                    cell, extent=(left, left + 1, top + cell.shape[0] / cell.shape[1], top), interpolation="nearest"
                )
            if titles is not None:
                ax.text(
                    left + 0.5, top - 0.025 / size, titles[i][j], ha="center", va="bottom", fontsize=9, linespacing=1.1
                )
        middles.append(top + tall / 2)
        top += tall + gap
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.set_anchor("NW")  # so that the layout finds the labels where it left room for them
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.set_xticks(
        [] if columns is None else [j * (1 + gap) + 0.5 for j in range(count)], None if columns is None else columns
    )
    ax.set_yticks([] if rows is None else middles, None if rows is None else rows)
    if suptitle:
        figure.suptitle(suptitle)
    return figure
