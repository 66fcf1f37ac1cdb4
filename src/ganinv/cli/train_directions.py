"""``ganinv train directions``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import GanInvError
from .app import train_app
from .console import note, open_model, progress_bar
from .options import Align, Device, Framing, Model, Quiet, Seed, Settings, Where, configure


@train_app.command()
def directions(
    labels: Annotated[
        Path | None,
        typer.Argument(
            metavar="LABELS.csv",
            help="A column image, z or seed, and one for each attribute; without it, the labels that ship with faces64.",
        ),
    ] = None,
    model: Model = "faces64",
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where NAME.safetensors and scores.json go.")
    ] = Path("directions"),
    method: Annotated[
        str,
        typer.Option(
            "--method", "-M", help="How pictures are inverted: e4e where its encoder ships, else projection-w."
        ),
    ] = "",
    align: Framing = Align.FACE,
    seed: Seed = None,
    changes: Settings = None,
    device: Where = Device.CPU,
    quiet: Quiet = False,
) -> None:
    """Find the directions of attributes from labels, and measure what they do.

    Those that move their attribute before the face is lost, and leave the others alone, are kept; scores.json says how far all of them got. Use one
    with `ganinv edit CLONE --direction DIR/NAME.safetensors --strength 2`.
    """
    from ..editing.measure import RESOLUTION, networks
    from ..training.directions import Finding, find_directions, read_labels, save_directions, shipped_labels

    config = configure(Finding(), [*([] if seed is None else [f"seed={seed}"]), *(changes or [])])
    gan = open_model(model, quiet, device)
    codes, values = shipped_labels(gan) if labels is None else read_labels(labels, gan, method, align)
    judges = networks() if gan.resolution == RESOLUTION and config.samples else None
    if judges is None:
        note("no direction is judged: the networks that do see faces as faces64 draws them", quiet)
    with progress_bar("{task.fields[values]}", quiet) as bar:
        task = bar.add_task("directions", total=len(values), values="")
        found = find_directions(
            gan, codes, values, config, judges, lambda name: bar.update(task, advance=1, values=name)
        )
    save_directions(out, found)
    for each in found:
        if each.ships and not quiet:
            typer.echo(f"{out / each.direction.name}.safetensors")
        elif each.score is not None and not each.ships:
            note(f"left out, {each.direction.name}: {each.score.reason}", quiet)
    if not any(each.ships for each in found):
        raise GanInvError(f"no direction is good enough to be kept: {out / 'scores.json'} says why.")
