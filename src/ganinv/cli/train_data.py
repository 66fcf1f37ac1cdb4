"""``ganinv train data`` and ``ganinv train select``."""

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
    selection: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw the images of this selection instead (from `ganinv train select`), all of them."
        ),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="Plain draws, not selected and not framed: what the first faces64 was trained on."
        ),
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Processes.")] = 2,
    quiet: Quiet = False,
) -> None:
    """Draw training images of synthetic faces, the same bytes every time: 40,000 selected and framed portraits."""
    from ..training.data import NUM_IMAGES, draw_selection, draw_training_set
    from ..training.selection import Selection

    if selection is not None and (plain or images):
        raise typer.BadParameter("a selection is drawn as it is: give neither --plain nor --images")
    with progress_bar("", quiet) as bar:
        task = bar.add_task("drawing training images", total=images or NUM_IMAGES)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if selection is None:
            checksums = draw_training_set(folder, images or NUM_IMAGES, plain=plain, jobs=jobs, progress=show)
        else:
            checksums = {"train": draw_selection(folder / "train.npy", Selection.load(selection), jobs, show)}
    if not quiet:
        for name, checksum in checksums.items():
            typer.echo(f"{folder / name}.npy  sha256 of the pixels {checksum}")


@train_app.command()
def select(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Where to keep the selection (.npz); one that is there is gone on with."),
    ],
    images: Annotated[int | None, typer.Option(min=1, metavar="N", help="How many faces to select (40,000).")] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Of the draws to choose from (that of the selection that ships)."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Processes.")] = 2,
    quiet: Quiet = False,
) -> None:
    """Select training images: of random draws, the faces that look like a portrait, with the frame of each.

    Two thirds look ahead, one sixth to either side. Ctrl-C keeps what was found; the same command goes on from there.
    """
    from ..training.data import NUM_IMAGES, SEED
    from ..training.selection import CHUNK, select

    with progress_bar("", quiet) as bar:
        task = bar.add_task("selecting faces", total=images or NUM_IMAGES)
        found = select(
            images or NUM_IMAGES,
            SEED if seed is None else seed,
            file,
            jobs=jobs,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if not quiet:
        typer.echo(f"{file}: {len(found):,} faces among {found.next_chunk * CHUNK:,} draws")
