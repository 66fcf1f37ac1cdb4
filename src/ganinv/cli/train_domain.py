"""``ganinv train domain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import train_app
from .console import open_model, progress_bar
from .options import Device, Model, Quiet, Seed, Settings, Where, configure

if TYPE_CHECKING:
    from ..training.gan import Trainer


@train_app.command(no_args_is_help=True)
def domain(
    style: Annotated[str, typer.Argument(metavar="STYLE", help="drawing or stone.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Checkpoint, snapshots, and STYLE.safetensors in the end."),
    ] = Path("runs/domain"),
    model: Model = "faces64",
    images: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Images shown in all.", rich_help_panel="Settings")
    ] = None,
    seed: Seed = None,
    changes: Settings = None,
    device: Where = Device.CPU,
    quiet: Quiet = False,
) -> None:
    """Train a generator on, to drawings or reliefs of its own training images.

    The same command goes on where an earlier run stopped. STYLE.safetensors holds what has changed, an eighth of the networks' size.
    """
    from ..training.domain import IMAGES, domain_config, train_domain

    gan = open_model(model, quiet)
    seeded = [] if seed is None else [f"seed={seed}"]
    config = configure(domain_config(gan, images or IMAGES), [*seeded, *(changes or [])])
    with progress_bar("{task.fields[values]}", quiet) as bar:
        task = bar.add_task(style, total=config.total_images, values="")

        def show(trainer: Trainer, losses: dict[str, float]) -> None:
            values = f"loss G {losses['loss_G']:.2f}  D {losses['loss_D']:.2f}"
            bar.update(task, completed=trainer.seen - trainer.images_before, values=values)

        try:
            found = train_domain(gan, style, out, config, show, device)
        except KeyboardInterrupt:
            typer.echo(f"saved in {out}: the same command goes on from there", err=True)
            raise
    if not quiet:
        typer.echo(
            f"{found.path}: {found.path.stat().st_size / 1e6:.1f} MB, squared change of random images {found.change:.4f}, "
            f"lost by rounding {found.rounding:.6f}"
        )
