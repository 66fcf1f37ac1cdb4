"""What is printed, and where to: results on stdout, all that is said on the way on stderr."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..run import Resume


def tell_resumed(state: Resume, quiet: bool) -> None:
    """Say what becomes of the state that an earlier run has left."""
    if state.path.is_file():
        note(f"{state.path} {'is of a run that was interrupted: going on' if state.stages else 'is of another run: starting afresh'}", quiet)


def console(stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def note(message: str, quiet: bool = False) -> None:
    """Something worth knowing, on stderr."""
    if not quiet:
        typer.echo(message, err=True)


def complain(message: str) -> None:
    typer.secho(f"error: {message}", fg="red", err=True)


def progress_bar(values: str, quiet: bool) -> Any:
    """A progress bar on stderr, if that is a terminal; ``values`` is the text at its right end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    stderr = console(stderr=True)
    columns = [TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn(values)]
    return Progress(*columns, console=stderr, disable=quiet or not stderr.is_terminal, transient=True)


@contextmanager
def friendly_warnings(quiet: bool) -> Iterator[None]:
    """What :mod:`ganinv.photos` and a run that diverged warn of is for the user to know: one line each, without the source code."""
    from ..photos import ImageWarning
    from ..run import DivergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if issubclass(warning.category, ImageWarning | DivergenceWarning):
            note(f"note: {warning.message}", quiet)
