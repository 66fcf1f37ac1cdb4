"""What every reader returns, and the one place where a reader's troubles become a sentence for the user."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import GanInvError, printable
from ..files import atomic_path
from ..stylegan2 import Discriminator, Generator

MAX_MESSAGE = 1000  # characters; a file can have names of any length
NETWORKS = {"G_ema": Generator, "G": Generator, "D": Discriminator}


@dataclass
class Checkpoint:
    """The networks of one file, in eval mode, float32, on the CPU.

    Attributes:
        networks: some of ``"G_ema"`` (averaged generator), ``"G"`` (generator as trained) and ``"D"`` (discriminator); one generator at least.
        metadata: what the file says of itself, JSON values only; ``"w_avg"`` is ``"stored"``, ``"estimated"`` or ``"missing"``.
        format: ``"native"``, ``"nvlabs"``, ``"rosinality"`` or ``"psp"``.
        notes: what was left out or made up when the file was read, a sentence each.
    """

    networks: dict[str, nn.Module]
    metadata: dict[str, Any] = field(default_factory=dict)
    format: str = "native"
    notes: list[str] = field(default_factory=list)

    @property
    def G(self) -> Generator:  # noqa: N802
        """The generator to invert with: ``G_ema`` if the file has it, else ``G``."""
        network = self.networks.get("G_ema", self.networks.get("G"))
        if not isinstance(network, Generator):
            raise GanInvError("the checkpoint holds no generator (neither G_ema nor G)")
        return network

    @property
    def D(self) -> Discriminator | None:  # noqa: N802
        """The discriminator, or ``None``."""
        network = self.networks.get("D")
        return network if isinstance(network, Discriminator) else None


def check_networks(networks: dict[str, nn.Module]) -> None:
    """Raise ``ValueError`` unless ``networks`` are StyleGAN2 networks under their usual names, with a generator among them."""
    for name, network in networks.items():
        if not isinstance(network, NETWORKS.get(name, ())):
            raise ValueError(
                f"networks may hold G_ema and G (Generator) and D (Discriminator), not {name!r}: {type(network).__name__}"
            )
    if not networks.keys() & {"G_ema", "G"}:
        raise ValueError("networks must hold a generator, G_ema or G")


def json_values(metadata: dict[str, Any]) -> dict[str, Any]:
    """``metadata`` as JSON can hold it: numbers that are not finite become None."""
    return json.loads(json.dumps(metadata), parse_constant=lambda _: None)


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Turn whatever a hostile or damaged file provokes into one :class:`GanInvError` that names the file."""
    file = Path(path)
    try:
        if file.is_dir():
            raise GanInvError("it is a folder, not a checkpoint; name a file inside it")
        if file.stat().st_size == 0:
            raise GanInvError("the file is empty; download or copy it again")
        yield file
    except FileNotFoundError as error:
        raise GanInvError(f"{file}: there is no such file; check the path") from error
    except OSError as error:
        raise GanInvError(f"{file}: it cannot be read ({error.strerror or error})") from error
    except GanInvError as error:
        raise GanInvError(f"{file}: {printable(str(error), MAX_MESSAGE)}") from error.__cause__
    except Exception as error:  # the file decides what goes wrong in the parsers below, so anything can
        detail = printable((str(error).splitlines() or [""])[0], 120)
        raise GanInvError(
            f"{file}: it is damaged or not a checkpoint ({type(error).__name__}: {detail}); download or copy it again"
        ) from error


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """:func:`ganinv.files.atomic_path` whose failures are :class:`GanInvError` too (full disk, no permission, a folder of that name)."""
    try:
        with atomic_path(path) as temporary:
            yield temporary
    except OSError as error:
        raise GanInvError(f"{path}: it cannot be written ({error.strerror or error})") from error
