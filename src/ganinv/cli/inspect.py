"""``ganinv inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .console import console, echo_json, plain
from .options import AsJson


@app.command(no_args_is_help=True)
def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A StyleGAN2 checkpoint.")], as_json: AsJson = False
) -> None:
    """Describe a checkpoint; nothing in it is executed."""
    from rich.table import Table

    from ..checkpoints import inspect as inspect_file

    facts = inspect_file(file)
    if as_json:
        echo_json(facts)
        return
    networks, metadata, notes = facts.pop("networks"), facts.pop("metadata"), facts.pop("notes")
    facts["file_size"] = f"{facts['file_size'] / 1e6:.1f} MB"
    for name, network in networks.items():
        sizes = " ".join(f"{resolution}:{channels}" for resolution, channels in network["channels"].items())
        facts[name] = (
            f"{network['kind']}, {network['parameters']:,} parameters, channels {sizes}, conv_clamp {network['conv_clamp']}"
        )
    facts |= {key: value for key, value in metadata.items() if key not in facts and key != "kind"}
    facts |= {f"note {i + 1}": text for i, text in enumerate(notes)}
    table = Table(show_header=False, box=None, title=plain(str(file)), title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in facts.items():
        if value is not None:
            table.add_row(plain(key), plain(value if isinstance(value, dict | list) else str(value)))
    console().print(table)
