"""Does a wider generator hold its manifold better while it is tuned to a photo? Two trained models, the same photos, the same settings.

    ganinv train gan data/faces64 --out runs/narrow --resolution 32 --images 28000
    ganinv train gan data/faces64 --out runs/wide --resolution 32 --images 28000 --set channel_base=2048 --set channel_max=256
    python benchmarks/width.py runs/narrow/model.safetensors runs/wide/model.safetensors

The real photos and the reference images are those of faces64, averaged down to the models' resolution. For every model and setting: MSE,
Fréchet distance of the tuned generator divided by the untouched one's (random noise, the same z), seconds. Ratios are to the first model.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

import ganinv
from ganinv.inversion import TUNED_NOISE, NearPerfect, near_perfect, projection
from ganinv.inversion.near_perfect import INITIAL
from ganinv.perception.frechet import feature_statistics, frechet_distance, generator_statistics
from ganinv.photos import from_uint8, load_target
from ganinv.zoo import Bundle


def shrink(images: torch.Tensor, resolution: int) -> torch.Tensor:
    """Average uint8 images ``[N, 3, R, R]`` down to ``resolution``."""
    return F.avg_pool2d(images.float(), images.shape[-1] // resolution).round().to(torch.uint8)


def bundle(path: Path, faces64: Bundle) -> Bundle:
    gan = ganinv.load(path)
    gan.reference = shrink(faces64.reference, gan.resolution)
    gan.statistics = feature_statistics(gan.reference)
    return gan


def targets(faces64: Bundle, resolution: int, heldout: int) -> dict[str, torch.Tensor]:
    photos = {
        name: load_target(path, 64, "none")
        for name, path in faces64.photos.items()
        if name in ("grace_hopper", "eileen_collins")
    }
    photos |= {f"heldout-{i}": from_uint8(faces64.heldout[i : i + 1]) for i in range(heldout)}
    return {name: F.avg_pool2d(photo, 64 // resolution) for name, photo in photos.items()}


def settings(steps: float) -> dict[str, NearPerfect]:
    weights = replace(NearPerfect(), steps=int(NearPerfect().steps * steps))
    return {"tuned noise": replace(TUNED_NOISE, steps=int(TUNED_NOISE.steps * steps)), "weights only": weights}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--heldout", type=int, default=2, help="held-out images beside the two portraits")
    parser.add_argument("--samples", type=int, default=1000, help="images behind each Fréchet distance")
    parser.add_argument("--steps", type=float, default=1.0, help="factor on the steps of each setting")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)

    faces64 = ganinv.load("faces64")
    seconds: dict[str, list[float]] = {}
    print(
        "| model | Fréchet before | setting | start MSE | MSE | Fréchet x | seconds | time |\n|---|---|---|---|---|---|---|---|"
    )
    for path in args.models:
        gan = bundle(path, faces64)
        before = frechet_distance(generator_statistics(gan.G, args.samples, seed=7), gan.statistics)
        starts = {
            name: projection(gan, photo, INITIAL)
            for name, photo in targets(faces64, gan.resolution, args.heldout).items()
        }
        for name, config in settings(args.steps).items():
            rows = []
            for photo, target in targets(faces64, gan.resolution, args.heldout).items():
                began = time.perf_counter()
                result = near_perfect(gan, target, config, start=starts[photo])
                took = time.perf_counter() - began
                after = frechet_distance(generator_statistics(result.generator, args.samples, seed=7), gan.statistics)
                rows.append((starts[photo].scores["mse"], result.scores["mse"], after / before, took))
            start, mse, ratio, took = (statistics.median(column) for column in zip(*rows, strict=True))
            seconds.setdefault(name, []).append(took)
            width = f"{gan.G.config['channel_base']}/{gan.G.config['channel_max']}"
            relative = took / seconds[name][0]
            print(
                f"| {width} | {before:.1f} | {name} | {start:.4f} | {mse:.4f} | {ratio:.3f} | {took:.0f} | x {relative:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
