"""Where the defaults of near-perfect inversion come from: one knob at a time around them, on photos in and out of the domain.

    python benchmarks/sweep_near_perfect.py --out benchmarks/results/near_perfect.json        # everything (two hours on two cores)
    python benchmarks/sweep_near_perfect.py --only weights/ --photos grace_hopper --samples 1000

For every setting: MSE and perceptual distance of the reconstruction, the Fréchet distance of the tuned generator divided by the untouched
one's (random noise, the same z), seconds. Finished settings are kept in the JSON file and skipped when the sweep is started again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from joblib import Parallel, delayed
from torch import Tensor

import ganinv
from ganinv.files import write_text
from ganinv.inversion import TUNED_NOISE, Inversion, NearPerfect, near_perfect
from ganinv.inversion.initial import estimate
from ganinv.perception.frechet import frechet_distance, generator_statistics
from ganinv.photos import from_uint8, load_target
from ganinv.zoo import Bundle


def settings() -> dict[str, NearPerfect]:
    """One knob at a time around both settings that the package offers: tuned noise (the default), and weights alone."""
    table = {}
    for prefix, base, knobs in (("noise", TUNED_NOISE, NOISE_KNOBS), ("weights", NearPerfect(), WEIGHTS_KNOBS)):
        table[f"{prefix}/default"] = base
        for name, values in (COMMON_KNOBS | knobs).items():
            for value in values:
                if value != getattr(base, name):
                    table[f"{prefix}/{name}={value:g}"] = replace(base, **{name: value})
    return table


COMMON_KNOBS = {"p": (0.25, 0.5, 1.0), "levels": (2, 3), "lambda_adv": (0.0,), "batch": (2, 8)}
NOISE_KNOBS = {
    "lambda_recon": (100.0, 1000.0),
    "lr_G": (5e-4, 2e-3),
    "lr_noise": (0.01, 0.05),
    "lr_D": (3e-4, 3e-3),
    "steps": (200, 800),
    "global_interval": (2, 8),
    "lambda_locality": (0.0, 100.0, 1000.0),
    "lambda_global": (0.0,),
}
WEIGHTS_KNOBS = {
    "lambda_recon": (0.0, 300.0),
    "lambda_l2": (0.0,),
    "lambda_locality": (0.0, 200.0, 1800.0),
    "lr_G": (2e-3, 8e-3),
    "lr_latent": (0.0, 1e-2, 3e-2, 1e-1),
    "steps": (600, 2400),
    "global_interval": (4,),
    "lambda_global": (0.0,),
}


def photos(gan: Bundle, names: list[str], heldout: int) -> dict[str, Tensor]:
    targets = {name: load_target(gan.photos[name], gan.resolution, "none") for name in names}
    if gan.heldout is not None:
        targets |= {f"heldout-{i}": from_uint8(gan.heldout[i : i + 1]) for i in range(heldout)}
    return targets


def measure(
    model: str,
    photo: str,
    target: Tensor,
    config: NearPerfect,
    start: Tensor,
    before: float,
    samples: int,
    threads: int,
) -> dict[str, float]:
    """One run, in a process of its own: ``start`` is the code ``ws`` that all settings share."""
    torch.set_num_threads(threads)
    gan = ganinv.load(model)
    began = time.perf_counter()
    result = near_perfect(gan, target, config, start=Inversion("projection-wplus", gan, target, start))
    seconds = time.perf_counter() - began
    after = frechet_distance(generator_statistics(result.generator, samples, seed=7), gan.statistics)
    (distance,) = result.scores["perceptual"].values()
    return {
        "mse": result.scores["mse"],
        "perceptual": distance,
        "frechet_ratio": after / before,
        "seconds": seconds,
        "start_mse": (gan.G.synthesis(start) - target).square().mean().item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="faces64")
    parser.add_argument("--only", default="", help="settings whose name contains this")
    parser.add_argument("--photos", nargs="*", default=["grace_hopper", "eileen_collins"])
    parser.add_argument("--heldout", type=int, default=2, help="held-out images beside the photos")
    parser.add_argument("--samples", type=int, default=2000, help="images behind each Fréchet distance")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--threads", type=int, default=1, help="threads of each")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/near_perfect.json"))
    args = parser.parse_args()

    gan = ganinv.load(args.model)
    rows = json.loads(args.out.read_text(encoding="utf-8"))["rows"] if args.out.exists() else []
    done = {(row["setting"], row["photo"], row["config"]) for row in rows}
    before = frechet_distance(generator_statistics(gan.G, args.samples, seed=7), gan.statistics)
    targets = photos(gan, args.photos, args.heldout)
    chosen = {name: config for name, config in settings().items() if args.only in name}
    todo = [
        (name, photo) for name, config in chosen.items() for photo in targets if (name, photo, repr(config)) not in done
    ]
    starts = {photo: estimate(gan, targets[photo], NearPerfect().initial).ws for photo in {photo for _, photo in todo}}

    run = Parallel(n_jobs=args.jobs, return_as="generator")
    found = run(
        delayed(measure)(
            args.model, photo, targets[photo], chosen[name], starts[photo], before, args.samples, args.threads
        )
        for name, photo in todo
    )
    for (name, photo), measured in zip(todo, found, strict=True):
        row = {"setting": name, "photo": photo, "config": repr(chosen[name]), **measured}
        rows.append(row)
        print(
            f"{name:32} {photo:16} mse {row['mse']:.5f}  Fréchet x {row['frechet_ratio']:.3f}  {row['seconds']:.0f} s",
            flush=True,
        )
        write_text(
            args.out,
            json.dumps({"model": gan.name, "weights": gan.sha256, "frechet_before": before, "rows": rows}, indent=1)
            + "\n",
        )

    print(f"\n| setting | median MSE | Fréchet x | seconds |\n|---|---|---|---|\n{chr(10).join(table(rows))}")


def table(rows: list[dict]) -> list[str]:
    names = dict.fromkeys(row["setting"] for row in rows)
    lines = []
    for name in names:
        column = {
            key: statistics.median(row[key] for row in rows if row["setting"] == name)
            for key in ("mse", "frechet_ratio", "seconds")
        }
        lines.append(f"| {name} | {column['mse']:.5f} | {column['frechet_ratio']:.3f} | {column['seconds']:.0f} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
