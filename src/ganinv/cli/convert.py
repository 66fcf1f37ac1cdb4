"""``ganinv convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .app import app
from .console import note
from .options import Quiet


@app.command(no_args_is_help=True)
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A StyleGAN2 checkpoint.")],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="Its suffix asks for the format: .safetensors (ganinv), .pkl (NVIDIA), .pt (rosinality).",
        ),
    ],
    half: Annotated[bool, typer.Option("--half", help=".safetensors: store float16, half the size.")] = False,
    any_size: Annotated[
        bool,
        typer.Option(
            "--any-size", help=".pt: write networks that rosinality's own code cannot hold, for ganinv alone."
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Convert a checkpoint between ganinv's, NVIDIA's and rosinality's formats."""
    import torch

    from ..checkpoints import convert as convert_file
    from ..checkpoints import detect
    from ..checkpoints.convert import format_for

    wanted = format_for(target)
    if half and wanted != "native":
        raise typer.BadParameter("only .safetensors files can hold float16", param_hint="--half")
    if any_size and wanted != "rosinality":
        raise typer.BadParameter("only .pt files have that limit", param_hint="--any-size")
    options: dict[str, Any] = {**({"dtype": torch.float16} if half else {}), **({"strict": False} if any_size else {})}
    found = detect(source)
    written = convert_file(source, target, **options)
    for text in written.notes:
        note(f"note: {source}: {text}", quiet)
    if not quiet:
        size = target.stat().st_size / 1e6
        typer.echo(f"{source} ({found}) → {target} ({wanted}): {', '.join(written.networks)}, {size:.1f} MB")
