"""Laplacian pyramids, and what their bands hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from .axes import label_ends, plain_numbers, raise_floor
from .sheets import image_grid, show_images
from .style import WIDTH, counted, dash_patterns, describe, marker_shapes, start_of


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
    return describe(
        figure,
        f"{len(bands) - 1} grey images of edges, from fine to coarse, and a small blurred image; {sizes} pixels wide.",
    )


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
    factors = [1 / max(max(band.abs().quantile(0.995).item() for band in column), 1e-6) for column in columns[:-1]] + [
        1.0
    ]
    cells = [
        [(band * factor).clamp(-1, 1) for band, factor in zip(bands, factors, strict=True)] for bands in rows.values()
    ]
    titles = [f"band {i}, × {factor:.2g}" for i, factor in enumerate(factors[:-1])] + ["rest"]
    figure = image_grid(cells, list(rows), titles, suptitle=suptitle)
    what = "Grey images of edges from fine to coarse, and a small blurred image last"
    return describe(figure, f"{start_of(suptitle)}{what}, in {counted(len(rows), 'row')}: {', '.join(rows)}.")


def band_profile(
    errors: Mapping[str, Sequence[float] | Tensor],
    ylabel: str = "mean |difference| of the band",
    log: bool = True,
    title: str | None = None,
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
    for (name, values), marker, dashes in zip(
        lines.items(), marker_shapes(len(lines)), dash_patterns(len(lines)), strict=True
    ):
        ax.plot(_band_places(len(values), deepest), values, marker=marker, markersize=6, linestyle=dashes, label=name)
    names = ["finest", *(f"band {i}" for i in range(1, deepest - 1)), "rest"] if deepest > 1 else ["image"]
    ax.set_xticks(range(deepest), names)
    ax.set_yscale("log" if log else "linear")
    if log:
        raise_floor(ax, list(lines.values()), 1e-3)
        plain_numbers(ax, "y")
    ax.set(ylabel=ylabel, title=title or "")
    ax.margins(x=0.03)
    label_ends(ax)
    told = "; ".join(f"{name} {', '.join(f'{value:.2g}' for value in values)}" for name, values in lines.items())
    return describe(
        figure, f"{start_of(title)}{counted(len(lines), 'line')} of {ylabel} from the finest band to the rest: {told}."
    )


def _band_places(bands: int, deepest: int) -> list[int]:
    """Where the bands of a pyramid stand on an axis of ``deepest`` bands: the last is the rest, whatever the depth."""
    return [*range(bands - 1), deepest - 1]
