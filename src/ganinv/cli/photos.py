"""What the commands that take photos one by one share: the folders of their results, reading, progress, and what becomes of errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import GanInvError, sentence
from ..files import shown
from .console import complain, friendly_warnings, note, progress_bar

if TYPE_CHECKING:
    from torch import Tensor

    from ..run import Callback, Resume
    from ..zoo import Bundle

Photos = Annotated[
    list[str],
    typer.Argument(
        metavar="PHOTO", help="Picture files, folders of them, or the name of a photo that ships, such as grace_hopper."
    ),
]
Row = tuple[str, Path, dict[str, Any]]  # a photo, its folder, and the report: results themselves are not kept


def one_by_one(
    photos: list[str],
    gan: Bundle,
    out: Path,
    work: Callable[[str, Path], dict[str, Any]],
    show: Callable[[list[Row]], None],
    quiet: bool,
) -> None:
    """``work(photo, folder)`` on every photo, those in folders included, and ``show`` the reports; exit code 1 if it failed on one."""
    rows: list[Row] = []
    photos = unfolded(photos, gan)
    failed = 0
    for photo, folder in zip(photos, folders(photos, out), strict=True):
        try:
            rows.append((photo, folder, work(photo, folder)))
        except Exception as error:  # one photo is not to cost the others, whatever goes wrong with it
            complain(str(error) if isinstance(error, GanInvError) else f"{shown(photo)} failed ({sentence(error)})")
            failed += 1
        except KeyboardInterrupt:
            if (folder / "resume.pt").is_file():
                typer.echo(f"stopped at {shown(photo)}: the same command goes on from {folder / 'resume.pt'}", err=True)
            raise
    if rows and not quiet:
        show(rows)
    if failed:
        if len(photos) > 1:
            complain(f"{failed} of {len(photos)} photos failed")
        raise typer.Exit(1)


def unfolded(photos: list[str], gan: Bundle) -> list[str]:
    """The photos, with the pictures of a folder in its place; a folder hides no photo that ships.

    Raises:
        GanInvError: a folder holds no pictures, or cannot be read.
    """
    from ..study.photos import pictures_in

    found: list[str] = []
    for photo in photos:
        inside = os.path.isdir(photo) and gan.shipped(photo) is None  # Path.is_dir raises for a name that is too long
        found += map(str, pictures_in(Path(photo))) if inside else [photo]
    return found


def folders(photos: list[str], out: Path) -> list[Path]:
    """Where each photo's results go: ``out`` for one, ``out/stem`` for several, numbered where stems are equal."""
    if len(photos) == 1:
        return [out]
    taken: list[Path] = []
    for photo in photos:
        stem = Path(photo).stem
        names = (f"{stem}-{i}" if i > 1 else stem for i in range(1, len(photos) + 1))
        taken.append(next(out / name for name in names if out / name not in taken))
    return taken


def read_target(photo: str, folder: Path, gan: Bundle, align: str, quiet: bool) -> Tensor:
    """The photo ``[1, 3, R, R]``, a picture file or one that ships; a ``folder`` that cannot be written is found here, before the work."""
    from ..photos import load_target
    from ..report import staged

    file: str | Path = photo
    if (shipped := gan.shipped(photo)) is not None:
        file, align = shipped, "none"
    with friendly_warnings(quiet):
        target = load_target(file, gan.resolution, align)
    with staged(folder):
        pass
    return target


@contextmanager
def finishing(state: Resume, quiet: bool) -> Iterator[None]:
    """While results are written: an error leaves what was computed, and nothing else does."""
    try:
        yield
    except Exception:
        if state.path.is_file():
            note(f"what was computed is kept: the same command goes on from {state.path}", quiet)
        raise
    state.remove()


@contextmanager
def photo_progress(photo: str, quiet: bool) -> Iterator[Callback]:
    """A callback that moves a bar with the photo's name, the stage, and its latest losses."""
    from ..run import Progress

    with progress_bar("{task.fields[values]}", quiet) as bar:
        name = shown(Path(photo).name)
        task = bar.add_task(name, total=None, values="")

        def show(progress: Progress) -> None:
            values = "  ".join(f"{name} {value:.4f}" for name, value in progress.values.items())
            where = dict(completed=progress.step, total=progress.steps, values=values)
            bar.update(task, description=f"{name}: {progress.stage}", **where)

        yield show
