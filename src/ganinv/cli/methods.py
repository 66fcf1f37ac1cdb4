"""``ganinv methods``."""

from __future__ import annotations

from .app import app
from .console import console, echo_json
from .options import AsJson


@app.command()
def methods(as_json: AsJson = False) -> None:
    """List the inversion methods."""
    from rich.table import Table

    from .. import METHODS

    if as_json:
        facts = [
            {"name": name, "summary": e.summary, "kind": e.kind, "encoder": bool(e.recipe)}
            for name, e in METHODS.items()
        ]
        echo_json(facts)
        return
    table = Table("method", "what it does", "kind", "own encoder")
    for name, entry in METHODS.items():
        table.add_row(name, entry.summary, entry.kind, "yes" if entry.recipe else "")
    console().print(table)
