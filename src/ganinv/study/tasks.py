"""The unit of a study: one photo inverted by one variant, scored, and kept in the cache."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import joblib
import numpy as np
import torch
from torch import Tensor

from ..cache import CacheWarning, cache_folder, fingerprint, software
from ..errors import GanInvError, sentence
from ..files import atomic_path
from ..inversion import METHODS
from ..perception.features import EFFICIENTNET
from ..photos import to_uint8
from ..report import SEED, ManifoldCheck
from ..run import DivergenceWarning
from ..settings import encoder_names
from ..zoo import Bundle
from .backends import LOCAL, spread
from .kept import inverted, shelves


@dataclass(frozen=True)
class Variant:
    """A column of a study: a method (a name in ``METHODS``) under a configuration."""

    method: str
    config: Any

    @property
    def function(self) -> Callable[..., Any]:
        """``function(gan, target, config)``, the method itself: a worker on another machine knows only those that ganinv comes with.

        Raises:
            GanInvError: there is no such method.
        """
        if self.method not in METHODS:
            raise GanInvError(f"There is no method {self.method!r}: choose from {', '.join(METHODS)}.")
        return METHODS[self.method].function

    @property
    def identity(self) -> tuple[str, ...]:
        """What the outcome depends on, in words."""
        return self.method, repr(self.config)


@dataclass
class Outcome:
    """What is kept of one task.

    Attributes:
        image: the reconstruction, uint8 ``[1, 3, R, R]``.
        scores: of the reconstruction before it was rounded, as :meth:`ganinv.inversion.Inversion.scores_by` gives them.
        seconds: wall time of the method, on ``threads`` threads.
        frechet_after: Fréchet distance of the tuned generator; ``None`` if the generator was left as it is, or nothing was to be measured.
        warnings: what went wrong on the way, in sentences (see :class:`ganinv.inversion.Inversion`).
    """

    image: Tensor
    scores: dict[str, Any]
    seconds: float
    threads: int
    frechet_after: float | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Failure:
    """A task that could not be done, or was done with a warning, and why, in one sentence."""

    image: str
    variant: str
    reason: str


@dataclass(frozen=True)
class Measurement:
    """What is measured in every task: the perceptual trunk, and how many samples are behind a Fréchet distance (0 for none)."""

    trunk: str = EFFICIENTNET
    samples: int = 0


T = TypeVar("T")
Key = tuple[str, str]  # photo, variant
Progress = Callable[[int, int, str], None]


def run_tasks(
    gan: Bundle,
    photos: Mapping[str, Tensor],
    variants: Mapping[str, Variant],
    measurement: Measurement,
    jobs: int = 1,
    backend: str = LOCAL,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> tuple[dict[Key, Outcome], list[Failure]]:
    """The outcomes of all tasks, taken from the cache or worked out; whatever is finished is kept, also when an error or Ctrl-C ends the rest.

    Args:
        jobs, backend: see :func:`ganinv.study.backends.spread`.
        cache: folder of finished tasks (:func:`ganinv.cache.cache_folder` by default).
        progress: called with the tasks done, their number and the name of the last one.

    Raises:
        GanInvError: the trunk or an encoder cannot be had, the cache cannot be written, or the backend fails.
    """
    from ..perception.perceptual import load_perceptual  # lpips and torchvision take a second or two to import

    folder = Path(cache or cache_folder()) / "studies"
    base = _setting(gan, measurement)
    methods = {name: depends_on(gan, variant) for name, variant in variants.items()}
    # those of one method beside each other: they take equally long
    tasks = [(photo, variant) for variant in variants for photo in photos]
    files = {
        (photo, variant): folder / f"{fingerprint(base, methods[variant], photos[photo])}.npz"
        for photo, variant in tasks
    }

    def calls(waiting: Sequence[Key]) -> list[Any]:
        load_perceptual(measurement.trunk)  # what cannot be had is to be said once
        # Whatever all tasks share is computed here, once, and travels with them.
        check = ManifoldCheck(gan, measurement.samples) if measurement.samples else None
        device, home = gan.device, gan.to("cpu")
        kept = shelves(folder.parent, gan, methods, photos, backend)
        if check:
            _ = check.reference
            check.gan = home
        return [
            joblib.delayed(attempt)(
                key,
                home,
                device,
                photos[key[0]],
                variants[key[1]],
                variants[key[1]].function,
                kept[key],
                measurement,
                check,
            )
            for key in waiting
        ]

    return spread_tasks(files, calls, _read, _arrays, jobs, backend, progress)


def spread_tasks(
    files: Mapping[Key, Path],
    calls: Callable[[Sequence[Key]], list[Any]],
    read: Callable[[Path], T | None],
    arrays: Callable[[T], dict[str, Any]],
    jobs: int,
    backend: str,
    progress: Progress | None,
) -> tuple[dict[Key, T], list[Failure]]:
    """The results of tasks, each from its file or worked out, in the order of ``files``; what is finished is kept, whatever ends the rest.

    Args:
        files: where the result of each task is kept, all in one folder.
        calls: ``joblib.delayed`` calls for the tasks that wait; each gives its task and the result, or a sentence why there is none.
        read: the result in a file, or ``None`` where there is none.
        arrays: what a file holds of a result, by name.

    Raises:
        GanInvError: the folder cannot be written, or the backend fails.
    """
    done = {key: found for key, file in files.items() if (found := read(file)) is not None}
    failures: list[Failure] = []
    waiting = [key for key in files if key not in done]
    if progress:
        progress(len(done), len(files), "")
    if not waiting:
        return done, failures
    check_writable(files[waiting[0]].parent)
    keeps = True
    with closing(spread(calls(waiting), jobs, backend)) as results:
        for key, result in results:
            if isinstance(result, str):
                failures.append(Failure(key[0], key[1], result))
            else:
                done[key] = result
                keeps = keeps and _write(files[key], arrays(result))
            if progress:
                progress(len(done) + len(failures), len(files), f"{key[1]}, {key[0]}")
    tasks = list(files)
    return {key: done[key] for key in tasks if key in done}, sorted(
        failures, key=lambda f: tasks.index((f.image, f.variant))
    )


def attempt(
    key: Key,
    gan: Bundle,
    device: torch.device,
    target: Tensor,
    variant: Variant,
    function: Callable[..., Any],
    kept: Path | None,
    measurement: Measurement,
    check: ManifoldCheck | None,
) -> tuple[Key, Outcome | str]:
    """Run one task, in whatever process, on a device of its machine; an error of its own becomes a sentence, and does not end the others.

    Bundles travel on the CPU, so that what cannot be had where they arrive is such an error.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)  # it is in the result, too
            result = inverted(gan.to(device), target, variant.config, function, kept)
        scores = result.scores_by((measurement.trunk,))[0]
        after = check.distance(result.generator) if check is not None and result.tuned else None
        # a photo that all went well with has an empty one
        said = [sentence for sentence in result.warnings if sentence]
        return key, Outcome(
            to_uint8(result.image.clamp(-1, 1)), scores, result.seconds, torch.get_num_threads(), after, said
        )
    except Exception as error:  # one method's fault is not to cost the results of the others
        return key, sentence(error)


