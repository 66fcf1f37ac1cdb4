"""The training images of ``faces64``: 40,000 DCGAN samples drawn from a recorded seed, and 64 more that are held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from ..errors import GanInvError
from ..files import atomic_path
from .dcgan import Z_DIM, load_dcgan, render_dcgan

SEED = 20220223  # the day the paper appeared on arXiv
NUM_IMAGES, NUM_HELDOUT = 40_000, 64
CHUNK = 250  # images drawn from one sub-seed: the unit of work, and of reproducibility
BATCH = 50  # codes drawn at once


def draw_chunk(seed: int, index: int, size: int = CHUNK) -> np.ndarray:
    """The first ``size`` images ``[size, 3, 64, 64]`` uint8 of one chunk; they depend on ``(seed, index)`` alone, whoever computes them."""
    generator = torch.Generator().manual_seed(seed * 100_003 + index)
    net = load_dcgan()
    images = []
    for start in range(0, size, BATCH):
        z = torch.randn(BATCH, Z_DIM, 1, 1, generator=generator, dtype=torch.float64)
        images.append(render_dcgan(net, z[: size - start]).numpy())
    return np.concatenate(images)


def draw_images(
    path: str | Path, n: int = NUM_IMAGES, seed: int = SEED, first_chunk: int = 0, jobs: int = 2, progress: Callable[[int, int], None] | None = None
) -> str:
    """Draw ``n`` images into the array file ``path`` (``.npy``, uint8 ``[n, 3, 64, 64]``) and return the sha256 of the pixels.

    A JSON file beside it records seed, count and checksum. The same arguments give the same bytes on every machine.
    """
    path = Path(path)
    sizes = [min(CHUNK, n - start) for start in range(0, n, CHUNK)]
    chunks = range(first_chunk, first_chunk + len(sizes))
    with atomic_path(path) as temporary:
        out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(n, 3, 64, 64))
        digest = hashlib.sha256()
        # A process per core is faster here than a process with a thread per core.
        with ProcessPoolExecutor(max_workers=jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for i, images in enumerate(pool.map(draw_chunk, [seed] * len(chunks), chunks, sizes)):
                out[i * CHUNK : i * CHUNK + len(images)] = images
                digest.update(images.tobytes())
                if progress:
                    progress(min((i + 1) * CHUNK, n), n)
        out.flush()
        del out
    record = {"source": "gan-face-generate 1.1.1 (MIT)", "seed": seed, "first_chunk": first_chunk, "images": n, "sha256": digest.hexdigest()}
    with atomic_path(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
    return digest.hexdigest()


def draw_training_set(
    folder: str | Path, n: int = NUM_IMAGES, heldout: int = NUM_HELDOUT, jobs: int = 2, progress: Callable[[int, int], None] | None = None
) -> dict[str, str]:
    """``ganinv train data``: write ``train.npy`` and ``heldout.npy`` into ``folder``; return their checksums.

    The held-out images come from chunks that no training set of up to 2.5 million images uses.
    """
    folder = Path(folder)
    return {
        "train": draw_images(folder / "train.npy", n, jobs=jobs, progress=progress),
        "heldout": draw_images(folder / "heldout.npy", heldout, first_chunk=10_000, jobs=1),
    }


def open_images(path: str | Path) -> np.ndarray:
    """Memory-map an array of images uint8 ``[M, 3, R, R]``.

    Raises:
        GanInvError: the file is missing or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise GanInvError(f"{path} does not exist: draw the training images first with `ganinv train data {path.parent}`.")
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(images, np.ndarray):
            raise ValueError("an archive of arrays")
    except Exception as error:  # the file decides what goes wrong
        raise GanInvError(f"{path} is not an array of images: draw it again with `ganinv train data {path.parent}`.") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise GanInvError(f"{path} should hold uint8 images [M, 3, R, R], but holds {images.dtype} {list(images.shape)}.")
    return images
