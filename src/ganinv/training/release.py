"""Turn a finished training run into what ships: the bundle's folder, measured and described."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import checkpoints
from ..errors import GanInvError
from ..files import atomic_path
from ..perception.frechet import feature_statistics, frechet_distance, generator_statistics
from ..photos import pack_images
from ..stylegan2 import Generator
from .data import open_images
from .gan import GanConfig, Stage, Trainer

NUM_REFERENCE = 1024
STRIP = 8  # images of each snapshot that are kept


def w_statistics(G: Generator, samples: int = 100_000, seed: int = 123) -> tuple[Tensor, Tensor]:
    """Mean ``[w_dim]`` and covariance ``[w_dim, w_dim]`` of ``w`` for random z."""
    z = torch.randn(samples, G.z_dim, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        w = G.mapping(z)[:, 0].double()
    return w.mean(dim=0).float(), torch.cov(w.t()).float()


def open_run(folder: str | Path, images: np.ndarray) -> Trainer:
    """The state of the training run in ``folder``.

    Raises:
        GanInvError: there is none, or it is damaged.
    """
    path = Path(folder) / "checkpoint.pt"
    if not path.is_file():
        raise GanInvError(f"{folder} holds no training run ({path.name} is missing): train one with `ganinv train gan`.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["config"]
        config = GanConfig(**{**state, "stages": [Stage(**stage) for stage in state["stages"]]})
    except Exception as error:  # the file decides what goes wrong
        raise GanInvError(f"{path} is not a training checkpoint: train again with `ganinv train gan`. ({type(error).__name__})") from error
    trainer = Trainer(config, images, folder)
    trainer.restore()
    return trainer


def release(run: str | Path, data: str | Path, out: str | Path, samples: int = 10_000, progress: Callable[[str], None] = print) -> dict[str, Any]:
    """Write the bundle of a finished run into ``out``, where its ``card.json`` already holds what a person wrote, and return the card.

    Ships G_ema and D (float16), the statistics of W, ``NUM_REFERENCE`` training images, the held-out images, feature statistics of ``samples``
    training images, the training curves and the growing network's snapshots. The card gains the training summary, the images' checksums
    and the measured Fréchet distances.
    """
    out, data = Path(out), Path(data)
    card = json.loads((out / "card.json").read_text())
    images = open_images(data / "train.npy")
    trainer = open_run(run, images)
    if not trainer.done:
        raise GanInvError(f"The run in {run} is not finished: go on with `ganinv train gan --out {run}`.")
    G, D = trainer.G_ema, trainer.D.D
    mean, cov = w_statistics(G)
    G.mapping.w_avg.copy_(mean)
    with atomic_path(out / "w_statistics.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, mean=mean.numpy(), cov=cov.numpy())
    metadata = {"training": trainer.summary, "licence": card["licence"]}
    checkpoints.save_native(out / "model.safetensors", {"G_ema": G, "D": D}, metadata=metadata, dtype=torch.float16)
    shipped = checkpoints.load(out / "model.safetensors").G  # measured as it will be loaded: rounded to float16

    progress("packing the reference and held-out images")
    rng = np.random.default_rng(0)
    order = rng.permutation(len(images))
    pack_images(torch.from_numpy(images[np.sort(order[:NUM_REFERENCE])]), out / "reference.webp")
    pack_images(torch.from_numpy(np.array(open_images(data / "heldout.npy"))), out / "heldout.webp")

    progress(f"Fréchet distance of {samples} samples to {samples} training images")
    half = np.array_split(order[: 2 * samples], 2)
    stats = [feature_statistics(torch.from_numpy(images[np.sort(index)])) for index in half]
    stats[0].save(out / "frechet.npz")
    generated = generator_statistics(shipped, samples, seed=1)
    card = {
        **card,
        "training": trainer.summary,
        "training_images": {name: json.loads((data / f"{name}.json").read_text()) for name in ("train", "heldout")},
        "frechet": {
            "features": stats[0].features,
            "n": samples,
            "generator": round(frechet_distance(generated, stats[0]), 3),
            "training_halves": round(frechet_distance(stats[1], stats[0]), 3),
        },
    }
    with atomic_path(out / "card.json") as temporary:
        temporary.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    with atomic_path(out / "training.json") as temporary:
        history = [{key: round(value, 4) for key, value in row.items()} for row in trainer.history]
        temporary.write_text(json.dumps({"history": history, "snapshots": pack_snapshots(Path(run), out)}) + "\n")
    return card


def pack_snapshots(run: Path, out: Path) -> list[dict[str, Any]]:
    """One sheet of snapshots per resolution (``snapshots-16.webp``, ...), ``STRIP`` images each; returns where each snapshot lies."""
    by_size: dict[int, list[tuple[int, np.ndarray]]] = {}
    for path in sorted((run / "snapshots").glob("*.npy")):
        images = np.load(path)
        by_size.setdefault(images.shape[-1], []).append((int(path.stem), images[:STRIP]))
    index = []
    for size, snapshots in by_size.items():
        pack_images(torch.from_numpy(np.concatenate([images for _, images in snapshots])), out / f"snapshots-{size}.webp")
        index += [{"images": seen, "resolution": size, "row": row} for row, (seen, _) in enumerate(snapshots)]
    return index