# --- the cache --------------------------------------------------------------------------------------------------------------------------------


def _setting(gan: Bundle, measurement: Measurement) -> str:
    """What all tasks of a study depend on: weights, images and statistics of the bundle, what is measured, and the software."""
    where = f"{gan.device.type} {gan.precision}"
    statistics = (
        None
        if gan.statistics is None
        else torch.from_numpy(np.concatenate([gan.statistics.mean[None], gan.statistics.cov]))
    )
    return fingerprint(
        gan.G, gan.D, gan.reference, statistics, repr(measurement), where, f"samples of seed {SEED}", software()
    )


def depends_on(gan: Bundle, variant: Variant) -> str:
    """What a variant's tasks depend on besides: method and configuration, and the encoders in it, forms and weights (which are read here, once,
    and travel with the bundle)."""
    return fingerprint(*variant.identity, *[gan.encoder(name) for name in encoder_names(variant.config)])


def check_writable(folder: Path) -> None:
    """A cache that cannot be written is found before the work, not after it."""
    try:
        with atomic_path(folder / "probe") as temporary:
            temporary.write_bytes(b"")
        (folder / "probe").unlink()
    except OSError as error:
        raise GanInvError(
            f"{folder}, where finished tasks are kept, cannot be written ({error.strerror or error}): name another folder in GANINV_CACHE."
        ) from error


def _arrays(outcome: Outcome) -> dict[str, Any]:
    record = json.dumps(
        {name: getattr(outcome, name) for name in ("scores", "seconds", "threads", "frechet_after", "warnings")}
    )
    return {"image": outcome.image.numpy(), "record": record}


def _write(path: Path, arrays: Mapping[str, Any]) -> bool:
    """Keep a finished task; where that is not possible any more (a full disk), warn: its result goes on without."""
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)
    except OSError as error:
        said = f"finished tasks cannot be kept any more in {path.parent} ({error.strerror or error}): name another folder in GANINV_CACHE"
        warnings.warn(said, CacheWarning, stacklevel=2)
        return False
    return True


def _read(path: Path) -> Outcome | None:
    try:
        with np.load(path, allow_pickle=False) as data:
            return Outcome(torch.from_numpy(data["image"]), **json.loads(str(data["record"])))
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        return None  # none there, or a damaged one, which will be replaced
