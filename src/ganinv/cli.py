"""The command ``ganinv``. Exit codes: 0 done, 1 failed (one sentence on stderr says why), 2 wrong usage, 130 interrupted.

Everything heavy is imported inside the commands, so that help and wrong usage answer at once.
"""

from __future__ import annotations

import dataclasses
import json
import time
import types
import typing
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from .errors import GanInvError

if TYPE_CHECKING:
    from .inversion import Inversion, Resume
    from .report import ManifoldCheck
    from .study import Study
    from .training.gan import GanConfig, Start
    from .zoo import Bundle


class Align(StrEnum):
    FACE, CENTER, NONE = "face", "center", "none"


class Source(StrEnum):
    REFERENCE, GENERATOR = "reference", "generator"


class Profile(StrEnum):
    FULL, FAST = "full", "fast"


class Commands(TyperGroup):
    """Turns what a user can put right into one line on stderr, and Ctrl-C into exit code 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except GanInvError as error:
            complain(str(error))
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None


settings: dict[str, Any] = {"no_args_is_help": True, "context_settings": {"help_option_names": ["-h", "--help"]}}
app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False, **settings)
train_app = typer.Typer(help="Train a generator of your own, or the one that ships.", **settings)
app.add_typer(train_app, name="train")

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting; may be repeated.", rich_help_panel="Settings")
]
Model = Annotated[str, typer.Option("--model", "-m", help="A model that ships, or a StyleGAN2 file (.safetensors, .pkl, .pt).")]
Framing = Annotated[Align, typer.Option(help="How a photo is cropped: around the face, the central square, or not at all.")]
Seed = Annotated[int | None, typer.Option(min=0, metavar="N", help="Seed of all random numbers.", rich_help_panel="Settings")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Entry point of the command ``ganinv``."""
    app(prog_name="ganinv")


def show_version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        typer.echo(f"ganinv {__version__}")
        raise typer.Exit


