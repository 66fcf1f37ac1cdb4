"""``ganinv compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .console import open_model
from .options import Align, Device, Framing, Half, Model, Precision, Profile, Quiet, Seed, Where
from .study import (
    Backend,
    Jobs,
    Limit,
    PhotoSet,
    Samples,
    StudyPhotos,
    StudyProfile,
    Trunk,
    configurations,
    registered,
    run_study,
)


@app.command(no_args_is_help=True)
def compare(
    photos: StudyPhotos = None,
    photo_set: PhotoSet = None,
    methods: Annotated[
        str, typer.Option("--methods", metavar="NAMES", help="all, or names separated by commas.")
    ] = "all",
    model: Model = "faces64",
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where the table and the pictures go.")
    ] = Path("comparison"),
    limit: Limit = None,
    align: Framing = Align.FACE,
    profile: StudyProfile = Profile.FULL,
    samples: Samples = None,
    trunk: Trunk = "efficientnet-lite0",
    seed: Seed = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--config",
            metavar="METHOD.KEY=VALUE",
            help="A setting of one method; may be repeated.",
            rich_help_panel="Settings",
        ),
    ] = None,
    jobs: Jobs = 1,
    backend: Backend = "local",
    device: Where = Device.CPU,
    precision: Half = Precision.FP32,
    quiet: Quiet = False,
) -> None:
    """Compare methods on many photos.

    Writes results.csv (one row a photo and method), summary.json, summary.md and grid.png. Finished tasks are kept: the same command goes on
    where it was stopped, and is instant when repeated.
    """
    from .. import METHODS
    from ..study import compare as run_compare

    names = registered(methods, METHODS, "method")
    gan = open_model(model, quiet, device, precision)
    configs = configurations(names, METHODS, "method", gan, profile, seed, changes)
    run_study(
        lambda targets, **options: run_compare(
            gan, targets, methods if methods == "all" else names, configs, **options
        ),
        *(gan, photos, photo_set, limit, align, profile, out, quiet),
        samples=samples,
        trunk=trunk,
        jobs=jobs,
        backend=backend,
    )
