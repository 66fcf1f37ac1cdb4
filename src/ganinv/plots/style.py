"""The style of all figures, and the plain description that each carries."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ..files import atomic_path

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
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
        figure.savefig(
            temporary, format="png", metadata={"Description": getattr(figure, "alt_text", ""), "Software": "ganinv"}
        )
    plt.close(figure)


def dash_patterns(n: int) -> list[Any]:
    # no two solid: lines that coincide show both
    patterns = [
        "-",
        "--",
        "-.",
        ":",
        (0, (6, 1.5, 1, 1.5, 1, 1.5)),
        (0, (3, 3)),
        (0, (1, 3)),
    ]
    return [patterns[i % len(patterns)] for i in range(n)]


def marker_shapes(n: int) -> list[str]:
    """As many shapes, which do not begin again where :func:`palette_of` does: no two of the first 56 things share shape and colour."""
    return ["osD^vPX*"[i % 8] for i in range(n)]


def ink(color: Any) -> tuple[float, float, float]:
    """The colour, darkened until text in it reads well on white (contrast of 4.5 to 1)."""
    rgb = np.array(to_rgb(color))
    while (
        1.05
        / (
            np.dot([0.2126, 0.7152, 0.0722], np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92))
            + 0.05
        )
        < 4.5
    ):
        rgb = rgb * 0.95
    return tuple(rgb.tolist())


def palette_of(n: int) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(n)]


def counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def start_of(title: str | None) -> str:
    return f"{title}: " if title else ""


def listed(names: Sequence[str] | None) -> str:
    shown = [" ".join(name.split()) for name in names or [] if name.strip()]
    return f" ({', '.join(shown)})" if shown and len(shown) <= 12 else ""
