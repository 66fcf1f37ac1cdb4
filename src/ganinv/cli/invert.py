"""``ganinv invert``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import GanInvError, sentence
from ..files import shown
from .app import app
from .console import complain, console, friendly_warnings, note, open_model, progress_bar, tell_resumed
from .options import (
    Align,
    Device,
    Framing,
    Half,
    Model,
    Precision,
    Quiet,
    Seed,
    Settings,
    Source,
    Where,
    configure,
    method_names,
)

if TYPE_CHECKING:
    from ..report import ManifoldCheck
    from ..zoo import Bundle


@app.command(no_args_is_help=True)
def invert(
    photos: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO", help="Picture files, or the name of a photo that ships, such as grace_hopper."),
    ],
    method: Annotated[
        str, typer.Option("--method", "-M", help=f"One of {method_names()}; `ganinv methods` says what they are.")
    ] = "near-perfect",
    model: Model = "faces64",
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Where the results go; with several photos, into a folder each."
        ),
    ] = Path("inverted"),
    align: Framing = Align.FACE,
    frechet: Annotated[
        bool, typer.Option("--frechet", help="Also measure what tuning did to all other images (well under a minute).")
    ] = False,
    frechet_samples: Annotated[int, typer.Option(min=2, metavar="N", help="Images drawn for that.")] = 2000,
    steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Steps of the method's main stage.", rich_help_panel="Settings"),
    ] = None,
    seed: Seed = None,
    reals: Annotated[
        Source | None,
        typer.Option(
            help="near-perfect: what counts as real, the model's training images or the untouched generator's.",
            rich_help_panel="Settings",
        ),
    ] = None,
    tune_noise: Annotated[
        bool | None,
        typer.Option(
            "--tune-noise/--no-noise",
            help="Whether the photo's noise maps are tuned. near-perfect: better pixels, but they do not move with an edit.",
            rich_help_panel="Settings",
        ),
    ] = None,
    changes: Settings = None,
    device: Where = Device.CPU,
    precision: Half = Precision.FP32,
    quiet: Quiet = False,
) -> None:
    """Find photos in a generator.

    Writes reconstruction.png, comparison.png, the clone and report.json. The same command goes on where an interrupted run stopped.
    """
    from .. import METHODS
    from ..inversion import TUNED_NOISE
    from ..report import ManifoldCheck
    from ..settings import seeded
    from ..study.profiles import suited

    if method not in METHODS:
        lines = "\n".join(f"  {name}: {entry.summary}" for name, entry in METHODS.items())
        raise typer.BadParameter(f"there is no method {method!r}. The methods are\n{lines}", param_hint="--method")
    config = TUNED_NOISE if tune_noise and method == "near-perfect" else METHODS[method].config
    if reals is not None and not hasattr(config, "reals"):
        raise typer.BadParameter(f"the method {method} sees no real images", param_hint="--reals")
    if tune_noise and not (hasattr(config, "tune_noise") or hasattr(config, "optimise_noise")):
        raise typer.BadParameter(f"the method {method} has no noise maps to tune", param_hint="--tune-noise")
    gan = open_model(model, quiet, device, precision)
    changes = [*shorthands(config, steps, reals, tune_noise), *(changes or [])]
    fitting = suited(config, gan)
    tell_stand_ins(gan, config, fitting, {change.partition("=")[0].strip() for change in changes}, quiet)
    config = configure(fitting if seed is None else seeded(fitting, seed), changes)
    check = ManifoldCheck(gan, frechet_samples) if frechet else None

    rows, failed = [], 0
    for photo, folder in zip(photos, folders(photos, out), strict=True):
        try:
            # the reports alone
            rows.append((photo, folder, invert_one(photo, folder, gan, method, config, align, check, quiet)))
        except Exception as error:  # one photo is not to cost the others, whatever goes wrong with it
            complain(str(error) if isinstance(error, GanInvError) else f"{shown(photo)} failed ({sentence(error)})")
            failed += 1
        except KeyboardInterrupt:
            if (folder / "resume.pt").is_file():
                typer.echo(f"stopped at {shown(photo)}: the same command goes on from {folder / 'resume.pt'}", err=True)
            raise
    if rows and not quiet:
        print_summary(rows)
    if failed:
        if len(photos) > 1:
            complain(f"{failed} of {len(photos)} photos failed")
        raise typer.Exit(1)


def tell_stand_ins(gan: Bundle, wanted: Any, config: Any, settled: set[str], quiet: bool) -> None:
    """Say where ``config`` differs from what was ``wanted`` for what the bundle comes without, but for settings that are given anyway."""
    stand_ins = {
        "reals": "training images, so samples of the untouched generator stand in for them (--reals generator)",
        "initial": "the encoder that finds a first code, so a projection does (initial.steps, ...)",
        "pivot": "the encoder that finds a pivot, so a projection does (pivot.steps, ...)",
    }
    for name, what in stand_ins.items():
        if name not in settled and getattr(wanted, name, None) != getattr(config, name, None):
            note(f"{gan.name} comes without {what}", quiet)


def shorthands(config: Any, steps: int | None, reals: Source | None, tune_noise: bool | None) -> list[str]:
    """The options that have a name of their own, as changes of ``config``."""
    changes = [f"{name}={value}" for name, value in (("steps", steps), ("reals", reals)) if value is not None]
    if tune_noise is not None:
        changes += [f"{name}={tune_noise}" for name in ("tune_noise", "optimise_noise") if hasattr(config, name)]
    return changes


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


def invert_one(
    photo: str,
    folder: Path,
    gan: Bundle,
    method: str,
    config: Any,
    align: str,
    check: ManifoldCheck | None,
    quiet: bool,
) -> dict[str, Any]:
    """Invert one photo, write what ``ganinv invert`` promises, and return the report; an interrupted run's state is kept until then."""
    from .. import METHODS
    from ..photos import load_target
    from ..report import make_report, staged, write_results
    from ..run import Progress, Resume

    file: str | Path = photo
    if (shipped := gan.shipped(photo)) is not None:
        file, align = shipped, "none"
    with friendly_warnings(quiet):
        target = load_target(file, gan.resolution, align)
    with staged(folder):
        pass  # a folder that cannot be written is found before the work, not after it
    state = Resume.for_run(folder / "resume.pt", gan, target, method, config)
    tell_resumed(state, quiet)

    with progress_bar("{task.fields[values]}", quiet) as bar:
        name = shown(Path(photo).name)
        task = bar.add_task(name, total=None, values="")

        def show(progress: Progress) -> None:
            values = "  ".join(f"{name} {value:.4f}" for name, value in progress.values.items())
            bar.update(
                task,
                description=f"{name}: {progress.stage}",
                completed=progress.step,
                total=progress.steps,
                values=values,
            )

        with friendly_warnings(quiet):
            result = METHODS[method].function(gan, target, config, show, state)
        measured = None
        if check is not None and result.tuned:
            check.progress = lambda drawn, total: bar.update(
                task, description=f"{name}: Fréchet distance", completed=drawn, total=total, values=""
            )
            with friendly_warnings(quiet):
                measured = check(result)
    if check is not None and not result.tuned:
        note(f"{method} leaves the generator as it is: --frechet has nothing to measure", quiet)
    try:
        report = make_report(result, photo, measured)
        tell_replaced(folder, quiet)
        write_results(folder, result, report)
    except Exception:
        if state.path.is_file():
            note(f"what was computed is kept: the same command goes on from {state.path}", quiet)
        raise
    state.remove()
    return report


