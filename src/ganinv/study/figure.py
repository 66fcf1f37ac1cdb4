"""The picture of a study: every photo, what each variant made of it, and the error of each, magnified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..photos import from_uint8

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PHOTOS = 8
LETTER = 0.085  # inches


def grid(photos: Mapping[str, Tensor], variants: Sequence[str], images: Mapping[tuple[str, str], Tensor]) -> Figure:
    """Two rows a photo: the original with its reconstructions, and below each its error, all errors on one scale.

    Args:
        photos: ``{name: [1, 3, R, R] in [-1, 1]}``.
        images: reconstructions uint8 ``[1, 3, R, R]`` by photo and variant; cells of missing ones stay empty.
    """
    from .. import plots

    errors = {
        key: plots.difference_map(from_uint8(images[key]), photos[key[0]])[0] for key in images if key[0] in photos
    }
    # The brightest colour stands for an error that one pixel in a hundred exceeds; at least what 8 bits resolve.
    limit = max(float(np.quantile(np.stack(list(errors.values())), 0.99)), 0.01)
    cells: list[list[Any]] = []
    labels = []
    for photo, target in photos.items():
        cells.append([target, *(images.get((photo, v)) for v in variants)])
        cells.append(
            [
                None,
                *(
                    None if (photo, v) not in errors else _map(errors[photo, v] / limit, plots.ERROR_MAP)
                    for v in variants
                ),
            ]
        )
        labels += [photo.replace("_", "\n"), f"error × {2 / limit:.2g}"]
    columns = ["original", *(name.replace("-", "-\n", 1).replace(" ", "\n", 1) for name in variants)]
    figure = plots.image_grid(cells, labels, columns)
    wide, tall = (1.05 * count - 0.05 for count in (len(columns), len(labels)))  # in pictures, with the gaps
    width, height = figure.get_size_inches()
    # that a picture is too narrow for its label
    more = max(0.0, LETTER * _letters(columns) - (width - LETTER * _letters(labels)) / wide)
    figure.set_size_inches(width + more * wide, height + more * tall)
    return plots.describe(
        figure,
        f"{len(photos)} {'photo' if len(photos) == 1 else 'photos'}, two rows each: the original and its reconstructions by {', '.join(variants)}; "
        f"below each reconstruction its error, magnified {2 / limit:.2g} times, brighter where it is larger.",
    )


def _letters(labels: Sequence[str]) -> int:
    """Of the longest line."""
    return max(len(line) for label in labels for line in label.split("\n"))


def _map(values: np.ndarray, name: str) -> Image.Image:
    from matplotlib import colormaps

    return Image.fromarray(colormaps[name](values.clip(0, 1), bytes=True)[..., :3])
