"""What a study found: one row a photo and variant, means and spreads, and the files that hold them."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from .. import __version__
from ..devices import describe
from ..errors import GanInvError
from ..files import write_text
from ..photos import check_images
from ..report import SEED, ManifoldCheck, draw, finite, staged, versions
from ..zoo import Bundle
from .figure import MOST_PHOTOS, grid
from .tasks import Failure, Measurement, Progress, Variant, run_tasks

COLUMNS = ("mse", "mse_own_noise", "psnr", "ssim", "perceptual", "seconds", "frechet_before", "frechet_after")


@dataclass(frozen=True)
class Row:
    """One photo inverted by one variant (``method`` is the variant's name). MSE is of images in [-1, 1], PSNR in dB; ``mse_own_noise`` is the MSE
    with tuned noise maps swapped back for the generator's own, and equals ``mse`` where none were tuned; the Fréchet distances are ``None`` where
    the generator was left as it is."""

    image: str
    method: str
    mse: float
    mse_own_noise: float
    psnr: float
    ssim: float
    perceptual: float
    seconds: float
    frechet_before: float | None
    frechet_after: float | None


@dataclass
class Study:
    """A comparison of variants over photos.

    Attributes:
        command: ``"compare"`` or ``"ablate"``.
        photos, variants: what was asked for.
        trunk, samples: the perceptual trunk, and the random images behind each Fréchet distance.
        label: named in all outputs: ``"set"`` (where the photos are from), ``"profile"`` and whatever else tells studies apart.
        notes: sentences about the whole study, such as what was left out.
        rows, failures: what came out of each task.
        warnings: rows that are to be taken with care, and why.
        images: reconstructions uint8 ``[1, 3, R, R]`` by photo and variant.
        frechet: ``{"features", "samples", "seed", "compared_with", "before"}``, or ``None`` if no distance was measured.
        threads: what the tasks ran on, ascending.
    """

    command: str
    gan: Bundle
    photos: Mapping[str, Tensor]
    variants: Mapping[str, Variant]
    trunk: str
    samples: int
    label: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[Failure] = field(default_factory=list)
    images: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    frechet: dict[str, Any] | None = None
    threads: list[int] = field(default_factory=list)

    def column(self, variant: str, name: str) -> list[float]:
        """The values of a column of ``results.csv`` for one variant, photo by photo, without those that are missing."""
        return [value for row in self.rows if row.method == variant and (value := getattr(row, name)) is not None]

    def mean(self, variant: str, name: str) -> float:
        """The mean over the photos; NaN where there is none."""
        values = self.column(variant, name)
        return statistics.fmean(values) if values else math.nan

    def std(self, variant: str, name: str) -> float:
        """The standard deviation over the photos (of a sample, divided by n - 1); NaN for fewer than two."""
        values = self.column(variant, name)
        return statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else math.nan

    # -- outputs -----------------------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """All that is known about the study, as JSON values; what JSON has not (an infinite PSNR, the spread of one photo) is ``None``."""
        methods = {}
        for name, variant in self.variants.items():
            numbers = {
                column: {"mean": finite(self.mean(name, column)), "std": finite(self.std(name, column))}
                for column in COLUMNS[:6]
            }
            numbers[f"perceptual_{self.trunk}"] = numbers.pop("perceptual")
            if after := self.column(name, "frechet_after"):
                numbers["frechet_after"] = {
                    "mean": finite(statistics.fmean(after)),
                    "std": finite(self.std(name, "frechet_after")),
                }
            config = asdict(variant.config)
            methods[name] = {
                "method": variant.method,
                "images": len(self.column(name, "mse")),
                **numbers,
                "seed": config.get("seed"),
                "config": config,
            }
        return {
            "command": self.command,
            **self.label,
            "model": self.gan.name,
            "model_sha256": self.gan.sha256,
            "versions": versions(),
            "device": describe(self.gan.device),
            "precision": self.gan.precision,
            "threads": self.threads,
            "images": list(self.photos),
            "perceptual_trunk": self.trunk,
            "frechet": self.frechet,
            "methods": methods,
            "notes": self.notes,
            "warnings": [asdict(warning) for warning in self.warnings],
            "failures": [asdict(failure) for failure in self.failures],
        }

    def markdown(self) -> str:
        """The summary as a Markdown page with one table."""
        measured = self.frechet is not None
        head = [
            "method",
            "photos",
            "MSE",
            "MSE, own noise",
            "PSNR (dB)",
            "SSIM",
            f"perceptual ({self.trunk})",
            "seconds",
            *(["Fréchet distance"] if measured else []),
        ]
        lines = [f"# ganinv {self.command}: {self.gan.name}", "", *self._facts(), ""]
        lines += [f"| {' | '.join(head)} |", f"|---{'|---:' * (len(head) - 1)}|"]
        for name in self.variants:
            cells = [name, str(len(self.column(name, "mse")))]
            digits = {"mse": ".4f", "mse_own_noise": ".4f", "psnr": ".1f", "ssim": ".3f", "perceptual": ".3f"}
            cells += [self.cell(name, column, format) for column, format in digits.items()]
            cells += [
                self.cell(name, "seconds", ".2f"),
                *([self.cell(name, "frechet_after", ".1f")] if measured else []),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
        lines += [f"- {note}" for note in self.notes]
        lines += [f"- {warning.variant}, {warning.image}: {warning.reason}" for warning in self.warnings]
        lines += [f"- {failure.variant}, {failure.image}: failed, {failure.reason}" for failure in self.failures]
        return "\n".join(lines).rstrip() + "\n"

    def cell(self, variant: str, column: str, digits: str) -> str:
        """``mean ± std`` over the photos."""
        mean, std = self.mean(variant, column), self.std(variant, column)
        if math.isnan(mean):
            return "–"
        number = "∞" if math.isinf(mean) else format(mean, digits)
        return number if math.isnan(std) else f"{number} ± {std:{digits}}"

    def _facts(self) -> list[str]:
        """Under which conditions the numbers were measured, as Markdown."""
        facts = [f"{name}: {value}" for name, value in self.label.items() if value]
        facts += [
            f"photos: {len(self.photos)}",
            f"ganinv {__version__}, PyTorch {torch.__version__}, Python {platform.python_version()}",
        ]
        facts += [f"weights {self.gan.sha256[:12]}"]
        lines = [
            "; ".join(facts) + ".",
            f"Mean ± standard deviation over the photos; MSE of images in [-1, 1]; seconds a photo on {_threads(self.threads)}.",
            "Own noise: with tuned noise maps swapped back for the generator's own; the same number where none were tuned.",
        ]
        if self.frechet is not None:
            how = "{features}, {samples} samples of seed {seed}, against {compared_with}".format(**self.frechet)
            lines.append(
                f"Fréchet distance of the tuned generator ({how}); the untouched generator's is {self.frechet['before']:.1f}."
            )
        return lines

    def csv(self) -> str:
        """One row a photo and variant, in full precision; cells without a value are empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(
            ["image", "method", *(f"perceptual_{self.trunk}" if name == "perceptual" else name for name in COLUMNS)]
        )
        for row in self.rows:
            writer.writerow(
                [row.image, row.method, *("" if (value := getattr(row, name)) is None else value for name in COLUMNS)]
            )
        return text.getvalue()

    def save(self, folder: str | Path) -> Path:
        """Write ``results.csv``, ``summary.json``, ``summary.md`` and ``grid.png`` (of the first photos).

        Raises:
            GanInvError: the folder cannot be written; or the grid cannot be drawn, and the others have been written.
        """
        failure = ""
        with staged(folder, "grid.png") as stage:
            write_text(stage / "results.csv", self.csv())
            write_text(
                stage / "summary.json", json.dumps(self.summary(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
            )
            write_text(stage / "summary.md", self.markdown())
            if self.rows:
                first = dict(list(self.photos.items())[:MOST_PHOTOS])
                failure = draw(stage / "grid.png", lambda: grid(first, list(self.variants), self.images))
        if failure:
            raise GanInvError(f"{Path(folder) / 'grid.png'} {failure}: the other results are there.")
        return Path(folder)


S = TypeVar("S", bound=Study)


def run_study(study: S, jobs: int, backend: str, cache: str | os.PathLike[str] | None, progress: Progress | None) -> S:
    """Work out the tasks of ``study`` and fill in what they found; returns it."""
    if not study.photos:
        raise GanInvError("a study needs at least one photo.")
    if not study.variants:
        raise GanInvError("a study needs at least one method.")
    if study.samples and study.samples < 2:
        raise GanInvError(f"a Fréchet distance needs at least two samples, not {study.samples}; 0 measures none.")
    study.photos = {name: check_images(target, study.gan.resolution) for name, target in study.photos.items()}
    outcomes, study.failures = run_tasks(
        study.gan, study.photos, study.variants, Measurement(study.trunk, study.samples), jobs, backend, cache, progress
    )
    before = None
    if any(outcome.frechet_after is not None for outcome in outcomes.values()):
        check = ManifoldCheck(study.gan, study.samples)
        reference, compared_with = check.reference
        before = check.before
        study.frechet = {
            "features": reference.features,
            "samples": study.samples,
            "seed": SEED,
            "compared_with": compared_with,
            "before": before,
        }
    for (photo, variant), outcome in outcomes.items():
        scores = outcome.scores
        after = outcome.frechet_after
        errors = (scores["mse"], scores["mse_own_noise"])
        numbers = (*errors, scores["psnr"], scores["ssim"], scores["perceptual"][study.trunk], outcome.seconds)
        study.rows.append(Row(photo, variant, *numbers, None if after is None else before, after))
        study.images[photo, variant] = outcome.image
        study.warnings += [Failure(photo, variant, sentence) for sentence in outcome.warnings]
    study.threads = sorted({outcome.threads for outcome in outcomes.values()})
    return study


def _threads(threads: list[int]) -> str:
    return " or ".join("1 thread" if n == 1 else f"{n} threads" for n in threads) or "no threads"