@app.callback()
def ganinv(
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """GAN inversion: find a photo in a generator, tune the generator to it, keep the clone."""


# --- invert -----------------------------------------------------------------------------------------------------------------------------------


@app.command(no_args_is_help=True)
def invert(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTO", help="Picture files, or the name of a photo that ships, such as grace_hopper.")],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-M",
            help="near-perfect, pti, ensemble, hfgi, bdinvert, restyle-e4e, restyle-psp, e4e, psp, projection-wplus, projection-w or projection-z.",
        ),
    ] = "near-perfect",
    model: Model = "faces64",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the results go; with several photos, into a folder each.")] = Path(
        "inverted"
    ),
    align: Framing = Align.FACE,
    frechet: Annotated[bool, typer.Option("--frechet", help="Also measure what tuning did to all other images (well under a minute).")] = False,
    frechet_samples: Annotated[int, typer.Option(min=2, metavar="N", help="Images drawn for that.")] = 2000,
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Steps of the method's main stage.", rich_help_panel="Settings")] = None,
    seed: Seed = None,
    reals: Annotated[
        Source | None,
        typer.Option(help="near-perfect: what counts as real, the model's training images or the untouched generator's.", rich_help_panel="Settings"),
    ] = None,
    no_noise: Annotated[bool, typer.Option("--no-noise", help="Leave the noise maps as they are.", rich_help_panel="Settings")] = False,
    changes: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Find photos in a generator.

    Writes reconstruction.png, comparison.png, the clone and report.json. The same command goes on where an interrupted run stopped.
    """
    from . import METHODS
    from .inversion import WEIGHTS_ONLY
    from .report import ManifoldCheck
    from .study.profiles import seeded, suited
    from .zoo import load

    if method not in METHODS:
        lines = "\n".join(f"  {name}: {entry.summary}" for name, entry in METHODS.items())
        raise typer.BadParameter(f"there is no method {method!r}. The methods are\n{lines}", param_hint="--method")
    config = WEIGHTS_ONLY if no_noise and method == "near-perfect" else METHODS[method].config
    if reals is not None and not hasattr(config, "reals"):
        raise typer.BadParameter(f"the method {method} sees no real images", param_hint="--reals")
    gan = load(model)
    changes = [*shorthands(config, steps, reals, no_noise), *(changes or [])]
    fitting = suited(config, gan)
    tell_stand_ins(gan, config, fitting, {change.partition("=")[0].strip() for change in changes}, quiet)
    config = configure(fitting if seed is None else seeded(fitting, seed), changes)
    check = ManifoldCheck(gan, frechet_samples) if frechet else None

    rows, failed = [], 0
    for photo, folder in zip(photos, folders(photos, out), strict=True):
        try:
            rows.append((photo, folder, *invert_one(photo, folder, gan, method, config, align, check, quiet)))
        except GanInvError as error:
            complain(str(error))
            failed += 1
        except KeyboardInterrupt:
            if (folder / "resume.pt").is_file():
                typer.echo(f"stopped at {photo}: the same command goes on from {folder / 'resume.pt'}", err=True)
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


def shorthands(config: Any, steps: int | None, reals: Source | None, no_noise: bool) -> list[str]:
    """The options that have a name of their own, as changes of ``config``."""
    changes = [f"{name}={value}" for name, value in (("steps", steps), ("reals", reals)) if value is not None]
    if no_noise:
        changes += [f"{name}=false" for name in ("tune_noise", "optimise_noise") if hasattr(config, name)]
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
    photo: str, folder: Path, gan: Bundle, method: str, config: Any, align: str, check: ManifoldCheck | None, quiet: bool
) -> tuple[Inversion, dict[str, Any]]:
    """Invert one photo and write what ``ganinv invert`` promises; the state of an interrupted run is kept until all is written."""
    from . import METHODS
    from .images import load_target
    from .inversion import Progress, Resume
    from .report import make_report, staged, write_results

    file: str | Path = photo
    if not Path(photo).exists() and photo in gan.photos:
        file, align = gan.photos[photo], "none"
    with friendly_warnings(quiet):
        target = load_target(file, gan.resolution, align)
    with staged(folder):
        pass  # a folder that cannot be written is found before the work, not after it
    state = Resume.for_run(folder / "resume.pt", gan, target, method, config)
    tell_resumed(state, quiet)

    with progress_bar("{task.fields[values]}", quiet) as bar:
        task = bar.add_task(Path(photo).name, total=None, values="")

        def show(progress: Progress) -> None:
            values = "  ".join(f"{name} {value:.4f}" for name, value in progress.values.items())
            bar.update(task, description=f"{Path(photo).name}: {progress.stage}", completed=progress.step, total=progress.steps, values=values)

        with friendly_warnings(quiet):
            result = METHODS[method].function(gan, target, config, show, state)
        measured = None
        if check is not None and result.tuned:
            check.progress = lambda drawn, total: bar.update(
                task, description=f"{Path(photo).name}: Fréchet distance", completed=drawn, total=total, values=""
            )
            measured = check(result)
    if check is not None and not result.tuned:
        note(f"{method} leaves the generator as it is: --frechet has nothing to measure", quiet)
    report = make_report(result, photo, measured)
    tell_replaced(folder, quiet)
    write_results(folder, result, report)
    state.remove()
    return result, report


def tell_resumed(state: Resume, quiet: bool) -> None:
    """Say what becomes of the state that an earlier run has left."""
    if state.path.is_file():
        note(f"{state.path} {'is of a run that was interrupted: going on' if state.stages else 'is of another run: starting afresh'}", quiet)


def tell_replaced(folder: Path, quiet: bool) -> None:
    """Say whose results are about to be replaced."""
    try:
        old = json.loads((folder / "report.json").read_text())
        note(f"replacing what was in {folder} ({old['photo']}, {old['method']}, MSE {old['scores']['mse']:.4g})", quiet)
    except (OSError, ValueError, KeyError, TypeError):
        return  # there was no report, or nothing that can be read


def print_summary(rows: list[tuple[str, Path, Inversion, dict[str, Any]]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    first = rows[0][3]
    trunk = next(iter(first["scores"]["perceptual"]))
    table = Table(title=f"{first['method']} in {first['model']} (perceptual distance by {trunk})", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("photo", overflow="fold")
    for name in ("MSE", "own noise", "PSNR (dB)", "SSIM", "perceptual", "seconds"):
        table.add_column(name, justify="right")
    measured = any("frechet" in report for *_, report in rows)
    if measured:
        table.add_column("Fréchet distance", justify="right")
    for photo, _, _, report in rows:
        scores = report["scores"]
        psnr = "∞" if scores["psnr"] is None else f"{scores['psnr']:.1f}"
        cells = [
            f"{scores['mse']:.4f}",
            f"{scores['mse_own_noise']:.4f}",
            psnr,
            f"{scores['ssim']:.3f}",
            f"{scores['perceptual'][trunk]:.3f}",
            f"{report['seconds']:.1f}",
        ]
        if measured:
            cells.append(f"{report['frechet']['before']:.1f} → {report['frechet']['after']:.1f}")
        table.add_row(Path(photo).name, *cells)
    console().print(table)
    for _, folder, _, _ in rows:
        typer.echo(f"{folder / 'comparison.png'}")


# --- studies ----------------------------------------------------------------------------------------------------------------------------------

PHOTO_SETS = "heldout (in the domain), real (the portraits that ship, and variants of them), or a folder of pictures."
StudyPhotos = Annotated[list[str] | None, typer.Argument(metavar="PHOTO", help="Picture files, or names of photos that ship.")]
PhotoSet = Annotated[str | None, typer.Option("--set", metavar="SET", help=f"Instead of files: {PHOTO_SETS}")]
Limit = Annotated[int | None, typer.Option("--images", min=1, metavar="N", help="At most so many photos (8 of heldout).")]
StudyProfile = Annotated[Profile, typer.Option("--profile", help="fast: 20 steps a stage, 200 samples and 2 photos, a try.")]
Samples = Annotated[int | None, typer.Option(min=0, metavar="N", help="Images behind a Fréchet distance (2000); 0 measures none.")]
Trunk = Annotated[str, typer.Option(help="The network of the perceptual distance.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Photos inverted at the same time.", rich_help_panel="Machines")]
Backend = Annotated[
    str,
    typer.Option(
        metavar="URL", help="local, dask://HOST:PORT or ray://HOST:PORT; dask://local and ray://local start N workers.", rich_help_panel="Machines"
    ),
]


@app.command(no_args_is_help=True)
def compare(
    photos: StudyPhotos = None,
    photo_set: PhotoSet = None,
    methods: Annotated[str, typer.Option("--methods", metavar="NAMES", help="all, or names separated by commas.")] = "all",
    model: Model = "faces64",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the table and the pictures go.")] = Path("comparison"),
    limit: Limit = None,
    align: Framing = Align.FACE,
    profile: StudyProfile = Profile.FULL,
    samples: Samples = None,
    trunk: Trunk = "efficientnet-lite0",
    seed: Seed = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--config", metavar="METHOD.KEY=VALUE", help="A setting of one method; may be repeated.", rich_help_panel="Settings"),
    ] = None,
    jobs: Jobs = 1,
    backend: Backend = "local",
    quiet: Quiet = False,
) -> None:
    """Compare methods on many photos.

    Writes results.csv (one row a photo and method), summary.json, summary.md and grid.png. Finished tasks are kept: the same command goes on
    where it was stopped, and is instant when repeated.
    """
    from . import METHODS
    from .study import compare as run_compare
    from .study.profiles import default_config, seeded
    from .zoo import load

    names = list(METHODS) if methods == "all" else [name.strip() for name in methods.split(",")]
    for name in names:
        if name not in METHODS:
            raise typer.BadParameter(f"there is no method {name!r}; use all, or some of {', '.join(METHODS)}", param_hint="--methods")
    gan = load(model)
    configs = {name: default_config(METHODS[name].config, gan, profile) for name in names}
    if seed is not None:
        configs = {name: seeded(config, seed) for name, config in configs.items()}
    for change in changes or []:
        name, _, setting = change.partition(".")
        if name not in configs:
            raise typer.BadParameter(f"{change!r} should read METHOD.KEY=VALUE, with one of {', '.join(configs)}", param_hint="--config")
        configs[name] = configure(configs[name], [setting], "--config")
    run_study(
        lambda targets, **options: run_compare(gan, targets, methods if methods == "all" else names, configs, **options),
        *(gan, photos, photo_set, limit, align, profile, out, quiet),
        samples=samples,
        trunk=trunk,
        jobs=jobs,
        backend=backend,
    )


@app.command(no_args_is_help=True)
def ablate(
    photos: StudyPhotos = None,
    photo_set: PhotoSet = None,
    weights_only: Annotated[
        bool, typer.Option("--weights-only/--with-noise", help="Tune the weights alone, as the paper does (slow), or the photo's noise maps as well.")
    ] = False,
    model: Model = "faces64",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the table and the pictures go.")] = Path("ablation"),
    limit: Limit = None,
    align: Framing = Align.FACE,
    profile: StudyProfile = Profile.FULL,
    samples: Samples = None,
    trunk: Trunk = "efficientnet-lite0",
    seed: Seed = None,
    changes: Annotated[
        list[str] | None, typer.Option("--config", metavar="KEY=VALUE", help="A setting of all rows; may be repeated.", rich_help_panel="Settings")
    ] = None,
    jobs: Jobs = 1,
    backend: Backend = "local",
    quiet: Quiet = False,
) -> None:
    """Take the losses of near-perfect inversion away, one at a time.

    Reports error and Fréchet distance of the full loss and without each of its parts, and whether the paper's orderings hold. Outputs and
    options are those of compare.
    """
    from .study import ablate as run_ablate
    from .study.ablation import full_loss
    from .study.profiles import default_config, seeded
    from .zoo import load

    gan = load(model)
    config = default_config(full_loss(weights_only), gan, profile)
    config = configure(config if seed is None else seeded(config, seed), changes or [], "--config")
    run_study(
        lambda targets, **options: run_ablate(gan, targets, config, **options),
        *(gan, photos, photo_set, limit, align, profile, out, quiet),
        samples=samples,
        trunk=trunk,
        jobs=jobs,
        backend=backend,
    )


def run_study(
    study: Callable[..., Study],
    gan: Bundle,
    files: list[str] | None,
    photo_set: str | None,
    limit: int | None,
    align: str,
    profile: str,
    out: Path,
    quiet: bool,
    **options: Any,
) -> None:
    """Read the photos, run the study, write and print what it found; exit code 1 if some photo or task failed."""
    from .report import staged
    from .study import load_photos
    from .study import photo_set as read_set
    from .study.profiles import FAST, FAST_PHOTOS

    if bool(files) == bool(photo_set):
        raise typer.BadParameter(f"give photos, or a set of them: {PHOTO_SETS}", param_hint="PHOTO or --set")
    if profile == FAST:
        limit = min(limit or FAST_PHOTOS, FAST_PHOTOS)
    unread: list[str] = []
    with friendly_warnings(quiet):
        targets = (
            read_set(photo_set, gan, limit, align, unread.append) if photo_set else load_photos((files or [])[:limit], gan, align, unread.append)
        )
    for sentence in unread:
        complain(sentence)
    with staged(out):
        pass  # a folder that cannot be written is found before the work, not after it

    finished = total = 0
    with progress_bar("{task.fields[values]}", quiet) as bar:
        task = bar.add_task("tasks", total=None, values="")

        def show(done: int, of: int, name: str) -> None:
            nonlocal finished, total
            finished, total = done, of
            bar.update(task, completed=done, total=of, values=name)

        try:
            found = study(targets, source=photo_set or "files", profile=profile, progress=show, **options)
        except KeyboardInterrupt:
            typer.echo(f"{finished} of {total} tasks are kept: the same command goes on from there", err=True)
            raise
    found.save(out)
    if not quiet:
        print_study(found)
        typer.echo(f"{out / 'summary.md'}")
    for warning in found.warnings:
        note(f"note: {warning.variant}, {warning.image}: {warning.reason}", quiet)
    reasons: dict[tuple[str, str], list[str]] = {}
    for failure in found.failures:
        reasons.setdefault((failure.variant, failure.reason), []).append(failure.image)
    for (variant, reason), images in reasons.items():
        complain(f"{variant} failed on {', '.join(images)}: {reason}")
    if unread or found.failures:
        raise typer.Exit(1)


def print_study(study: Study) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = f"{study.command}: {len(study.photos)} photos in {study.gan.name}, profile {study.label['profile']}"
    table = Table(title=f"{title} (perceptual distance by {study.trunk})", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    columns = [("mse", "MSE", ".4f"), ("mse_own_noise", "own noise", ".4f"), ("psnr", "PSNR (dB)", ".1f")]
    columns += [("ssim", "SSIM", ".3f"), ("perceptual", "perceptual", ".3f")]
    columns += [("seconds", "seconds", ".2f"), *([("frechet_after", "Fréchet distance", ".1f")] if study.frechet else [])]
    for _, head, _ in columns:
        table.add_column(head, justify="right", min_width=8, overflow="fold")  # on a narrow terminal the spread goes below the mean
    for name in study.variants:
        table.add_row(name, *(study.cell(name, column, digits) for column, _, digits in columns))
    if study.frechet:
        table.caption = f"The untouched generator's Fréchet distance is {study.frechet['before']:.1f}."
    console().print(table)
    for sentence in study.notes:
        typer.echo(sentence)
    for ordering in getattr(study, "orderings", []):
        verdict = "held" if ordering.held else "not held"
        typer.echo(f"{verdict}: {ordering.claim} (on {ordering.agreeing} of {ordering.photos} photos)")


# --- models and files -------------------------------------------------------------------------------------------------------------------------


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the models that ship."""
    from rich.table import Table

    from .checkpoints import inspect as inspect_file
    from .zoo import ASSETS
    from .zoo import models as names

    found = []
    for name in names():
        facts = inspect_file(ASSETS / name / "model.safetensors")
        card = json.loads((ASSETS / name / "card.json").read_text())
        parameters = next(network["parameters"] for key, network in facts["networks"].items() if key != "D")
        trained_on = card.get("provenance", {}).get("training_images")
        entry = {"name": name, "resolution": facts["resolution"], "parameters": parameters, "trained_on": trained_on}
        found.append({**entry, "licence": card.get("licence"), "frechet": card.get("frechet")})
    if as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    if not found:
        typer.echo("No model ships with this installation; every command takes a StyleGAN2 file instead.")
        return
    table = Table("name", "resolution", "parameters", "trained on", "licence", "Fréchet distance")
    for entry in found:
        measured = entry["frechet"]
        quality = "" if not measured else f"{measured['generator']:.1f} ({measured['features']}, {measured['n']} images)"
        size = f"{entry['resolution']} × {entry['resolution']}"
        table.add_row(entry["name"], size, f"{entry['parameters']:,}", entry["trained_on"] or "", entry["licence"] or "", quality)
    console().print(table)


