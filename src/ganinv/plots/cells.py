"""A table of numbers as colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor

from .style import WIDTH, describe, listed


def matrix(
    values: Tensor | Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    log: bool = False,
    digits: int = 2,
) -> Figure:
    """A table of numbers as coloured cells with the numbers in them; cells that are not finite stay white.

    Raises:
        ValueError: labels that do not fit.
    """
    table = np.asarray(values, dtype=float)
    if table.shape != (len(rows), len(columns)):
        raise ValueError(f"{len(rows)} rows and {len(columns)} columns do not fit a table of shape {table.shape}")
    figure, ax = plt.subplots(
        figsize=(min(WIDTH, 2.4 + 1.05 * len(columns)), 0.9 + 0.42 * len(rows)), layout="constrained"
    )
    seen = table[np.isfinite(table) & (table > 0)] if log else table[np.isfinite(table)]
    scale: dict[str, Any] = (
        {"norm": LogNorm(max(seen.min(), seen.max() * 1e-4), seen.max() * (1 + 1e-9), clip=True)}
        if log and seen.size
        else {}
    )
    shown = ax.imshow(np.ma.masked_invalid(table), aspect="auto", **scale)
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            light = np.dot([0.2126, 0.7152, 0.0722], shown.cmap(shown.norm(value))[:3]) > 0.45
            ax.text(
                j, i, f"{value:.{digits}g}", ha="center", va="center", fontsize=9, color="black" if light else "white"
            )
    ax.set_xticks(range(len(columns)), columns, fontsize=9)
    ax.set_yticks(range(len(rows)), rows, fontsize=9)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(shown, ax=ax, aspect=14, pad=0.02)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    cast(Any, bar.outline).set_visible(False)
    told = "; ".join(
        f"{name} {', '.join(f'{value:.{digits}g}' for value in row)}" for name, row in zip(rows, table, strict=True)
    )
    return describe(figure, f"A table of {label}, columns{listed(columns) or ' as labelled'}: {told}.")
