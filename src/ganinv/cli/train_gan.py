"""``ganinv train gan``."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import train_app
from .console import note, open_model, progress_bar
from .options import DATA, Device, Quiet, Seed, Settings, Where, configure

if TYPE_CHECKING:
    from ..training.gan import GanConfig, Start

TINY_IMAGES = 2_000


@train_app.command()
def gan(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder of train.npy, or an array file uint8 [M, 3, R, R].")
    ] = DATA,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Checkpoint, snapshots, history, and the model in the end."),
    ] = Path("runs/gan"),
    images: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Images shown in all, over all resolutions.", rich_help_panel="Settings"),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(metavar="R", help="Final resolution, a power of two from 8.", rich_help_panel="Settings"),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Images a step.", rich_help_panel="Settings")
    ] = None,
    seed: Seed = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Go on from a trained model with its discriminator (faces64, or a file); --set channel_base=… widens it.",
        ),
    ] = None,
    changes: Settings = None,
    tiny: Annotated[
        bool, typer.Option("--tiny", help=f"A minute-long try: small networks, 16 x 16 pixels, {TINY_IMAGES:,} images.")
    ] = False,
    device: Where = Device.CPU,
    quiet: Quiet = False,
) -> None:
    """Train a StyleGAN2 by progressive growing; the defaults are the recipe of faces64.

    The same command goes on where an earlier run stopped, however it was stopped. At the end DIR/model.safetensors holds the generator
    and its discriminator.
    """
    from ..training.data import open_images
    from ..training.gan import Start, Trainer, train

    trained = None if start is None else Start.of_bundle(open_model(start, quiet))
    config = training_config(tiny, images, resolution, trained)
    config = configure(
        config,
        [f"{name}={value}" for name, value in (("batch", batch), ("seed", seed)) if value is not None]
        + (changes or []),
    )
    path = folder if folder.suffix == ".npy" else folder / "train.npy"
    array = open_images(path)
    stage, started, before = 0, time.monotonic(), -1
    with progress_bar("{task.fields[values]}", quiet) as bar:
        task = bar.add_task("starting", total=config.total_images, values="")

        def show(trainer: Trainer, losses: dict[str, float]) -> None:
            nonlocal stage, before
            before = trainer.seen - config.batch if before < 0 else before  # images seen before this call
            if trainer.stage.resolution != stage:
                stage = trainer.stage.resolution
                note(f"{stage} × {stage} pixels, from image {trainer.seen - config.batch:,}", quiet)
            rate = (trainer.seen - before) / (time.monotonic() - started)
            values = f"{rate:.0f} images/s  loss G {losses['loss_G']:.2f}  D {losses['loss_D']:.2f}"
            bar.update(
                task, description=f"{stage} × {stage}", completed=trainer.seen - trainer.images_before, values=values
            )

        try:
            trainer = train(config, array, out, show, trained, device)
        except KeyboardInterrupt:
            typer.echo(f"saved in {out}: the same command goes on from there", err=True)
            raise
    save_model(trainer, path, out)
    if not quiet:
        typer.echo(
            f"{out / 'model.safetensors'}: trained on {trainer.seen:,} images in {trainer.seconds / 60:.1f} minutes"
        )


def training_config(tiny: bool, images: int | None, resolution: int | None, start: Start | None = None) -> GanConfig:
    """The recipe of ``faces64`` (or the tiny one) cut or extended to ``resolution``, with its stages stretched to ``images`` in all.

    With networks to ``start`` from, their sizes, and the stages from their resolution on.
    """
    from ..stylegan2.generator import check_resolution
    from ..training.gan import GanConfig, Stage

    config = GanConfig()
    if tiny:
        stages = [Stage(8, TINY_IMAGES // 2, 0.05), Stage(16, TINY_IMAGES // 2, 0.05)]
        config = GanConfig(16, 16, 2, 256, 16, stages, batch=8, snapshot_images=TINY_IMAGES // 4)
    stages = config.stages
    if start is not None:
        if resolution is not None and resolution < start.G.img_resolution:
            raise typer.BadParameter(
                f"the model to start from draws {start.G.img_resolution} × {start.G.img_resolution} pixels",
                param_hint="--resolution",
            )
        sizes = {
            name: start.G.config[name]
            for name in ("z_dim", "w_dim", "num_layers", "channel_base", "channel_max", "conv_clamp")
        }
        config = dataclasses.replace(config, **sizes)
        resolution = resolution or start.G.img_resolution
    if resolution is not None:
        try:
            check_resolution(resolution)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--resolution") from None
        while stages[-1].resolution < resolution:
            last = stages[-1]
            stages.append(Stage(2 * last.resolution, last.images, 2 * last.r1_gamma))
        stages = [stage for stage in stages if stage.resolution <= resolution] or [
            dataclasses.replace(stages[0], resolution=resolution)
        ]
    if start is not None:
        stages = [stage for stage in stages if stage.resolution >= start.G.img_resolution]
    if images is not None:
        total = sum(stage.images for stage in stages)
        stages = [dataclasses.replace(stage, images=max(1, round(stage.images * images / total))) for stage in stages]
    return dataclasses.replace(config, stages=stages)


def save_model(trainer: Any, images: Path, out: Path) -> None:
    """The trained networks as one file that every command takes, saying what they were trained on."""
    from ..checkpoints import save_native

    record = images.with_suffix(".json")
    training = {
        **trainer.summary,
        "data": json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {"file": images.name},
    }
    save_native(out / "model.safetensors", {"G_ema": trainer.G_ema, "D": trainer.D.D}, metadata={"training": training})
