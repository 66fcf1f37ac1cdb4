"""``ganinv invert``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..files import shown
from .app import app
from .console import console, friendly_warnings, note, open_model, tell_resumed
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
from .photos import Photos, Row, finishing, one_by_one, photo_progress, read_target

if TYPE_CHECKING:
    from ..report import ManifoldCheck
    from ..zoo import Bundle


@app.command(no_args_is_help=True)
def invert(
    photos: Photos,
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
    one_by_one(
        photos,
        gan,
        out,
        lambda photo, folder: invert_one(photo, folder, gan, method, config, align, check, quiet),
        print_summary,
        quiet,
    )


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
    from ..report import make_report, write_results
    from ..run import Progress, Resume

    target = read_target(photo, folder, gan, align, quiet)
    state = Resume.for_run(folder / "resume.pt", gan, target, method, config)
    tell_resumed(state, quiet)
    with photo_progress(photo, quiet) as show:
        with friendly_warnings(quiet):
            result = METHODS[method].function(gan, target, config, show, state)
        measured = None
        if check is not None and result.tuned:
            check.progress = lambda drawn, total: show(Progress("Fréchet distance", drawn, total, {}))
            with friendly_warnings(quiet):
                measured = check(result)
    if check is not None and not result.tuned:
        note(f"{method} leaves the generator as it is: --frechet has nothing to measure", quiet)
    with finishing(state, quiet):
        report = make_report(result, photo, measured)
        tell_replaced(folder, quiet)
        write_results(folder, result, report)
    return report


def tell_replaced(folder: Path, quiet: bool) -> None:
    """Say whose results are about to be replaced."""
    try:
        old = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        note(f"replacing what was in {folder} ({old['photo']}, {old['method']}, MSE {old['scores']['mse']:.4g})", quiet)
    except (OSError, ValueError, KeyError, TypeError):
        return  # there was no report, or nothing that can be read


def print_summary(rows: list[Row]) -> None:
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
