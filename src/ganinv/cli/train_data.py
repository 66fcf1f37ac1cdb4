"""``ganinv train data``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import train_app
from .console import progress_bar
from .options import DATA, Quiet


@train_app.command()
def data(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to put train.npy and heldout.npy.")] = DATA,
    images: Annotated[int | None, typer.Option(min=1, metavar="N", help="How many; the first N of the 40,000.")] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Processes.")] = 2,
    quiet: Quiet = False,
) -> None:
    """Draw the training images of faces64, the same bytes every time."""
    from ..training.data import NUM_IMAGES, draw_training_set

    with progress_bar("", quiet) as bar:
        task = bar.add_task("drawing training images", total=images or NUM_IMAGES)
        checksums = draw_training_set(
            folder, images or NUM_IMAGES, jobs=jobs, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    if not quiet:
        for name, checksum in checksums.items():
            typer.echo(f"{folder / name}.npy  sha256 of the pixels {checksum}")
