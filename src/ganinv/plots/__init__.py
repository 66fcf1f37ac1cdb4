"""The book's figures, in one style: white ground, Okabe-Ito colours, direct labels, pictures with hard pixels.

Every function draws one figure of at most ``WIDTH`` inches, returns it, and leaves a plain description of what can be seen in its attribute
``alt_text`` (see :func:`describe`): the start of the alternative text that a notebook's cell carries. End the cell with a semicolon.
"""

from __future__ import annotations

from .bands import band_profile, pyramid, pyramids
from .bars import bars_with_spread
from .cells import matrix
from .comparison import compare, compare_methods, difference_map, error_map, error_maps, signed_maps
from .latents import latents2d
from .lines import curves, histories
from .points import pareto, pareto_front, tradeoff
from .power import spectra
from .sheets import filmstrip, filmstrips, image_grid, show_images
from .style import (
    BLACK,
    BLUE,
    ERROR_MAP,
    GREEN,
    ORANGE,
    PALETTE,
    PURPLE,
    SKY,
    STYLE,
    VERMILION,
    WIDTH,
    describe,
    save_figure,
    use_style,
)

__all__ = [
    "BLACK",
    "BLUE",
    "ERROR_MAP",
    "GREEN",
    "ORANGE",
    "PALETTE",
    "PURPLE",
    "SKY",
    "STYLE",
    "VERMILION",
    "WIDTH",
    "band_profile",
    "bars_with_spread",
    "compare",
    "compare_methods",
    "curves",
    "describe",
    "difference_map",
    "error_map",
    "error_maps",
    "filmstrip",
    "filmstrips",
    "histories",
    "image_grid",
    "latents2d",
    "matrix",
    "pareto",
    "pareto_front",
    "pyramid",
    "pyramids",
    "save_figure",
    "show_images",
    "signed_maps",
    "spectra",
    "tradeoff",
    "use_style",
]
