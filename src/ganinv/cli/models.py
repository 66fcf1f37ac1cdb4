"""``ganinv models``."""

from __future__ import annotations

import json

import typer

from .app import app
from .console import console, echo_json, plain
from .options import AsJson


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the models that ship."""
    from rich.table import Table

    from ..checkpoints import inspect as inspect_file
    from ..zoo import ASSETS
    from ..zoo import models as names

    found = []
    for name in names():
        facts = inspect_file(ASSETS / name / "model.safetensors")
        card = json.loads((ASSETS / name / "card.json").read_text(encoding="utf-8"))
        parameters = next(network["parameters"] for key, network in facts["networks"].items() if key != "D")
        trained_on = card.get("provenance", {}).get("training_images")
        entry = {"name": name, "resolution": facts["resolution"], "parameters": parameters, "trained_on": trained_on}
        found.append({**entry, "licence": card.get("licence"), "frechet": card.get("frechet")})
    if as_json:
        echo_json(found)
        return
    if not found:
        typer.echo("No model ships with this installation; every command takes a StyleGAN2 file instead.")
        return
    table = Table("name", "resolution", "parameters", "trained on", "licence", "Fréchet distance")
    for entry in found:
        measured = entry["frechet"]
        quality = (
            "" if not measured else f"{measured['generator']:.1f} ({measured['features']}, {measured['n']} images)"
        )
        size = f"{entry['resolution']} × {entry['resolution']}"
        row = (
            entry["name"],
            size,
            f"{entry['parameters']:,}",
            entry["trained_on"] or "",
            entry["licence"] or "",
            quality,
        )
        table.add_row(*map(plain, row))
    console().print(table)
