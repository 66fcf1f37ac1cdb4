"""``ganinv edit`` and ``ganinv directions``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import GanInvError
from .app import app
from .console import console, echo_json, note, open_model, plain
from .options import AsJson, Device, Model, Quiet, Where

if TYPE_CHECKING:
    from torch import Tensor

    from ..editing import Direction, Edit
    from ..inversion import Inversion
    from ..zoo import Bundle

FRAMES = 24  # from the photo to the edit


@app.command(no_args_is_help=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def edit(
    ctx: typer.Context,
    clone: Annotated[Path, typer.Argument(metavar="CLONE", help="A folder that `ganinv invert` wrote.")],
    model: Model = "faces64",
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The edited picture, or the sheet (.png, or what Pillow writes)."
        ),
    ] = Path("edited.png"),
    direction: Annotated[
        list[Path] | None,
        typer.Option(
            "--direction", metavar="FILE", help="A direction of one's own (.safetensors, .pt, .npy); may be repeated."
        ),
    ] = None,
    strength: Annotated[
        list[float] | None,
        typer.Option("--strength", metavar="T", help="How far, in standard deviations; one for each --direction."),
    ] = None,
    sheet: Annotated[
        str | None,
        typer.Option("--sheet", metavar="NAMES", help="A contact sheet instead: a row for each of these directions."),
    ] = None,
    strengths: Annotated[
        str, typer.Option("--strengths", metavar="T,T,...", help="The columns of the sheet.")
    ] = "-2,-1,0,1,2",
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask",
            metavar="FILE",
            help="A picture that is white where the edit may act: it keeps the channels that do.",
        ),
    ] = None,
    animation: Annotated[
        Path | None,
        typer.Option("--animation", metavar="FILE.webp", help="Also the way from the photo to the edit and back."),
    ] = None,
    device: Where = Device.CPU,
    quiet: Quiet = False,
) -> None:
    """Edit an inverted photo: --smile 1.5 --eyeglasses 1, or any other direction that `ganinv directions` lists.

    Strengths are in standard deviations of the generator's random images; a part of a name that fits one direction alone is enough (--glasses).
    """
    from ..editing import directions, load_direction, within
    from ..inversion import Inversion

    gan = open_model(model, quiet, device)
    inversion = Inversion.load(clone, gan)
    known = directions(gan)
    files = [load_direction(file, gan) for file in direction or []]
    parts = [(named(known, name, gan), value) for name, value in pairs(ctx.args)]
    if sheet is None:
        if len(strength or []) != len(files):
            raise typer.BadParameter(
                f"{len(files)} directions need as many strengths, not {len(strength or [])}", param_hint="--strength"
            )
        parts += list(zip(files, strength or [], strict=True))
        if not parts:
            raise typer.BadParameter(
                "say what to change, such as --smile 1.5; `ganinv directions` lists what there is", param_hint="NAME"
            )
    elif parts or strength or animation is not None:
        raise typer.BadParameter("a sheet takes names and --strengths, and no other edit", param_hint="--sheet")
    rows = (
        [] if sheet is None else [named(known, name.strip(), gan) for name in sheet.split(",") if name.strip()] + files
    )
    region = None if mask is None else read_mask(mask, gan)

    def local(one: Direction) -> Direction:
        return one if region is None else within(gan, one, region, inversion.ws)

    if rows:
        write_sheet(out, inversion, [local(row) for row in rows], numbers(strengths))
    else:
        wanted = summed([local(one).at(value) for one, value in parts])
        write_picture(out, inversion.render(wanted))
        if animation is not None:
            write_animation(animation, inversion, wanted)
    if not quiet:
        for path in [out, *([] if animation is None else [animation])]:
            typer.echo(f"{path}")


def pairs(words: list[str]) -> list[tuple[str, float]]:
    """``--smile 1.5 --age=-1`` as names and numbers."""
    found, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise typer.BadParameter(
                f"{word!r} is neither an option nor a direction, which reads --NAME STRENGTH", param_hint="NAME"
            )
        if not equals:
            if not rest:
                raise typer.BadParameter(f"--{name} needs a strength, such as --{name} 1.5", param_hint=f"--{name}")
            value = rest.pop(0)
        found.append((name, number(value, f"--{name}")))
    return found


def number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number", param_hint=option) from None


def numbers(text: str) -> list[float]:
    found = [number(part, "--strengths") for part in text.split(",") if part.strip()]
    if not found:
        raise typer.BadParameter("give at least one strength", param_hint="--strengths")
    return found


def named(known: dict[str, Direction], name: str, gan: Bundle) -> Direction:
    """The direction of that name, or the only one whose name holds it."""
    name = name.replace("-", "_")
    fitting = [name] if name in known else [other for other in known if name in other]
    if len(fitting) == 1:
        return known[fitting[0]]
    if fitting:
        raise GanInvError(f"{gan.name} has several directions {name!r}: {', '.join(fitting)}.")
    listed = f"it has {', '.join(known)}." if known else "it comes without any; give a file as --direction."
    raise GanInvError(f"{gan.name} has no direction {name!r}: {listed}")


def summed(edits: list[Edit]) -> Edit:
    from ..editing import Edit

    return sum(edits, Edit())


def read_mask(path: Path, gan: Bundle) -> Tensor:
    """A picture's bright half as truth values ``[R, R]``."""
    from ..photos import load_target

    return load_target(path, gan.resolution, "center")[0].mean(dim=0) > 0


