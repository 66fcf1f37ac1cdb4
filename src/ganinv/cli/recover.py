"""``ganinv recover``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..files import shown
from .app import app
from .console import console, friendly_warnings, open_model, tell_resumed
from .options import Align, Device, Framing, Half, Model, Precision, Quiet, Seed, Settings, Where, configure
from .photos import Photos, Row, finishing, one_by_one, photo_progress, read_target

if TYPE_CHECKING:
    from ..inverse import Operator
    from ..zoo import Bundle


def solver_names() -> str:
    """The registered solvers, read from their source: registering them imports PyTorch, which help does without."""
    folder = Path(__file__).parents[1] / "inverse"
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))]
    return ", ".join(name for text in texts for name in re.findall(r'^@solver\(\s*"([^"]+)"', text, re.M))


PROBLEM_NAMES = (
    "gaussian:M, inpaint:half, inpaint:box, inpaint:random:SHARE, superres:FACTOR, blur:SIGMA, grey, fourier:SHARE"
)


@app.command(no_args_is_help=True)
def recover(
    photos: Photos,
    problem: Annotated[
        str, typer.Option("--problem", "-p", help=f"How the photo is measured: {PROBLEM_NAMES}.")
    ] = "inpaint:half",
    solver: Annotated[str, typer.Option("--solver", "-S", help=f"One of {solver_names()}.")] = "csgm",
    noise: Annotated[
        float, typer.Option(min=0, metavar="SIGMA", help="Standard deviation of the noise on each measurement.")
    ] = 0.0,
    model: Model = "faces64",
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Where the results go; with several photos, into a folder each."
        ),
    ] = Path("recovered"),
    align: Framing = Align.FACE,
    seed: Seed = None,
    changes: Settings = None,
    device: Where = Device.CPU,
    precision: Half = Precision.FP32,
    quiet: Quiet = False,
) -> None:
    """Recover photos from few measurements of them: half a face, 500 numbers, a tiny picture.

    Each photo is measured, and recovered from its measurements alone. Writes recovered.png, comparison.png (the photo, what was measured, and what
    was made of it), restarts.png where a search began several times, and report.json. The same command goes on where an interrupted run stopped.
    """
    from ..inverse import SOLVERS, operator
    from ..settings import seeded
    from ..study.profiles import suited

    if solver not in SOLVERS:
        lines = "\n".join(f"  {name}: {entry.summary}" for name, entry in SOLVERS.items())
        raise typer.BadParameter(f"there is no solver {solver!r}. The solvers are\n{lines}", param_hint="--solver")
    gan = open_model(model, quiet, device, precision)
    config = suited(SOLVERS[solver].config, gan)
    config = configure(config if seed is None else seeded(config, seed), changes or [])
    op = operator(problem, gan.resolution, seed or 0)
    one_by_one(
        photos,
        gan,
        out,
        lambda photo, folder: recover_one(photo, folder, gan, op, solver, config, noise, seed or 0, align, quiet),
        print_recoveries,
        quiet,
    )


def recover_one(
    photo: str,
    folder: Path,
    gan: Bundle,
    op: Operator,
    solver: str,
    config: Any,
    noise: float,
    seed: int,
    align: str,
    quiet: bool,
) -> dict[str, Any]:
    """Measure and recover one photo, write what ``ganinv recover`` promises, and return the report."""
    from ..inverse import measure
    from ..inverse import recover as run
    from ..inverse.report import make_report, write_results
    from ..run import Resume

    target = read_target(photo, folder, gan, align, quiet)
    y = measure(target, op, noise, seed)
    state = Resume.for_run(folder / "resume.pt", gan, y, f"recover by {solver} {op!r}", config)
    tell_resumed(state, quiet)
    with photo_progress(photo, quiet) as show, friendly_warnings(quiet):
        found = run(gan, target, op, solver, config, noise, seed, show, state)
    with finishing(state, quiet):
        report = make_report(found, photo, noise, seed)
        write_results(folder, found, report)
    return report


def print_recoveries(rows: list[Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    first = rows[0][2]
    title = f"{first['problem']} ({first['measurements']:,} of {first['pixels']:,} numbers) by {first['solver']} in {first['model']}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("photo", overflow="fold")
    for name in ("MSE", "PSNR (dB)", "SSIM", "misfit", "seconds"):
        table.add_column(name, justify="right")
    for photo, _, report in rows:
        scores = report["scores"]
        psnr = "∞" if scores["psnr"] is None else f"{scores['psnr']:.1f}"
        cells = [
            f"{scores['mse']:.4f}",
            psnr,
            f"{scores['ssim']:.3f}",
            f"{report['misfit']:.5f}",
            f"{report['seconds']:.1f}",
        ]
        table.add_row(shown(Path(photo).name), *cells)
    console().print(table)
    for _, folder, _ in rows:
        typer.echo(f"{folder / 'comparison.png'}")
