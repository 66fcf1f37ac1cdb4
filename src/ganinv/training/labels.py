"""Make labels: run the labellers over the samples of a generator, chunk after chunk, and combine what they measured into attributes.

Every chunk is a file, so nothing is lost where the run is stopped, and the same call goes on. What is measured is kept apart from the attributes that
are made of it: :func:`combine` puts, for instance, two opinions on age together.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..attributes.labels import ATTRIBUTES, FOLDER, sample_codes
from ..errors import GanInvError
from ..files import atomic_path, write_text
from ..run import Interrupt, alone
from .labellers import SOURCES, Labellers, Recogniser

if TYPE_CHECKING:
    from ..zoo import Bundle

CHUNK = 100  # images of a file
NUM_SAMPLES, SEED = 20_000, 2026
PROBES = FOLDER / "probes.npz"
Measure = Callable[[np.ndarray], np.ndarray]  # of images uint8 [N, 3, 64, 64], rows [N, M]


@alone()
def draw_samples(gan: Bundle, n: int, seed: int, start: int = 0) -> np.ndarray:
    """The plain samples number ``start`` to ``n - 1`` of a seed, uint8 ``[n - start, 3, R, R]``, drawn with ``noise_mode="const"``."""
    images = []
    with torch.no_grad():
        for z in sample_codes(gan, n, seed)[start:].split(CHUNK):
            drawn = gan.G.synthesis(gan.G.mapping(z), noise_mode="const")
            images.append((drawn * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy())
    return np.concatenate(images)


class Samples:
    """The images to measure, by chunk: a generator's plain samples."""

    def __init__(self, gan: Bundle, n: int, seed: int):
        self.gan, self.n, self.seed = gan, n, seed
        self.key: dict[str, Any] = {"generator": gan.sha256, "seed": seed}

    def __call__(self, chunk: int) -> np.ndarray:
        return draw_samples(self.gan, min((chunk + 1) * CHUNK, self.n), self.seed, chunk * CHUNK)


class Images:
    """The images to measure, by chunk: those of an array file, uint8 ``[M, 3, 64, 64]``."""

    def __init__(self, path: Path, n: int):
        from .data import open_images

        self.array, self.n = open_images(path), n
        self.key: dict[str, Any] = {"images": path.name}

    def __call__(self, chunk: int) -> np.ndarray:
        return np.array(self.array[chunk * CHUNK : min((chunk + 1) * CHUNK, self.n)])


def measure(
    source: Samples | Images,
    folder: Path,
    make: Callable[[], Measure],
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Measure the images of ``source``, and keep each chunk in ``folder``; chunks that are there are not measured again.

    Args:
        make: gives the labellers, in each process once.
        jobs: processes.
        progress: called with (images measured, of so many).

    Returns:
        ``[N, M]``, NaN where no face was found.

    Raises:
        GanInvError: ``folder`` holds what was measured of other images, or a labeller cannot be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, source.key)
    sizes = [min(CHUNK, source.n - start) for start in range(0, source.n, CHUNK)]
    found = {chunk: rows for chunk, size in enumerate(sizes) if (rows := _kept(folder, chunk, size)) is not None}
    done = sum(sizes[chunk] for chunk in found)
    missing = [chunk for chunk in range(len(sizes)) if chunk not in found]

    def keep(chunk: int, rows: np.ndarray) -> None:
        nonlocal done
        found[chunk] = rows
        with atomic_path(_file(folder, chunk)) as temporary, open(temporary, "wb") as file:
            np.savez(file, values=rows)
        done += len(rows)
        if progress:
            progress(done, source.n)

    if progress:
        progress(done, source.n)
    with Interrupt() as interrupt:
        if jobs == 1:
            labellers = make() if missing else None
            for chunk in missing:
                assert labellers is not None
                keep(chunk, labellers(source(chunk)))
                if interrupt.pending:
                    raise KeyboardInterrupt
        elif missing:
            with ProcessPoolExecutor(jobs, initializer=_be_worker, initargs=(source, make)) as pool:
                waiting = {pool.submit(_measure_chunk, chunk): chunk for chunk in missing}
                try:
                    for future in as_completed(waiting):
                        keep(waiting[future], future.result())
                        if interrupt.pending:
                            raise KeyboardInterrupt
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
    return np.concatenate([found[chunk] for chunk in range(len(sizes))])


def _claim(folder: Path, key: dict[str, Any]) -> None:
    path = folder / "images.json"
    if not path.is_file():
        write_text(path, json.dumps(key))
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        kept = None
    if kept != key:
        raise GanInvError(f"{folder} holds labels of other images: name another folder, or delete it.")


def _file(folder: Path, chunk: int) -> Path:
    return folder / f"{chunk:05d}.npz"


