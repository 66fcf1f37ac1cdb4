"""``ganinv study recovery``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import study_app
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
    listed,
    registered,
    run_study,
)


@study_app.command(no_args_is_help=True)
def recovery(
    photos: StudyPhotos = None,
    photo_set: PhotoSet = None,
    problems: Annotated[
        str | None,
        typer.Option(
            "--problems",
            metavar="NAMES",
            help="Names separated by commas, as for recover; by default gaussian:20 to gaussian:10000, the papers' curves.",
        ),
    ] = None,
    solvers: Annotated[
        str, typer.Option("--solvers", metavar="NAMES", help="all, or names separated by commas.")
    ] = "csgm,pgd-gan,lasso-dct,lasso-wavelet",
    noise: Annotated[float, typer.Option(min=0, metavar="SIGMA", help="Standard deviation of the noise.")] = 0.0,
    model: Model = "faces64",
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where the table and the pictures go.")
    ] = Path("recovery"),
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
            metavar="SOLVER.KEY=VALUE",
            help="A setting of one solver; may be repeated.",
            rich_help_panel="Settings",
        ),
    ] = None,
    jobs: Jobs = 1,
    backend: Backend = "local",
    device: Where = Device.CPU,
    precision: Half = Precision.FP32,
    quiet: Quiet = False,
) -> None:
    """Recover photos from their measurements, by several solvers.

    Writes results.csv (one row a photo, solver and problem), summary.json, summary.md, grid.png, and curves.png of the error against the number of
    Gaussian measurements. Finished tasks are kept: the same command goes on where it was stopped, and is instant when repeated.
    """
    from ..inverse import SOLVERS
    from ..study import recovery as run_recovery

    names = registered(solvers, SOLVERS, "solver")
    gan = open_model(model, quiet, device, precision)
    configs = configurations(names, SOLVERS, "solver", gan, profile, seed, changes)
    chosen = None if problems is None else listed(problems)
    run_study(
        lambda targets, **options: run_recovery(gan, targets, chosen, names, configs, noise, seed or 0, **options),
        *(gan, photos, photo_set, limit, align, profile, out, quiet),
        samples=samples,
        trunk=trunk,
        jobs=jobs,
        backend=backend,
    )
