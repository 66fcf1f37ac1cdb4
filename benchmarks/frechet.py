"""How long a Fréchet distance takes, by part, and what half precision would do to it.

    python benchmarks/frechet.py --threads 2             # 2,000 samples of faces64

Prints wall and processor time: where other programs want the cores, only the latter can be compared with other runs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch

import ganinv
from ganinv.perception.features import (
    FEATURE_SIZE,
    EfficientNetLite0,
    efficientnet_input,
    efficientnet_lite0,
    feature_extractor,
    resize,
)
from ganinv.perception.frechet import (
    BATCH,
    FrechetStatistics,
    _batches,
    frechet_distance,
    generator_statistics,
    sample_images,
)


def timed(name: str, n: int, work: Callable[[], Any]) -> Any:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(
        f"{name:44} {wall:7.2f} s wall  {processor:7.2f} s processor  {processor / n * 1e3:7.2f} ms an image",
        flush=True,
    )
    return result


def half_statistics(images: list[torch.Tensor]) -> FrechetStatistics:
    """The statistics with EfficientNet in bfloat16."""
    network = EfficientNetLite0().bfloat16()
    maps = [network(efficientnet_input(resize(batch, FEATURE_SIZE)).bfloat16())[0] for batch in _batches(images)]
    x = torch.cat(maps).float().mean(dim=(2, 3)).double().numpy()
    return FrechetStatistics(x.mean(axis=0), np.cov(x, rowvar=False), len(x))


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="faces64")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    gan, n = ganinv.load(args.model), args.samples
    if gan.statistics is None:
        parser.error(f"{args.model} comes without statistics of its training images")
    efficientnet_lite0()
    print(
        f"{n} samples of {gan.name}, batches of {BATCH}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}\n"
    )

    images = timed("synthesis", n, lambda: list(sample_images(gan.G, n)))
    extract = feature_extractor()
    timed("features", n, lambda: [extract(batch) for batch in _batches(images)])
    statistics = timed("synthesis, features, mean and covariance", n, lambda: generator_statistics(gan.G, n))
    distance = timed("distance of two statistics", n, lambda: frechet_distance(statistics, gan.statistics))
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, GANINV_CACHE=folder):
        generator_statistics(gan.G, n, cache=True)
        timed("the same from the cache", n, lambda: generator_statistics(gan.G, n, cache=True))
    half = frechet_distance(timed("features in bfloat16", n, lambda: half_statistics(images)), gan.statistics)
    print(f"\ndistance {distance:.2f}; with features in bfloat16 {half:.2f} ({100 * (half / distance - 1):+.2f} %)")


if __name__ == "__main__":
    main()
