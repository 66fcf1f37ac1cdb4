"""``ganinv ablate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .console import open_model
from .options import Align, Device, Framing, Half, Model, Precision, Profile, Quiet, Seed, Where, configure
from .study import Backend, Jobs, Limit, PhotoSet, Samples, StudyPhotos, StudyProfile, Trunk, run_study


@app.command(no_args_is_help=True)
def ablate(
    photos: StudyPhotos = None,
    photo_set: PhotoSet = None,
    tune_noise: Annotated[
        bool, typer.Option("--tune-noise", help="Tune the photo's noise maps as well, instead of the weights alone.")
    ] = False,
    model: Model = "faces64",
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where the table and the pictures go.")
    ] = Path("ablation"),
    limit: Limit = None,
    align: Framing = Align.FACE,
    profile: StudyProfile = Profile.FULL,
    samples: Samples = None,
    trunk: Trunk = "efficientnet-lite0",
    seed: Seed = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--config", metavar="KEY=VALUE", help="A setting of all rows; may be repeated.", rich_help_panel="Settings"
        ),
    ] = None,
    jobs: Jobs = 1,
    backend: Backend = "local",
    device: Where = Device.CPU,
    precision: Half = Precision.FP32,
    quiet: Quiet = False,
) -> None:
    """Take the losses of near-perfect inversion away, one at a time.

    Reports error and Fréchet distance of the full loss and without each of its parts, and whether the paper's orderings hold. Outputs and
    options are those of compare.
    """
    from ..settings import seeded
    from ..study import ablate as run_ablate
    from ..study.ablation import full_loss
    from ..study.profiles import default_config

    gan = open_model(model, quiet, device, precision)
    config = default_config(full_loss(tune_noise), gan, profile)
    config = configure(config if seed is None else seeded(config, seed), changes or [], "--config")
    run_study(
        lambda targets, **options: run_ablate(gan, targets, config, **options),
        *(gan, photos, photo_set, limit, align, profile, out, quiet),
        samples=samples,
        trunk=trunk,
        jobs=jobs,
        backend=backend,
    )
