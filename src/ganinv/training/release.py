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
from ..devices import randn
from ..errors import GanInvError
from ..files import atomic_path, write_text
from ..perception.features import EFFICIENTNET
from ..perception.frechet import feature_statistics, frechet_distance, generator_statistics, sample_images
from ..photos import from_uint8, pack_images, to_uint8
from ..stylegan2 import Discriminator, Generator
from .copies import nearest, pooled_features
from .data import open_images
from .gan import GanConfig, Stage, Trainer

NUM_REFERENCE = 1024
# samples that are compared with the training images, and how many of these are shown for each
NUM_COPIES, NEAREST = (
    16,
    5,
)
STRIP = 8  # images of each snapshot that are kept


def w_statistics(G: Generator, samples: int = 100_000, seed: int = 123) -> tuple[Tensor, Tensor]:
    """Mean ``[w_dim]`` and covariance ``[w_dim, w_dim]`` of ``w`` for random z."""
    z = randn([samples, G.z_dim], torch.Generator().manual_seed(seed), G.device)
    with torch.no_grad():
        w = G.mapping(z)[:, 0].cpu().double()
    return w.mean(dim=0).float(), torch.cov(w.t()).float()


def open_run(folder: str | Path, images: np.ndarray) -> Trainer:
    """The state of the training run in ``folder``.

    Raises:
        GanInvError: there is none, or it is damaged.
    """
    path = Path(folder) / "checkpoint.pt"
    if not path.is_file():
        raise GanInvError(
            f"{folder} holds no training run ({path.name} is missing): train one with `ganinv train gan`."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["config"]
        config = GanConfig(**{**state, "stages": [Stage(**stage) for stage in state["stages"]]})
    except Exception as error:  # the file decides what goes wrong
        raise GanInvError(
            f"{path} is not a training checkpoint: train again with `ganinv train gan`. ({type(error).__name__})"
        ) from error
    trainer = Trainer(config, images, folder)
    trainer.restore()
    return trainer


def release(
    run: str | Path, data: str | Path, out: str | Path, samples: int = 10_000, progress: Callable[[str], None] = print
) -> dict[str, Any]:
    """Write the bundle of a finished run into ``out``, where its ``card.json`` already holds what a person wrote, and return the card.

    Ships G_ema and D (float16), the statistics of W, ``NUM_REFERENCE`` training images, the held-out images, feature statistics of ``samples``
    training images, the training curves and the growing network's snapshots, and a sheet of samples beside their nearest training images
    (``nearest.webp``). The card gains the training summary, the images' checksums, the measured Fréchet distances, what the discriminator says of
    images that it has and has not been trained on, and the distances of the nearest training images.
    """
    out, data = Path(out), Path(data)
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
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
        "training_images": {
            name: json.loads((data / f"{name}.json").read_text(encoding="utf-8")) for name in ("train", "heldout")
        },
        "frechet": {
            "features": stats[0].features,
            "n": samples,
            "generator": round(frechet_distance(generated, stats[0]), 3),
            "training_halves": round(frechet_distance(stats[1], stats[0]), 3),
        },
    }
    progress("looking for copies, and asking the discriminator about held-out images")
    heldout = torch.from_numpy(np.array(open_images(data / "heldout.npy")))
    card["copies"] = find_copies(shipped, images, heldout, out)
    card["discriminator"] = opinions(D, shipped, images[np.sort(order[: len(heldout)])], heldout)
    write_text(out / "card.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    history = [{key: round(value, 4) for key, value in row.items()} for row in trainer.history]
    write_text(
        out / "training.json", json.dumps({"history": history, "snapshots": pack_snapshots(Path(run), out)}) + "\n"
    )
    return card


def find_copies(G: Generator, images: np.ndarray, heldout: Tensor, out: Path) -> dict[str, Any]:
    """How near the training images are to samples of ``G``, and to images that were held out; draws the sheet of the former, a sample a row."""
    features = pooled_features(images)
    samples = to_uint8(torch.cat(list(sample_images(G, NUM_COPIES, seed=2))).clamp(-1, 1))
    of_samples, of_heldout = (nearest(some, images, NEAREST, features) for some in (samples, heldout[:NUM_COPIES]))
    rows = [
        torch.cat([one[None], torch.from_numpy(np.stack([images[i] for i in row]))])
        for one, row in zip(samples, of_samples.index.tolist(), strict=True)
    ]
    pack_images(torch.cat(rows), out / "nearest.webp")
    first = {"samples": of_samples.distance[:, 0], "heldout": of_heldout.distance[:, 0]}
    return {
        "trunk": EFFICIENTNET,
        "nearest": NEAREST,
        "distances_of_samples": [[round(value, 3) for value in row] for row in of_samples.distance.tolist()],
        "median_distance_of_the_nearest": {name: round(values.median().item(), 3) for name, values in first.items()},
    }


@torch.no_grad()
def opinions(D: Discriminator, G: Generator, training: np.ndarray, heldout: Tensor) -> dict[str, float]:
    """The mean logit of ``D`` for as many training images, held-out images and samples. Held-out images far below training images: it overfits."""
    samples = torch.cat(list(sample_images(G, len(heldout), seed=3)))
    shown = {"training": from_uint8(torch.from_numpy(training)), "heldout": from_uint8(heldout), "samples": samples}
    return {name: round(torch.cat([D(batch) for batch in x.split(16)]).mean().item(), 3) for name, x in shown.items()}


def pack_snapshots(run: Path, out: Path) -> list[dict[str, Any]]:
    """One sheet of snapshots per resolution (``snapshots-16.webp``, ...), ``STRIP`` images each; returns where each snapshot lies."""
    by_size: dict[int, list[tuple[int, np.ndarray]]] = {}
    for path in sorted((run / "snapshots").glob("*.npy")):
        images = np.load(path)
        by_size.setdefault(images.shape[-1], []).append((int(path.stem), images[:STRIP]))
    index = []
    for size, snapshots in by_size.items():
        pack_images(
            torch.from_numpy(np.concatenate([images for _, images in snapshots])), out / f"snapshots-{size}.webp"
        )
        index += [{"images": seen, "resolution": size, "row": row} for row, (seen, _) in enumerate(snapshots)]
    return index
