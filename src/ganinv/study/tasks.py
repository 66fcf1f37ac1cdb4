"""The unit of a study: one photo inverted by one variant, scored, and kept in the cache."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor

from ..cache import cache_folder, fingerprint, software
from ..errors import GanInvError
from ..files import atomic_path
from ..inversion import METHODS
from ..perception.features import EFFICIENTNET
from ..photos import to_uint8
from ..report import SEED, ManifoldCheck
from ..run import DivergenceWarning
from ..settings import encoder_names
from ..zoo import Bundle
from .backends import LOCAL, spread


@dataclass(frozen=True)
class Variant:
    """A column of a study: a method (a name in ``METHODS``) under a configuration."""

    method: str
    config: Any


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
    methods = {name: _method(gan, variant) for name, variant in variants.items()}
    tasks = [(photo, variant) for variant in variants for photo in photos]  # those of one method beside each other: they take equally long
    files = {(photo, variant): folder / f"{fingerprint(base, methods[variant], photos[photo])}.npz" for photo, variant in tasks}
    outcomes = {key: found for key in tasks if (found := _read(files[key])) is not None}
    failures: list[Failure] = []
    waiting = [key for key in tasks if key not in outcomes]
    if progress:
        progress(len(outcomes), len(tasks), "")
    if not waiting:
        return outcomes, failures
    _check_writable(folder)
    load_perceptual(measurement.trunk)  # what cannot be had is to be said once
    # Whatever all tasks share is computed here, once, and travels with them.
    check = ManifoldCheck(gan, measurement.samples) if measurement.samples else None
    if check:
        _ = check.reference
    calls = [joblib.delayed(attempt)(key, gan, photos[key[0]], variants[key[1]], _function(variants[key[1]]), measurement, check) for key in waiting]
    with closing(spread(calls, jobs, backend)) as results:
        for key, result in results:
            if isinstance(result, Outcome):
                outcomes[key] = result
                _write(files[key], result)
            else:
                failures.append(Failure(key[0], key[1], result))
            if progress:
                progress(len(outcomes) + len(failures), len(tasks), f"{key[1]}, {key[0]}")
    return {key: outcomes[key] for key in tasks if key in outcomes}, sorted(failures, key=lambda f: tasks.index((f.image, f.variant)))


def _function(variant: Variant) -> Callable[..., Any]:
    """The method itself: a worker on another machine knows only those that ganinv comes with."""
    if variant.method not in METHODS:
        raise GanInvError(f"There is no method {variant.method!r}: choose from {', '.join(METHODS)}.")
    return METHODS[variant.method].function


def attempt(
    key: Key, gan: Bundle, target: Tensor, variant: Variant, function: Callable[..., Any], measurement: Measurement, check: ManifoldCheck | None
) -> tuple[Key, Outcome | str]:
    """Run one task, in whatever process; an error of its own becomes a sentence, and does not end the others."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)  # it is in the result, too
            result = function(gan, target, variant.config)
        scores = result.scores_by((measurement.trunk,))[0]
        after = check.distance(result.generator) if check is not None and result.tuned else None
        said = [sentence for sentence in result.warnings if sentence]  # a photo that all went well with has an empty one
        return key, Outcome(to_uint8(result.image.clamp(-1, 1)), scores, result.seconds, torch.get_num_threads(), after, said)
    except GanInvError as error:
        return key, str(error)
    except Exception as error:  # one method's fault is not to cost the results of the others
        return key, f"{type(error).__name__}: {error}"


# --- the cache --------------------------------------------------------------------------------------------------------------------------------


def _setting(gan: Bundle, measurement: Measurement) -> str:
    """What all tasks of a study depend on: weights, images and statistics of the bundle, what is measured, and the software."""
    statistics = None if gan.statistics is None else torch.from_numpy(np.concatenate([gan.statistics.mean[None], gan.statistics.cov]))
    return fingerprint("1", gan.G, gan.D, gan.reference, statistics, repr(measurement), f"samples of seed {SEED}", software())


def _method(gan: Bundle, variant: Variant) -> str:
    """What a variant's tasks depend on besides: method and configuration, and the encoders in it, forms and weights (which are read here, once,
    and travel with the bundle)."""
    networks = [gan.encoder(name) for name in encoder_names(variant.config)]
    forms = [(type(network).__name__, getattr(network, "config", None)) for network in networks]
    return fingerprint(variant.method, repr(variant.config), repr(forms), *networks)


def _check_writable(folder: Path) -> None:
    """A cache that cannot be written is found before the work, not after it."""
    try:
        with atomic_path(folder / "probe") as temporary:
            temporary.write_bytes(b"")
        (folder / "probe").unlink()
    except OSError as error:
        raise GanInvError(
            f"{folder}, where finished tasks are kept, cannot be written ({error.strerror or error}): name another folder in GANINV_CACHE."
        ) from error


def _write(path: Path, outcome: Outcome) -> None:
    record = json.dumps({name: getattr(outcome, name) for name in ("scores", "seconds", "threads", "frechet_after", "warnings")})
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, image=outcome.image.numpy(), record=record)
    except OSError as error:
        raise GanInvError(f"{path}, a finished task, cannot be written ({error.strerror or error}): name another folder in GANINV_CACHE.") from error


def _read(path: Path) -> Outcome | None:
    try:
        with np.load(path, allow_pickle=False) as data:
            return Outcome(torch.from_numpy(data["image"]), **json.loads(str(data["record"])))
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        return None  # none there, or a damaged one, which will be replaced
