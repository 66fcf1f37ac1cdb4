"""``ganinv train encoder``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from .app import train_app
from .console import open_model, progress_bar, tell_resumed
from .options import Device, Model, Quiet, Seed, Settings, Where, configure


@train_app.command(no_args_is_help=True)
def encoder(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="A method with an encoder of its own; `ganinv methods` marks them.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Where METHOD.safetensors and its curves, METHOD.json, go."),
    ] = Path("encoders"),
    model: Model = "faces64",
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Steps.", rich_help_panel="Settings")] = None,
    batch: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Images a step.", rich_help_panel="Settings")
    ] = None,
    seed: Seed = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="ENCODER",
            help="The encoder that training takes, a name or a file: e4e for hfgi; the trunk to begin with for restyle, psp and e4e.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The folder of train.npy (or an array file) for real images, instead of the few that ship.",
        ),
    ] = None,
    changes: Settings = None,
    device: Where = Device.CPU,
    quiet: Quiet = False,
) -> None:
    """Train the encoder of a method for a generator; the defaults are the recipes of faces64's.

    The same command goes on where an earlier run stopped. Use the result with `ganinv invert --set encoder=DIR/METHOD.safetensors`.
    """
    import numpy as np
    import torch

    from ..cache import fingerprint
    from ..encoders.style import StyleEncoder
    from ..encoders.weights import encoder_for
    from ..run import Progress, Resume
    from ..training.data import open_images
    from ..training.recipes import RECIPES

    if method not in RECIPES:
        raise typer.BadParameter(
            f"there is no encoder {method!r}; choose from {', '.join(RECIPES)}", param_hint="METHOD"
        )
    recipe = RECIPES[method]
    taken = recipe.start or recipe.trunk
    if start and not taken:
        raise typer.BadParameter(f"{method} starts from nothing", param_hint="--start")
    named = (("steps", steps), ("batch", batch), ("seed", seed))
    config = configure(
        recipe.config, [f"{name}={value}" for name, value in named if value is not None] + (changes or [])
    )
    gan = open_model(model, quiet, device)
    if data is not None:
        images = open_images(data if data.suffix == ".npy" else data / "train.npy")
        if images.shape[-1] != gan.resolution:
            raise typer.BadParameter(
                f"the images are {images.shape[-1]} pixels wide, the generator's {gan.resolution}", param_hint="--data"
            )
        gan.reference = torch.from_numpy(np.array(images))
    name = start or (recipe.start if recipe.start in gan.encoders or recipe.start_needed else "")
    arguments = {"start": encoder_for(taken, gan, name, StyleEncoder, in_channels=3)} if name else {}
    out.mkdir(parents=True, exist_ok=True)
    state = Resume(
        out / f"{method}.resume.pt", fingerprint(gan.sha256, method, repr(config), *arguments.values(), gan.reference)
    )
    tell_resumed(state, quiet)
    began = time.monotonic() - state.seconds
    with progress_bar("{task.fields[values]}", quiet) as bar:
        task = bar.add_task(method, total=config.steps, values="")

        def show(progress: Progress) -> None:
            values = "  ".join(f"{name} {value:.3f}" for name, value in progress.values.items())
            bar.update(task, completed=progress.step, values=values)

        try:
            run = recipe.train(gan, config, show, state, **arguments)
        except KeyboardInterrupt:
            typer.echo(f"stopped: the same command goes on from {state.path}", err=True)
            raise
    path = run.save(out, time.monotonic() - began)
    state.remove()
    if not quiet:
        typer.echo(f"{path}: {config.steps:,} steps in {(time.monotonic() - began) / 60:.1f} minutes")