@app.command(no_args_is_help=True)
def inspect(file: Annotated[Path, typer.Argument(metavar="FILE", help="A StyleGAN2 checkpoint.")], as_json: AsJson = False) -> None:
    """Describe a checkpoint; nothing in it is executed."""
    from rich.table import Table

    from .checkpoints import inspect as inspect_file

    facts = inspect_file(file)
    if as_json:
        typer.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    networks, metadata = facts.pop("networks"), facts.pop("metadata")
    facts["file_size"] = f"{facts['file_size'] / 1e6:.1f} MB"
    for name, network in networks.items():
        sizes = " ".join(f"{resolution}:{channels}" for resolution, channels in network["channels"].items())
        facts[name] = f"{network['kind']}, {network['parameters']:,} parameters, channels {sizes}, conv_clamp {network['conv_clamp']}"
    facts |= {key: value for key, value in metadata.items() if key not in facts and key != "kind"}
    table = Table(show_header=False, box=None, title=str(file), title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in facts.items():
        if value is not None:
            table.add_row(key, json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value))
    console().print(table)


@app.command(no_args_is_help=True)
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A StyleGAN2 checkpoint.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="Its suffix asks for the format: .safetensors (ganinv), .pkl (NVIDIA), .pt (rosinality).")
    ],
    half: Annotated[bool, typer.Option("--half", help=".safetensors: store float16, half the size.")] = False,
    any_size: Annotated[
        bool, typer.Option("--any-size", help=".pt: write networks that rosinality's own code cannot hold, for ganinv alone.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Convert a checkpoint between ganinv's, NVIDIA's and rosinality's formats."""
    import torch

    from .checkpoints import convert as convert_file
    from .checkpoints import detect
    from .checkpoints.convert import format_for

    wanted = format_for(target)
    if half and wanted != "native":
        raise typer.BadParameter("only .safetensors files can hold float16", param_hint="--half")
    if any_size and wanted != "rosinality":
        raise typer.BadParameter("only .pt files have that limit", param_hint="--any-size")
    options: dict[str, Any] = {**({"dtype": torch.float16} if half else {}), **({"strict": False} if any_size else {})}
    found = detect(source)
    written = convert_file(source, target, **options)
    if not quiet:
        size = target.stat().st_size / 1e6
        typer.echo(f"{source} ({found}) → {target} ({wanted}): {', '.join(written.networks)}, {size:.1f} MB")


# --- train ------------------------------------------------------------------------------------------------------------------------------------

DATA, TINY_IMAGES = Path("data/faces64"), 2_000


@train_app.command()
def data(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to put train.npy and heldout.npy.")] = DATA,
    images: Annotated[int | None, typer.Option(min=1, metavar="N", help="How many; the first N of the 40,000.")] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Processes.")] = 2,
    quiet: Quiet = False,
) -> None:
    """Draw the training images of faces64, the same bytes every time."""
    from .training.data import NUM_IMAGES, draw_training_set

    with progress_bar("", quiet) as bar:
        task = bar.add_task("drawing training images", total=images or NUM_IMAGES)
        checksums = draw_training_set(
            folder, images or NUM_IMAGES, jobs=jobs, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    if not quiet:
        for name, checksum in checksums.items():
            typer.echo(f"{folder / name}.npy  sha256 of the pixels {checksum}")


@train_app.command()
def gan(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of train.npy, or an array file uint8 [M, 3, R, R].")] = DATA,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Checkpoint, snapshots, history, and the model in the end.")] = Path(
        "runs/gan"
    ),
    images: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Images shown in all, over all resolutions.", rich_help_panel="Settings")
    ] = None,
    resolution: Annotated[int | None, typer.Option(metavar="R", help="Final resolution, a power of two from 8.", rich_help_panel="Settings")] = None,
    batch: Annotated[int | None, typer.Option(min=1, metavar="N", help="Images a step.", rich_help_panel="Settings")] = None,
    seed: Seed = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Go on from a trained model with its discriminator (faces64, or a file); --set channel_base=… widens it."),
    ] = None,
    changes: Settings = None,
    tiny: Annotated[bool, typer.Option("--tiny", help=f"A minute-long try: small networks, 16 x 16 pixels, {TINY_IMAGES:,} images.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a StyleGAN2 by progressive growing; the defaults are the recipe of faces64.

    The same command goes on where an earlier run stopped, however it was stopped. At the end DIR/model.safetensors holds the generator
    and its discriminator.
    """
    from .training.data import open_images
    from .training.gan import Start, Trainer, train
    from .zoo import load

    trained = None if start is None else Start.of_bundle(load(start))
    config = training_config(tiny, images, resolution, trained)
    config = configure(config, [f"{name}={value}" for name, value in (("batch", batch), ("seed", seed)) if value is not None] + (changes or []))
    path = folder if folder.suffix == ".npy" else folder / "train.npy"
    array = open_images(path)
    stage, started, before = 0, time.monotonic(), -1
    with progress_bar("{task.fields[values]}", quiet) as bar:
        task = bar.add_task("starting", total=config.total_images, values="")

        def show(trainer: Trainer, losses: dict[str, float]) -> None:
            nonlocal stage, before
            before = trainer.seen - config.batch if before < 0 else before  # images seen before this call
            if trainer.stage.resolution != stage:
                stage = trainer.stage.resolution
                note(f"{stage} × {stage} pixels, from image {trainer.seen - config.batch:,}", quiet)
            rate = (trainer.seen - before) / (time.monotonic() - started)
            values = f"{rate:.0f} images/s  loss G {losses['loss_G']:.2f}  D {losses['loss_D']:.2f}"
            bar.update(task, description=f"{stage} × {stage}", completed=trainer.seen - trainer.images_before, values=values)

        try:
            trainer = train(config, array, out, show, trained)
        except KeyboardInterrupt:
            typer.echo(f"saved in {out}: the same command goes on from there", err=True)
            raise
    save_model(trainer, path, out)
    if not quiet:
        typer.echo(f"{out / 'model.safetensors'}: trained on {trainer.seen:,} images in {trainer.seconds / 60:.1f} minutes")


@train_app.command(no_args_is_help=True)
def encoder(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="psp, e4e, restyle-psp, restyle-e4e, bdinvert, hfgi or ensemble.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where METHOD.safetensors and its curves, METHOD.json, go.")] = Path(
        "encoders"
    ),
    model: Model = "faces64",
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Steps.", rich_help_panel="Settings")] = None,
    batch: Annotated[int | None, typer.Option(min=2, metavar="N", help="Images a step.", rich_help_panel="Settings")] = None,
    seed: Seed = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="ENCODER", help="The encoder that training takes, a name or a file: e4e for hfgi; the trunk to begin with for restyle."),
    ] = None,
    changes: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Train the encoder of a method for a generator; the defaults are the recipes of faces64's.

    The same command goes on where an earlier run stopped. Use the result with `ganinv invert --set encoder=DIR/METHOD.safetensors`.
    """
    from .cache import fingerprint
    from .inversion import Progress, Resume
    from .inversion.backbone import StyleEncoder
    from .inversion.weights import encoder_for
    from .training.recipes import RECIPES
    from .zoo import load

    if method not in RECIPES:
        raise typer.BadParameter(f"there is no encoder {method!r}; choose from {', '.join(RECIPES)}", param_hint="METHOD")
    recipe = RECIPES[method]
    if start and not recipe.start:
        raise typer.BadParameter(f"{method} starts from nothing", param_hint="--start")
    named = (("steps", steps), ("batch", batch), ("seed", seed))
    config = configure(recipe.config, [f"{name}={value}" for name, value in named if value is not None] + (changes or []))
    gan = load(model)
    name = start or (recipe.start if recipe.start in gan.encoders or recipe.start_needed else "")
    arguments = {"start": encoder_for(recipe.start, gan, name, StyleEncoder, in_channels=3)} if name else {}
    out.mkdir(parents=True, exist_ok=True)
    state = Resume(out / f"{method}.resume.pt", fingerprint(gan.sha256, method, repr(config), *arguments.values()))
    tell_resumed(state, quiet)
    began = time.monotonic() - state.seconds
    with progress_bar("{task.fields[values]}", quiet) as bar:
        task = bar.add_task(method, total=config.steps, values="")

        def show(progress: Progress) -> None:
            values = "  ".join(f"{name} {value:.3f}" for name, value in progress.values.items())
            bar.update(task, completed=progress.step, values=values)

        try:
            run = recipe.train(gan, config, show, state, **arguments)
        except KeyboardInterrupt:
            typer.echo(f"stopped: the same command goes on from {state.path}", err=True)
            raise
    path = run.save(out, time.monotonic() - began)
    state.remove()
    if not quiet:
        typer.echo(f"{path}: {config.steps:,} steps in {(time.monotonic() - began) / 60:.1f} minutes")


def training_config(tiny: bool, images: int | None, resolution: int | None, start: Start | None = None) -> GanConfig:
    """The recipe of ``faces64`` (or the tiny one) cut or extended to ``resolution``, with its stages stretched to ``images`` in all.

    With networks to ``start`` from, their sizes, and the stages from their resolution on.
    """
    from .stylegan2.generator import check_resolution
    from .training.gan import GanConfig, Stage

    config = GanConfig()
    if tiny:
        stages = [Stage(8, TINY_IMAGES // 2, 0.05), Stage(16, TINY_IMAGES // 2, 0.05)]
        config = GanConfig(16, 16, 2, 256, 16, stages, batch=8, snapshot_images=TINY_IMAGES // 4)
    stages = config.stages
    if start is not None:
        if resolution is not None and resolution < start.G.img_resolution:
            raise typer.BadParameter(
                f"the model to start from draws {start.G.img_resolution} × {start.G.img_resolution} pixels", param_hint="--resolution"
            )
        sizes = {name: start.G.config[name] for name in ("z_dim", "w_dim", "num_layers", "channel_base", "channel_max", "conv_clamp")}
        config = dataclasses.replace(config, **sizes)
        resolution = resolution or start.G.img_resolution
    if resolution is not None:
        try:
            check_resolution(resolution)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--resolution") from None
        while stages[-1].resolution < resolution:
            last = stages[-1]
            stages.append(Stage(2 * last.resolution, last.images, 2 * last.r1_gamma))
        stages = [stage for stage in stages if stage.resolution <= resolution] or [dataclasses.replace(stages[0], resolution=resolution)]
    if start is not None:
        stages = [stage for stage in stages if stage.resolution >= start.G.img_resolution]
    if images is not None:
        total = sum(stage.images for stage in stages)
        stages = [dataclasses.replace(stage, images=max(1, round(stage.images * images / total))) for stage in stages]
    return dataclasses.replace(config, stages=stages)


def save_model(trainer: Any, images: Path, out: Path) -> None:
    """The trained networks as one file that every command takes, saying what they were trained on."""
    from .checkpoints import save_native

    record = images.with_suffix(".json")
    training = {**trainer.summary, "data": json.loads(record.read_text()) if record.is_file() else {"file": images.name}}
    save_native(out / "model.safetensors", {"G_ema": trainer.G_ema, "D": trainer.D.D}, metadata={"training": training})


# --- what commands share ----------------------------------------------------------------------------------------------------------------------


def configure(config: Any, changes: list[str], option: str = "--set") -> Any:
    """A copy of a configuration dataclass with ``["steps=100", "initial.lr=0.05", ...]`` of the command line's ``option`` applied.

    Raises:
        typer.BadParameter: an unknown key, or a value that does not fit.
    """
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise typer.BadParameter(f"{change!r} should read KEY=VALUE", param_hint=option)
        config = _set(config, key.strip(), key.strip().split("."), value.strip(), option)
    return config


def _set(config: Any, key: str, path: list[str], value: str, option: str) -> Any:
    kinds = typing.get_type_hints(type(config))
    name = path[0]
    if name not in kinds:
        close = ", ".join(kinds)
        raise typer.BadParameter(f"there is no setting {key!r}; {type(config).__name__} has {close}", param_hint=option)
    old = getattr(config, name)
    if dataclasses.is_dataclass(old) and len(path) == 1 and (stages := _stages(kinds[name])):
        if value not in stages:
            raise typer.BadParameter(
                f"{name} is the name of a method ({', '.join(stages)}), or has settings, such as {key}.{next(iter(vars(old)))}", param_hint=option
            )
        return dataclasses.replace(config, **{name: stages[value]})
    if dataclasses.is_dataclass(old) != (len(path) > 1):
        cure = f"has settings of its own, such as {key}.{next(iter(vars(old)))}" if dataclasses.is_dataclass(old) else "has no settings of its own"
        raise typer.BadParameter(f"{name} {cure}", param_hint=option)
    try:
        new = _set(old, key, path[1:], value, option) if len(path) > 1 else _parse(value, kinds[name])
        return dataclasses.replace(config, **{name: new})
    except ValueError as error:
        raise typer.BadParameter(f"{key}={value}: {error}", param_hint=option) from None


def _stages(kind: Any) -> dict[str, Any]:
    """The default configurations, by method, that a field of type ``kind`` can hold: for the stage that another method starts from."""
    from .inversion import METHODS

    parts = typing.get_args(kind)
    return {name: entry.config for name, entry in METHODS.items() if type(entry.config) in parts}


def _parse(text: str, kind: Any) -> Any:
    """``text`` as ``int``, ``float``, ``bool``, ``str``, or one of these ``| None``."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        if text.lower() == "none":
            return None
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() not in words:
            raise ValueError("it is a switch, true or false")
        return words[text.lower()]
    if kind not in (int, float, str):
        raise ValueError("it is no single value; the other options set it")
    try:
        return kind(text)
    except ValueError:
        raise ValueError("a whole number is needed" if kind is int else "a number is needed") from None


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
    """What :mod:`ganinv.images` and a run that diverged warn of is for the user to know: one line each, without the source code."""
    from .images import ImageWarning
    from .inversion import DivergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if issubclass(warning.category, ImageWarning | DivergenceWarning):
            note(f"note: {warning.message}", quiet)