def _kept(folder: Path, chunk: int, size: int) -> np.ndarray | None:
    """What was measured of a chunk; ``None`` where there is nothing yet, or the chunk was a shorter one."""
    path = _file(folder, chunk)
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            rows = file["values"]
        return rows if len(rows) == size else rows[:size] if len(rows) > size else None
    except Exception as error:
        raise GanInvError(f"{path} is damaged: delete it, and it is made again. ({type(error).__name__})") from error


_worker: tuple[Samples | Images, Callable[[], Measure]]


def _be_worker(source: Samples | Images, make: Callable[[], Measure]) -> None:
    global _worker
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    os.environ.setdefault("GLOG_minloglevel", "3")  # what MediaPipe says of itself helps nobody
    _worker = source, cache(make)


def _measure_chunk(chunk: int) -> np.ndarray:
    source, make = _worker
    return make()(source(chunk))


def attribute_labellers(weights: Path) -> Labellers:
    return Labellers(weights, PROBES)


def recogniser(weights: Path) -> Recogniser:
    return Recogniser(weights)


@dataclass
class Embeddings:
    """A face recogniser's embeddings ``values`` ``[N, 128]`` of the plain samples of a generator and seed (or of other images)."""

    values: np.ndarray
    generator: str
    seed: int

    def save(self, path: str | Path) -> Path:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                embeddings=self.values.astype(np.float16),
                generator=np.array(self.generator),
                seed=np.array(self.seed),
            )
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Embeddings:
        """
        Raises:
            GanInvError: the file is missing, or holds no embeddings.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                values = file["embeddings"].astype(np.float32)
                found = cls(values, str(file["generator"][()]), int(file["seed"]))
            if values.ndim != 2 or not np.isfinite(values).all():
                raise ValueError("no table of numbers")
        except Exception as error:  # the file decides what goes wrong
            raise GanInvError(
                f"{path} does not hold embeddings ({type(error).__name__}): make them with `ganinv train labels --identity`."
            ) from error
        return found

    def check(self, gan: Bundle) -> None:
        """
        Raises:
            GanInvError: they are of another generator's samples.
        """
        if gan.sha256 != self.generator:
            raise GanInvError(
                f"these embeddings are not of {gan.name}'s samples: make its own with `ganinv train labels --identity --model {gan.name}`."
            )


# -- attributes out of measurements --------------------------------------------------------------------------------------

COMBINED = ("smile", "brow_down", "angry", "age_c", "age_b", "gender_c", "gender_b")
HAT = 0.0  # log-odds above which what is seen above the eyes is not hair


def population(values: np.ndarray) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation, over the rows ``[N, M]``, of what is combined."""
    columns = _columns(values)
    return {name: (float(np.nanmean(columns[name])), float(np.nanstd(columns[name]))) for name in COMBINED}


def combine(values: np.ndarray, among: dict[str, tuple[float, float]]) -> np.ndarray:
    """The attributes ``[N, K]`` of what was measured ``[N, M]``.

    Opinions are added in standard deviations ``among`` a population: anger is angry + brows down - .7 smile, age and gender are the mean of two
    networks (of the first, over the mirror image, too). Hair has no colour under a hat.
    """
    m = _columns(values)

    def z(name: str) -> np.ndarray:
        mean, deviation = among[name]
        return (m[name] - mean) / max(deviation, 1e-9)

    bare = m["hat"] < HAT
    age_mean, age_deviation = among["age_c"]
    columns = {
        "smile": m["smile"],
        "mouth_open": m["jaw_open"],
        "anger": z("angry") + z("brow_down") - 0.7 * z("smile"),
        "age": age_mean + age_deviation * (z("age_c") + z("age_b")) / 2,
        "gender": (z("gender_c") + z("gender_b")) / 2,
        "yaw": m["yaw"],
        "pitch": m["pitch"],
        "gaze": m["gaze"],
        "eyeglasses": m["eyeglasses"],
        "beard": m["beard"],
        "hat": m["hat"],
        "hair_lightness": np.where(bare, m["hair_l"], np.nan),
        "lip_redness": m["lip_redness"],
    }
    return np.stack([columns[attribute.name] for attribute in ATTRIBUTES], axis=1).astype(np.float32)


def _columns(values: np.ndarray) -> dict[str, np.ndarray]:
    columns = dict(zip(Labellers.names, values.T, strict=True))
    for name in ("age_c", "gender_c"):
        columns[name] = (columns[name] + columns[f"{name}_mirrored"]) / 2
    return columns


def provenance(n: int) -> dict[str, Any]:
    """Where labels come from, for their file: the packages, files and licences of the labellers, and when."""
    return {
        "images": n,
        "date": time.strftime("%Y-%m-%d"),
        "labellers": {name: {"file": s.file, **vars(s)} for name, s in SOURCES.items() if name != "recogniser"},
    }
