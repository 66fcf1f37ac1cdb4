"""``ganinv recover``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import GanInvError, sentence
from ..files import shown
from .app import app
from .console import complain, console, friendly_warnings, open_model, progress_bar, tell_resumed
from .invert import folders
from .options import Align, Device, Framing, Half, Model, Precision, Quiet, Seed, Settings, Where, configure

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
    photos: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO", help="Picture files, or the name of a photo that ships, such as grace_hopper."),
    ],
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
    rows, failed = [], 0
    for photo, folder in zip(photos, folders(photos, out), strict=True):
        try:
            rows.append(
                (photo, folder, recover_one(photo, folder, gan, op, solver, config, noise, seed or 0, align, quiet))
            )
        except Exception as error:  # one photo is not to cost the others, whatever goes wrong with it
            complain(str(error) if isinstance(error, GanInvError) else f"{shown(photo)} failed ({sentence(error)})")
            failed += 1
        except KeyboardInterrupt:
            if (folder / "resume.pt").is_file():
                typer.echo(f"stopped at {shown(photo)}: the same command goes on from {folder / 'resume.pt'}", err=True)
            raise
    if rows and not quiet:
        print_recoveries(rows)
    if failed:
        if len(photos) > 1:
            complain(f"{failed} of {len(photos)} photos failed")
        raise typer.Exit(1)


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
    from ..photos import load_target
    from ..report import staged
    from ..run import Progress, Resume

    file: str | Path = photo
    if (shipped := gan.shipped(photo)) is not None:
        file, align = shipped, "none"
    with friendly_warnings(quiet):
        target = load_target(file, gan.resolution, align)
    with staged(folder):
        pass  # a folder that cannot be written is found before the work, not after it
    y = measure(target, op, noise, seed)
    state = Resume.for_run(folder / "resume.pt", gan, y, f"recover by {solver} {op!r}", config)
    tell_resumed(state, quiet)
    with progress_bar("{task.fields[values]}", quiet) as bar:
        name = shown(Path(photo).name)
        task = bar.add_task(name, total=None, values="")

        def show(progress: Progress) -> None:
            values = "  ".join(f"{name} {value:.4f}" for name, value in progress.values.items())
            where = dict(completed=progress.step, total=progress.steps, values=values)
            bar.update(task, description=f"{name}: {progress.stage}", **where)

        with friendly_warnings(quiet):
            found = run(gan, target, op, solver, config, noise, seed, show, state)
    report = make_report(found, photo, noise, seed)
    write_results(folder, found, report)
    state.remove()
    return report


def print_recoveries(rows: list[tuple[str, Path, dict[str, Any]]]) -> None:
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
