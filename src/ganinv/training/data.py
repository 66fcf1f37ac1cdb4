"""The training images of ``faces64``: draws of the DCGAN, the same bytes on every machine, and 64 more that are held out.

The second edition's are the 40,000 framed portraits of a :class:`~ganinv.training.selection.Selection`; the first edition's were plain draws.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import GanInvError
from ..files import atomic_path, write_text
from . import selection as selecting
from .dcgan import Z_DIM, load_dcgan, render_dcgan
from .selection import Selection, candidates, warp

SEED = 20220223  # the day the paper appeared on arXiv
NUM_IMAGES, NUM_HELDOUT = 40_000, 64
CHUNK = 250  # images drawn from one sub-seed: the unit of work, and of reproducibility
BATCH = 50  # codes drawn at once
HELDOUT_CHUNK = 1_000_000  # of the candidates: where those of the held-out images begin


def draw_chunk(seed: int, index: int, size: int = CHUNK) -> np.ndarray:
    """The first ``size`` plain draws ``[size, 3, 64, 64]`` uint8 of one chunk; they depend on ``(seed, index)`` alone, whoever computes them."""
    generator = torch.Generator().manual_seed(seed * 100_003 + index)
    net = load_dcgan()
    images = []
    for start in range(0, size, BATCH):
        z = torch.randn(BATCH, Z_DIM, 1, 1, generator=generator, device="cpu", dtype=torch.float64)
        images.append(render_dcgan(net, z[: size - start]).numpy())
    return np.concatenate(images)


def draw_images(
    path: str | Path,
    n: int = NUM_IMAGES,
    seed: int = SEED,
    first_chunk: int = 0,
    jobs: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Draw ``n`` plain images into the array file ``path`` (``.npy``, uint8 ``[n, 3, 64, 64]``) and return the sha256 of the pixels.

    A JSON file beside it records seed, count and checksum. The same arguments give the same bytes on every machine.
    """
    tasks = [(seed, first_chunk + i, min(CHUNK, n - start)) for i, start in enumerate(range(0, n, CHUNK))]
    return _write(Path(path), n, draw_chunk, tasks, {"seed": seed, "first_chunk": first_chunk}, jobs, progress)


def draw_kept(seed: int, index: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """The framed images ``[M, 3, 64, 64]`` uint8 of candidates: their numbers ``[M]``, their stored transforms int16 ``[M, 4]``."""
    net = load_dcgan()
    chunk, row = np.divmod(index, selecting.CHUNK)
    z = torch.cat([candidates(seed, c)[row[chunk == c]] for c in np.unique(chunk).tolist()])
    batches = zip(z.split(BATCH), range(0, len(z), BATCH), strict=True)
    return np.concatenate(
        [warp(render_dcgan(net, part[:, :, None, None]), transform[i : i + BATCH]).numpy() for part, i in batches]
    )


def draw_selection(
    path: str | Path, selection: Selection, jobs: int = 2, progress: Callable[[int, int], None] | None = None
) -> str:
    """Draw the images of a selection into the array file ``path`` (``.npy``, uint8 ``[M, 3, 64, 64]``) and return the sha256 of the pixels.

    A JSON file beside it records seed, count and checksum. The same selection gives the same bytes on every machine.
    """
    n = len(selection)
    tasks = [
        (selection.seed, selection.index[i : i + CHUNK], selection.transform[i : i + CHUNK]) for i in range(0, n, CHUNK)
    ]
    record = {
        "seed": selection.seed,
        "candidates": [int(selection.index[0]), int(selection.index[-1])],
        "selected": True,
    }
    return _write(Path(path), n, draw_kept, tasks, record, jobs, progress)


def _write(
    path: Path,
    n: int,
    draw: Callable[..., np.ndarray],
    tasks: Iterable[tuple[Any, ...]],
    record: dict[str, Any],
    jobs: int,
    progress: Callable[[int, int], None] | None,
) -> str:
    """Write the ``n`` images that ``draw`` gives for one task after another, and the record of them; return the sha256 of the pixels."""
    with atomic_path(path) as temporary:
        out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(n, 3, 64, 64))
        digest, done = hashlib.sha256(), 0
        # A process per core is faster here than a process with a thread per core.
        with ProcessPoolExecutor(max_workers=jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for images in pool.map(draw, *zip(*tasks, strict=True)):
                out[done : done + len(images)] = images
                digest.update(images.tobytes())
                done += len(images)
                if progress:
                    progress(done, n)
        out.flush()
        del out
    record = {"source": "gan-face-generate 1.1.1 (MIT)", **record, "images": n, "sha256": digest.hexdigest()}
    write_text(path.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    return digest.hexdigest()


def shipped_selection(name: str) -> Selection:
    """The selection ``"train"`` or ``"heldout"`` that the images of ``faces64`` are drawn from."""
    return Selection.load(str(files("ganinv") / "assets/selection" / f"{name}.npz"))


def draw_training_set(
    folder: str | Path,
    n: int = NUM_IMAGES,
    heldout: int = NUM_HELDOUT,
    plain: bool = False,
    jobs: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """``ganinv train data``: write ``train.npy`` and ``heldout.npy`` into ``folder``; return their checksums.

    The images are those of the selections that ship; with ``plain``, the unselected draws that the first edition of ``faces64`` was trained on.
    Held-out images come from candidates that no training set uses.

    Raises:
        GanInvError: more images are asked for than were selected.
    """
    train, held = Path(folder) / "train.npy", Path(folder) / "heldout.npy"
    if plain:  # chunks of a training set of up to 2.5 million images lie below 10,000
        return {
            "train": draw_images(train, n, jobs=jobs, progress=progress),
            "heldout": draw_images(held, heldout, first_chunk=10_000, jobs=1),
        }
    chosen = {"train": shipped_selection("train"), "heldout": shipped_selection("heldout")}
    for name, wanted in (("train", n), ("heldout", heldout)):
        if wanted > len(chosen[name]):
            raise GanInvError(
                f"{wanted:,} {name} images were asked for, but {len(chosen[name]):,} are selected: select more with `ganinv train select`."
            )
    return {
        "train": draw_selection(train, chosen["train"].first(n), jobs, progress),
        "heldout": draw_selection(held, chosen["heldout"].first(heldout), 1),
    }


def open_images(path: str | Path) -> np.ndarray:
    """Memory-map an array of images uint8 ``[M, 3, R, R]``.

    Raises:
        GanInvError: the file is missing or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise GanInvError(
            f"{path} does not exist: draw the training images first with `ganinv train data {path.parent}`."
        )
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(images, np.ndarray):
            raise ValueError("an archive of arrays")
    except Exception as error:  # the file decides what goes wrong
        raise GanInvError(
            f"{path} is not an array of images: draw it again with `ganinv train data {path.parent}`."
        ) from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise GanInvError(
            f"{path} should hold uint8 images [M, 3, R, R], but holds {images.dtype} {list(images.shape)}."
        )
    return images
