"""What the studies share: options, photos, configurations, and what is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import GanInvError
from .console import complain, console, friendly_warnings, note, progress_bar
from .options import Profile, configure

if TYPE_CHECKING:
    from ..study import Study
    from ..zoo import Bundle

PHOTO_SETS = "heldout (in the domain), real (the portraits that ship, and variants of them), or a folder of pictures."
StudyPhotos = Annotated[
    list[str] | None, typer.Argument(metavar="PHOTO", help="Picture files, or names of photos that ship.")
]
PhotoSet = Annotated[str | None, typer.Option("--set", metavar="SET", help=f"Instead of files: {PHOTO_SETS}")]
Limit = Annotated[
    int | None, typer.Option("--images", min=1, metavar="N", help="At most so many photos (8 of heldout).")
]
StudyProfile = Annotated[
    Profile, typer.Option("--profile", help="fast: 20 steps a stage, 200 samples and 2 photos, a try.")
]
Samples = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Images behind a Fréchet distance (2000); 0 measures none.")
]
Trunk = Annotated[str, typer.Option(help="The network of the perceptual distance.")]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", "-j", min=1, metavar="N", help="Photos inverted at the same time.", rich_help_panel="Machines"
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="local, dask://HOST:PORT or ray://HOST:PORT; dask://local and ray://local start N workers.",
        rich_help_panel="Machines",
    ),
]


def listed(names: str) -> list[str]:
    """``"psp, e4e"`` as a list."""
    return [name.strip() for name in names.split(",")]


def registered(names: str, register: Mapping[str, Any], kind: str) -> list[str]:
    """``names`` of what is called a ``kind``, ``"method"`` or ``"solver"``, as a list; ``"all"`` for the whole register.

    Raises:
        typer.BadParameter: one is not in the register.
    """
    found = list(register) if names == "all" else listed(names)
    for name in found:
        if name not in register:
            raise typer.BadParameter(
                f"there is no {kind} {name!r}; use all, or some of {', '.join(register)}", param_hint=f"--{kind}s"
            )
    return found


def configurations(
    names: list[str],
    register: Mapping[str, Any],
    kind: str,
    gan: Bundle,
    profile: str,
    seed: int | None,
    changes: list[str] | None,
) -> dict[str, Any]:
    """The configuration of each name as the ``profile`` has it, with the ``seed`` and the changes ``["psp.batch=4", ...]`` of ``--config``.

    Raises:
        typer.BadParameter: a change of something else, or one that does not fit.
    """
    from ..settings import seeded
    from ..study.profiles import default_config

    configs = {name: default_config(register[name].config, gan, profile) for name in names}
    if seed is not None:
        configs = {name: seeded(config, seed) for name, config in configs.items()}
    for change in changes or []:
        name, _, setting = change.partition(".")
        if name not in configs:
            raise typer.BadParameter(
                f"{change!r} should read {kind.upper()}.KEY=VALUE, with one of {', '.join(configs)}",
                param_hint="--config",
            )
        configs[name] = configure(configs[name], [setting], "--config")
    return configs


def run_study(
    study: Callable[..., Any],
    gan: Bundle,
    files: list[str] | None,
    photo_set: str | None,
    limit: int | None,
    align: str,
    profile: str,
    out: Path,
    quiet: bool,
    show: Callable[[Any], None] | None = None,
    **options: Any,
) -> None:
    """Read the photos, run the study, write and ``show`` what it found (:func:`print_study`); exit code 1 if some photo or task failed."""
    from ..report import staged
    from ..study import load_photos
    from ..study import photo_set as read_set
    from ..study.profiles import FAST, FAST_PHOTOS

    if bool(files) == bool(photo_set):
        raise typer.BadParameter(f"give photos, or a set of them: {PHOTO_SETS}", param_hint="PHOTO or --set")
    if profile == FAST:
        limit = min(limit or FAST_PHOTOS, FAST_PHOTOS)
    unread: list[str] = []
    with friendly_warnings(quiet):
        targets = (
            read_set(photo_set, gan, limit, align, unread.append)
            if photo_set
            else load_photos((files or [])[:limit], gan, align, unread.append)
        )
    for sentence in unread:
        complain(sentence)
    with staged(out):
        pass  # a folder that cannot be written is found before the work, not after it

    finished = total = 0
    with progress_bar("{task.fields[values]}", quiet) as bar:
        task = bar.add_task("tasks", total=None, values="")

        def progress(done: int, of: int, name: str) -> None:
            nonlocal finished, total
            finished, total = done, of
            bar.update(task, completed=done, total=of, values=name)

        try:
            with friendly_warnings(quiet):
                found = study(targets, source=photo_set or "files", profile=profile, progress=progress, **options)
        except KeyboardInterrupt:
            typer.echo(f"{finished} of {total} tasks are kept: the same command goes on from there", err=True)
            raise
    unsaved = ""
    try:
        found.save(out)
    except GanInvError as error:
        unsaved = str(error)
    if not quiet:
        (show or print_study)(found)
        if not unsaved:
            typer.echo(f"{out / 'summary.md'}")
    reasons: dict[tuple[str, str], list[str]] = {}
    for failure in found.failures:
        reasons.setdefault((failure.variant, failure.reason), []).append(failure.image)
    for (variant, reason), images in reasons.items():
        complain(f"{variant} failed on {', '.join(images)}: {reason}")
    if unsaved:
        complain(unsaved)
    if unread or found.failures or unsaved:
        raise typer.Exit(1)


def print_study(study: Study) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = f"{study.command}: {len(study.photos)} photos in {study.gan.name}, profile {study.label['profile']}"
    table = Table(title=f"{title} (perceptual distance by {study.trunk})", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    columns = [("mse", "MSE", ".4f"), ("mse_own_noise", "own noise", ".4f"), ("psnr", "PSNR (dB)", ".1f")]
    columns += [("ssim", "SSIM", ".3f"), ("perceptual", "perceptual", ".3f")]
    columns += [
        ("seconds", "seconds", ".2f"),
        *([("frechet_after", "Fréchet distance", ".1f")] if study.frechet else []),
    ]
    for _, head, _ in columns:
        # on a narrow terminal the spread goes below the mean
        table.add_column(head, justify="right", min_width=8, overflow="fold")
    for name in study.variants:
        table.add_row(name, *(study.cell(name, column, digits) for column, _, digits in columns))
    if study.frechet:
        table.caption = f"The untouched generator's Fréchet distance is {study.frechet['before']:.1f}."
    console().print(table)
    for sentence in study.notes:
        typer.echo(sentence)
    for ordering in getattr(study, "orderings", []):
        typer.echo(f"{ordering.verdict}: {ordering.claim} (on {ordering.agreeing} of {ordering.photos} photos)")
    for warning in study.warnings:
        note(f"note: {warning.variant}, {warning.image}: {warning.reason}")
