"""What ``ganinv invert`` leaves behind: the pictures, the clone, and ``report.json``."""

from __future__ import annotations

import json
import math
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from . import __version__
from .devices import describe
from .errors import GanInvError, sentence
from .files import shown, write_text
from .inversion import Inversion
from .perception.frechet import FrechetStatistics, feature_statistics, frechet_distance, generator_statistics
from .stylegan2 import Generator
from .zoo import Bundle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES, SEED = 2_000, 0  # the random images behind a Fréchet distance


def make_report(result: Inversion, photo: str, frechet: dict[str, Any] | None = None) -> dict[str, Any]:
    """The facts about the inversion of one photo, as JSON values; numbers that JSON has not (an infinite PSNR) become ``None``."""
    report = {
        "photo": shown(photo),
        "model": result.gan.name,
        "method": result.method,
        "seed": result.config.get("seed"),
        "versions": versions(),
        "device": describe(result.gan.device),
        "precision": result.gan.precision,
        "seconds": round(result.seconds, 3),
        "scores": result.scores,
    }
    if result.travel is not None:
        report["travel"] = result.travel[0]  # of the code from its start, in sigma_w
    if frechet is not None:
        report["frechet"] = frechet
    facts: dict[str, Any] = finite(report)
    return facts


def versions() -> dict[str, str]:
    """What a result was computed with."""
    return {"ganinv": __version__, "torch": torch.__version__, "python": platform.python_version()}


def finite(value: Any) -> Any:
    """``value``, with ``None`` for the numbers in it (however deep in dictionaries) that JSON has not."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass
class ManifoldCheck:
    """How far tuning to one photo moved the rest of the manifold: the Fréchet distance of random images before and after.

    Both are drawn with the same seeds and with random noise, and compared with the bundle's training images; for a model that comes without
    any, with other samples of the untouched generator.

    Attributes:
        samples: images drawn for each distance. It shrinks as they get more, so a report states their number.
        progress: called with the number of images drawn and their total.
    """

    gan: Bundle
    samples: int = SAMPLES
    progress: Callable[[int, int], None] | None = None

    @cached_property
    def reference(self) -> tuple[FrechetStatistics, str]:
        """What samples are compared with, and its name."""
        gan = self.gan
        if gan.statistics is not None:
            return gan.statistics, f"{gan.statistics.n} training images"
        if gan.reference is not None:
            return feature_statistics(gan.reference), f"{len(gan.reference)} training images"
        return generator_statistics(
            gan.G, self.samples, seed=1, cache=True
        ), f"{self.samples} other samples of the untouched generator"

    @cached_property
    def before(self) -> float:
        """The distance of the untouched generator, the same for every photo; kept in the user's cache."""
        return self.distance(self.gan.G, cache=True)

    def distance(self, G: Generator, cache: bool = False) -> float:
        """The distance of ``G``'s random images to the reference."""
        reference, _ = self.reference
        drawn = generator_statistics(
            G, self.samples, SEED, features=reference.features, cache=cache, progress=self.progress
        )
        return frechet_distance(drawn, reference)

    def __call__(self, result: Inversion) -> dict[str, Any]:
        """``{"features", "samples", "compared_with", "before", "after"}`` for the inversion of one photo."""
        reference, name = self.reference
        after = self.distance(result.generator)
        return {
            "features": reference.features,
            "samples": self.samples,
            "compared_with": name,
            "before": self.before,
            "after": after,
        }


def write_results(folder: str | Path, result: Inversion, report: dict[str, Any]) -> None:
    """Write ``reconstruction.png``, ``comparison.png``, the clone and ``report.json`` into ``folder``.

    All are complete before the first one takes its place, so an earlier run's files stay until then, and never mix with half of these.

    Raises:
        GanInvError: the folder cannot be written; or the comparison cannot be drawn, and the others have been written.
    """
    from . import plots  # Matplotlib, which nothing else here needs

    with staged(folder, "comparison.png") as stage:
        result.save(stage)
        failure = draw(stage / "comparison.png", lambda: plots.compare(result.target, result.initial, result.image))
        write_text(stage / "report.json", json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if failure:
        raise GanInvError(f"{Path(folder) / 'comparison.png'} {failure}: the other results are there.")


def draw(path: Path, figure: Callable[[], Figure]) -> str:
    """Write what ``figure`` draws to ``path``. A picture is not to cost the numbers: what goes wrong is returned, as the end of a sentence.

    Raises:
        OSError: the file cannot be written.
    """
    from . import plots

    try:
        plots.use_style()
        plots.save_figure(path, figure())
    except OSError:
        raise
    except Exception as error:  # whatever a drawing stumbles over
        return f"could not be drawn ({sentence(error)})"
    return ""


@contextmanager
def staged(folder: str | Path, *optional: str) -> Iterator[Path]:
    """Yield an empty folder inside ``folder``; on success its files move up, replacing those of the same name, ``report.json`` last.

    Files named as ``optional`` that an earlier run has left go, if there are no new ones.

    Raises:
        GanInvError: the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as name:
            yield Path(name)
            new = sorted(Path(name).iterdir(), key=lambda path: path.name == "report.json")
            for path in new:
                os.replace(path, folder / path.name)
            for old in {*optional} - {path.name for path in new}:
                (folder / old).unlink(missing_ok=True)
    except OSError as error:
        raise GanInvError(f"{folder} cannot be written ({error.strerror or error}): choose another folder.") from error
