"""``ganinv study edits``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import GanInvError
from .app import study_app
from .console import console, open_model
from .edit import named, numbers
from .options import Align, Device, Framing, Model, Profile, Quiet, Where
from .study import Backend, Jobs, Limit, PhotoSet, StudyPhotos, StudyProfile, listed, run_study


@study_app.command(no_args_is_help=True)
def edits(
    photos: StudyPhotos = None,
    photo_set: PhotoSet = None,
    methods: Annotated[
        str, typer.Option("--methods", metavar="NAMES", help="all, or names separated by commas.")
    ] = "all",
    chosen: Annotated[
        str,
        typer.Option(
            "--directions", metavar="NAMES", help="all that the model comes with, or names separated by commas."
        ),
    ] = "all",
    files: Annotated[
        list[Path] | None,
        typer.Option("--direction", metavar="FILE", help="Another direction, named as the attribute it changes."),
    ] = None,
    strengths: Annotated[
        str, typer.Option("--strengths", metavar="T,T,...", help="In standard deviations.")
    ] = "-2,-1,1,2",
    model: Model = "faces64",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the tables go.")] = Path("edits"),
    limit: Limit = None,
    align: Framing = Align.FACE,
    profile: StudyProfile = Profile.FULL,
    samples: Annotated[int, typer.Option(min=2, metavar="N", help="Images of the untouched generator.")] = 64,
    relearn: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Images of each tuned generator that directions are found on anew (0: none)."
        ),
    ] = 0,
    jobs: Jobs = 1,
    backend: Backend = "local",
    device: Where = Device.CPU,
    quiet: Quiet = False,
) -> None:
    """How much of an edit survives each inversion method: gain, attribute dependency, identity, realism.

    Writes results.csv, summary.json and summary.md. Finished tasks are kept: the same command goes on where it was stopped.
    """
    from ..editing import directions, load_direction
    from ..editing.measure import RESOLUTION, networks
    from ..study.edits import study_edits

    gan = open_model(model, quiet, device)
    if gan.resolution != RESOLUTION:
        raise GanInvError(
            f"edits are measured on faces of {RESOLUTION} pixels, as faces64 draws them, and {gan.name} draws {gan.resolution}."
        )
    known = directions(gan)
    names = list(known) if chosen == "all" else [name for name in listed(chosen) if name]
    found = [named(known, name, gan) for name in names] + [load_direction(file, gan) for file in files or []]
    if not found:
        raise GanInvError(
            f"{gan.name} comes without directions: find some with `ganinv train directions`, and name them with --direction."
        )
    by_name, judges, at = {direction.name: direction for direction in found}, networks(), numbers(strengths)
    compared = None if methods == "all" else listed(methods)
    run_study(
        lambda targets, **options: study_edits(gan, targets, by_name, judges, compared, at, **options),
        *(gan, photos, photo_set, limit, align, profile, out, quiet, print_edits),
        samples=samples,
        relearn=relearn,
        jobs=jobs,
        backend=backend,
    )


def print_edits(result: Any) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=f"edits of {len(result.photos)} photos in {result.gan.name}", title_justify="left", box=SIMPLE_HEAD
    )
    table.add_column("method", no_wrap=True)
    columns = {
        "gain": "gain",
        "mean_ad": "mean AD",
        "max_ad": "max AD",
        "identity": "identity",
        "domain": "domain",
        "logit": "D",
        "lec": "LEC",
    }
    for head in columns.values():
        table.add_column(head, justify="right")
    for name in ["generator", *result.variants]:
        table.add_row(name, *("–" if (value := result.mean(name, key)) != value else f"{value:.2f}" for key in columns))
    console().print(table)
    for sentence in result.notes:
        typer.echo(sentence)
