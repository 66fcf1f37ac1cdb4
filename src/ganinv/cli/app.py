"""The command and its groups, and what becomes of errors. Exit codes: 0 done, 1 failed (one sentence on stderr says why), 2 wrong usage,
130 interrupted.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import GanInvError, sentence
from ..files import shown
from .console import complain, prepare


class Commands(TyperGroup):
    """Turns what a user can put right into one line on stderr, and Ctrl-C into exit code 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except GanInvError as error:
            complain(str(error))
            raise typer.Exit(1) from None
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            complain(
                f"{shown(error.filename)}: {error.strerror}" if isinstance(error.filename, str) else sentence(error)
            )
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None


settings: dict[str, Any] = {"no_args_is_help": True, "context_settings": {"help_option_names": ["-h", "--help"]}}
app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False, **settings)
train_app = typer.Typer(help="Train a generator of your own, or the one that ships.", **settings)
app.add_typer(train_app, name="train")
study_app = typer.Typer(help="Studies of many photos besides compare and ablate.", **settings)
app.add_typer(study_app, name="study")


def main() -> None:
    """Entry point of the command ``ganinv``."""
    prepare()
    app(prog_name="ganinv")


def show_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"ganinv {__version__}")
        raise typer.Exit


@app.callback()
def ganinv(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """GAN inversion: find a photo in a generator, tune the generator to it, keep the clone."""
