"""What is printed, and where to: results on stdout, all that is said on the way on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import printable

if TYPE_CHECKING:
    from ..run import Resume
    from ..zoo import Bundle


def prepare() -> None:
    """Make a process of its own out of the user's shell: any character can be printed on any terminal, and figures are drawn to files."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    os.environ["MPLBACKEND"] = "agg"  # one that is exported is for notebooks or windows
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # what it says of its own cache helps nobody here


def tell_resumed(state: Resume, quiet: bool) -> None:
    """Say what becomes of the state that an earlier run has left."""
    if state.path.is_file():
        note(
            f"{state.path} {'is of a run that was interrupted: going on' if state.stages else 'is of another run: starting afresh'}",
            quiet,
        )


def console(stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False)  # a photo may be called [b].png


def note(message: str, quiet: bool = False) -> None:
    """Something worth knowing, on stderr."""
    if not quiet:
        typer.echo(printable(message), err=True)


def complain(message: str) -> None:
    typer.secho(f"error: {printable(message)}", fg="red", err=True)


def plain(value: Any) -> Any:
    """A value for a Rich table as it is: nothing in it is markup, and nothing in it moves the cursor."""
    from rich.text import Text

    return Text(printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))


def echo_json(value: Any) -> None:
    """JSON on stdout. What a terminal would act on is escaped, as JSON can be, so the values stay what they are."""
    for line in json.dumps(value, indent=1, ensure_ascii=False).split("\n"):
        typer.echo(printable(line))


def open_model(model: str | Path, quiet: bool = False, device: str = "cpu", precision: str = "fp32") -> Bundle:
    """The bundle on its device, after saying what had to be left out or made up to read it."""
    from ..zoo import load

    gan = load(model, device, precision)
    for text in gan.notes:
        note(f"note: {model}: {text}", quiet)
    return gan


def progress_bar(values: str, quiet: bool) -> Any:
    """A progress bar on stderr, if that is a terminal; ``values`` is the text at its right end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    stderr = console(stderr=True)
    description, last = (TextColumn(text, markup=False) for text in ("{task.description}", values))
    columns = [description, BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn(), last]
    return Progress(*columns, console=stderr, disable=quiet or not stderr.is_terminal, transient=True)


@contextmanager
def friendly_warnings(quiet: bool) -> Iterator[None]:
    """What ganinv itself warns of is for the user to know: one line each, without the source code."""
    from ..cache import CacheWarning
    from ..photos import ImageWarning
    from ..run import DivergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            kinds = ImageWarning | DivergenceWarning | CacheWarning
            for said in dict.fromkeys(
                str(warning.message) for warning in caught if issubclass(warning.category, kinds)
            ):
                note(f"note: {said}", quiet)