def write_picture(path: Path, images: Tensor) -> None:
    from ..photos import tile, to_pil

    picture = to_pil(images)[0] if len(images) == 1 else tile(images)
    keep(path, lambda file: picture.save(file))


def write_sheet(path: Path, inversion: Inversion, rows: list[Direction], strengths: list[float]) -> None:
    """One row a direction (and photo), one column a strength."""
    from .. import plots

    plots.use_style()
    drawn = [[inversion.render(row.at(t)) for t in strengths] for row in rows]
    cells = [[image[i] for image in row] for row in drawn for i in range(len(inversion))]
    labels = [row.name if len(inversion) == 1 else f"{row.name}\n{i}" for row in rows for i in range(len(inversion))]
    columns = [f"{t:+g}σ" if t else "0" for t in strengths]
    keep(path, lambda file: plots.save_figure(file, plots.image_grid(cells, labels, columns)))


def write_animation(path: Path, inversion: Inversion, wanted: Edit) -> None:
    """A strip of frames that goes there and back, without end."""
    from ..photos import magnify, tile, to_pil

    if path.suffix.lower() != ".webp":
        raise GanInvError(f"{path}: an animation is a WebP file; call it {path.stem}.webp.")
    steps = [i / (FRAMES - 1) for i in range(FRAMES)]
    frames = [inversion.render(wanted * t) for t in steps]
    pictures = [to_pil(x)[0] if len(x) == 1 else tile(x) for x in frames]
    large = [magnify(picture, max(1, 256 // picture.width)) for picture in [*pictures, *pictures[-2:0:-1]]]
    keep(
        path,
        lambda file: large[0].save(file, save_all=True, append_images=large[1:], duration=60, loop=0, lossless=True),
    )


def keep(path: Path, write: object) -> None:
    """Write a picture file whole, or say in a sentence why not."""
    from ..files import atomic_path

    try:
        with atomic_path(path) as temporary:
            write(temporary)  # type: ignore[operator]
    except (OSError, ValueError) as error:  # Pillow does not know the suffix, or the format has no such pictures
        said = getattr(error, "strerror", None) or error
        raise GanInvError(f"{path} cannot be written ({said}): choose another file, such as edited.png.") from error


@app.command(name="directions")
def list_directions(model: Model = "faces64", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the directions that a model comes with, and how good they are."""
    from rich.table import Column, Table

    from ..editing.files import direction_scores

    gan = open_model(model, quiet)
    table = direction_scores(gan)
    if as_json:
        echo_json(table)
        return
    if not table:
        typer.echo(f"{gan.name} comes without directions: find some with `ganinv train directions`.")
        return
    whole = [Column(name, no_wrap=True) for name in ("direction", "space", "method")]  # names are there to be typed
    shown = Table(*whole, "1.5 σ at", "mean AD", "max AD", "identity", "held fixed")
    left = []
    for name, facts in table.items():
        scores = facts.get("scores", {})
        if not facts.get("ships", True):
            left.append(f"{name}: {scores.get('reason', '')}")
            continue
        cells = [cell(scores.get(key)) for key in ("strength", "mean_ad", "max_ad", "identity")]
        held = "rest" if facts["method"] == "gradients" else ", ".join(facts.get("conditioned_on", []))
        shown.add_row(*map(plain, (name, facts["space"], facts["method"], *cells, held)))
    console().print(shown)
    typer.echo(
        "1.5 σ at: the strength that moves the attribute by 1.5 standard deviations. AD: what that does to the others."
    )
    for text in left:
        note(f"left out, {text}", quiet)


def cell(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
