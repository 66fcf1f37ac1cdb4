"""Options that several commands have."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


def method_names() -> str:
    """The registered methods, read from their source: registering them imports PyTorch, which help does without."""
    folder = Path(__file__).parents[1] / "inversion"
    names = [
        name
        for path in sorted(folder.glob("*.py"))
        for name in re.findall(r'^@method\(\s*"([^"]+)"', path.read_text(encoding="utf-8"), re.M)
    ]
    return ", ".join(names)


class Align(StrEnum):
    FACE, CENTER, NONE = "face", "center", "none"


class Source(StrEnum):
    REFERENCE, GENERATOR = "reference", "generator"


class Device(StrEnum):
    CPU, CUDA, MPS, AUTO = "cpu", "cuda", "mps", "auto"


class Precision(StrEnum):
    FP32, BF16, FP16 = "fp32", "bf16", "fp16"


class Profile(StrEnum):
    FULL, FAST = "full", "fast"


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other setting; may be repeated.", rich_help_panel="Settings"),
]
Model = Annotated[
    str, typer.Option("--model", "-m", help="A model that ships, or a StyleGAN2 file (.safetensors, .pkl, .pt).")
]
Where = Annotated[
    Device,
    typer.Option(
        "--device",
        help="Where to compute; auto: CUDA, or MPS, or the CPU, the first there is.",
        rich_help_panel="Machines",
    ),
]
Half = Annotated[
    Precision,
    typer.Option(
        "--precision", help="Of the synthesis; the halves are for wide networks on a GPU.", rich_help_panel="Machines"
    ),
]
Framing = Annotated[
    Align, typer.Option(help="How a photo is cropped: around the face, the central square, or not at all.")
]
Seed = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Seed of all random numbers.", rich_help_panel="Settings")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DATA = Path("data/faces64")  # where `ganinv train data` puts the images that `ganinv train gan` takes


def configure(config: Any, changes: list[str], option: str = "--set") -> Any:
    """A copy of a configuration dataclass with ``["steps=100", "initial.lr=0.05", ...]`` of the command line's ``option`` applied.

    Raises:
        typer.BadParameter: an unknown key, or a value that does not fit.
    """
    from ..inversion import METHODS
    from ..settings import SettingError, configured

    try:
        return configured(config, changes, {name: entry.config for name, entry in METHODS.items()})
    except SettingError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