def tell_replaced(folder: Path, quiet: bool) -> None:
    """Say whose results are about to be replaced."""
    try:
        old = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        note(f"replacing what was in {folder} ({old['photo']}, {old['method']}, MSE {old['scores']['mse']:.4g})", quiet)
    except (OSError, ValueError, KeyError, TypeError):
        return  # there was no report, or nothing that can be read


def print_summary(rows: list[tuple[str, Path, dict[str, Any]]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    first = rows[0][2]
    trunk = next(iter(first["scores"]["perceptual"]))
    table = Table(
        title=f"{first['method']} in {first['model']} (perceptual distance by {trunk})",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("photo", overflow="fold")
    for name in ("MSE", "own noise", "PSNR (dB)", "SSIM", "perceptual", "seconds"):
        table.add_column(name, justify="right")
    measured = any("frechet" in report for *_, report in rows)
    if measured:
        table.add_column("Fréchet distance", justify="right")
    for photo, _, report in rows:
        scores = report["scores"]
        psnr = "∞" if scores["psnr"] is None else f"{scores['psnr']:.1f}"
        cells = [f"{scores['mse']:.4f}", f"{scores['mse_own_noise']:.4f}", psnr, f"{scores['ssim']:.3f}"]
        cells += [f"{scores['perceptual'][trunk]:.3f}", f"{report['seconds']:.1f}"]
        if measured:
            cells.append(f"{report['frechet']['before']:.1f} → {report['frechet']['after']:.1f}")
        table.add_row(shown(Path(photo).name), *cells)
    console().print(table)
    for _, folder, _ in rows:
        typer.echo(f"{folder / 'comparison.png'}")
