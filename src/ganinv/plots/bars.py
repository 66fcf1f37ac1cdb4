"""Means, with every single value on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from .style import WIDTH, describe, ink, palette_of, start_of


def bars_with_spread(
    groups: Mapping[str, Sequence[float] | Tensor], ylabel: str, log: bool = False, title: str | None = None
) -> Figure:
    """Every value of every group as a dot, with the group's mean (bar and number) and standard deviation (whisker).

    Bars would lie about ratios on a logarithmic scale, so with ``log`` the mean is a dash, without a whisker.

    Raises:
        ValueError: a group is empty.
    """
    values = {name: np.asarray(group, dtype=float).ravel() for name, group in groups.items()}
    if not values or any(not group.size for group in values.values()):
        raise ValueError("every group needs at least one value")
    figure, ax = plt.subplots(figsize=(min(WIDTH, 1.6 + 1.2 * len(values)), 3.4), layout="constrained")
    for i, (group, color) in enumerate(zip(values.values(), palette_of(len(values)), strict=True)):
        mean = group.mean()
        if log:
            ax.plot([i - 0.3, i + 0.3], [mean, mean], color=color, linewidth=3, solid_capstyle="butt")
        else:
            ax.bar(i, mean, width=0.6, color=0.5 + 0.5 * np.array(to_rgb(color)))
        if group.size > 1:
            if not log:
                ax.errorbar(i, mean, yerr=group.std(ddof=1), color=ink(color), capsize=4, linewidth=1.2)
            ax.plot(
                i + np.linspace(-0.18, 0.18, group.size),
                group,
                "o",
                markersize=3.5,
                color=ink(color),
                alpha=0.7,
                markeredgewidth=0,
            )
        ax.annotate(f"{mean:.3g}", (i + 0.32, mean), xytext=(2, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_xticks(range(len(values)), list(values))
    ax.set_xlim(-0.6, len(values) - 0.2)
    ax.grid(False, axis="x")
    ax.set(ylabel=ylabel, title=title or "")
    ax.set_yscale("log" if log else "linear")
    told = "; ".join(
        f"{name} {group.mean():.3g}{f' ± {group.std(ddof=1):.2g}' if group.size > 1 else ''}"
        for name, group in values.items()
    )
    return describe(
        figure,
        f"{start_of(title)}{'Dashes' if log else 'Bars'} for the mean {ylabel} with single values as dots: {told}.",
    )
