"""Where the defaults of near-perfect inversion come from: one knob at a time around them, on photos in and out of the domain.

    python benchmarks/sweep_near_perfect.py --out benchmarks/results/near_perfect.json        # everything (an hour on two cores)
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

import ganinv
from ganinv.files import atomic_path
from ganinv.images import from_uint8, load_target
from ganinv.inversion import METHODS, Inversion, NearPerfect, near_perfect, projection
from ganinv.metrics import frechet_distance, generator_statistics
from ganinv.zoo import Bundle


def settings(default: NearPerfect) -> dict[str, NearPerfect]:
    """The defaults with and without tuned noise, and one knob moved at a time, weights only (that is the paper's claim)."""
    weights = replace(default, tune_noise=False)
    table = {"noise/default": default, "weights/default": weights}
    for p in (0.25, 0.5, 0.75, 1.0):
        table[f"weights/p={p}"] = replace(weights, p=p)
    for value in (0.1, 0.3, 3, 10):
        table[f"weights/lambda_recon x {value}"] = replace(weights, lambda_recon=default.lambda_recon * value)
    for value in (0.25, 0.5, 2, 4):
        table[f"weights/lr_G x {value}"] = replace(weights, lr_G=default.lr_G * value)
        table[f"noise/lr_noise x {value}"] = replace(default, lr_noise=default.lr_noise * value)
    for value in (0.25, 4):
        table[f"weights/lr_D x {value}"] = replace(weights, lr_D=default.lr_D * value)
    for value in (0.25, 0.5, 2):
        table[f"weights/steps x {value}"] = replace(weights, steps=int(default.steps * value))
        table[f"noise/steps x {value}"] = replace(default, steps=int(default.steps * value))
    for levels in (1, 2, 3, 4):
        table[f"weights/levels={levels}"] = replace(weights, levels=levels)
    for batch in (2, 4, 8):
        table[f"weights/batch={batch}"] = replace(weights, batch=batch)
    table["weights/lambda_adv=0"] = replace(weights, lambda_adv=0)
    table["weights/lambda_global=0"] = replace(weights, lambda_global=0, lambda_adv=0)
    table["weights/reals=generator"] = replace(weights, reals="generator")
    return {name: config for name, config in table.items() if name.endswith("default") or config not in (default, weights)}


def photos(gan: Bundle, names: list[str], heldout: int) -> dict[str, object]:
    targets = {name: load_target(gan.photos[name], gan.resolution, "none") for name in names}
    if gan.heldout is not None:
        targets |= {f"heldout-{i}": from_uint8(gan.heldout[i : i + 1]) for i in range(heldout)}
    return targets


def measure(gan: Bundle, target: object, config: NearPerfect, start: Inversion, before: float, samples: int) -> dict[str, float]:
    began = time.perf_counter()
    result = near_perfect(gan, target, config, start=start)
    seconds = time.perf_counter() - began + start.seconds
    after = frechet_distance(generator_statistics(result.generator, samples, seed=7), gan.statistics)
    (distance,) = result.scores["perceptual"].values()
    return {
        "mse": result.scores["mse"],
        "perceptual": distance,
        "frechet_ratio": after / before,
        "seconds": seconds,
        "start_mse": start.scores["mse"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="faces64")
    parser.add_argument("--only", default="", help="settings whose name contains this")
    parser.add_argument("--photos", nargs="*", default=["grace_hopper", "eileen_collins"])
    parser.add_argument("--heldout", type=int, default=2, help="held-out images beside the photos")
    parser.add_argument("--samples", type=int, default=2000, help="images behind each Fréchet distance")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/near_perfect.json"))
    args = parser.parse_args()

    gan = ganinv.load(args.model)
    rows = json.loads(args.out.read_text())["rows"] if args.out.exists() else []
    done = {(row["setting"], row["photo"], row["config"]) for row in rows}
    before = frechet_distance(generator_statistics(gan.G, args.samples, seed=7), gan.statistics)
    targets = photos(gan, args.photos, args.heldout)
    starts: dict[str, Inversion] = {}
    for name, config in settings(METHODS["near-perfect"].config).items():
        if args.only not in name:
            continue
        for photo, target in targets.items():
            if (name, photo, repr(config)) in done:
                continue
            starts[photo] = starts.get(photo) or projection(gan, target, config.initial)
            row = {"setting": name, "photo": photo, "config": repr(config), **measure(gan, target, config, starts[photo], before, args.samples)}
            rows.append(row)
            print(f"{name:32} {photo:16} mse {row['mse']:.4f}  Fréchet x {row['frechet_ratio']:.3f}  {row['seconds']:.0f} s", flush=True)
            with atomic_path(args.out) as temporary:
                temporary.write_text(json.dumps({"model": gan.name, "weights": gan.sha256, "frechet_before": before, "rows": rows}, indent=1) + "\n")

    print(f"\n| setting | median MSE | Fréchet x | seconds |\n|---|---|---|---|\n{chr(10).join(table(rows))}")


def table(rows: list[dict]) -> list[str]:
    names = dict.fromkeys(row["setting"] for row in rows)
    lines = []
    for name in names:
        column = {key: statistics.median(row[key] for row in rows if row["setting"] == name) for key in ("mse", "frechet_ratio", "seconds")}
        lines.append(f"| {name} | {column['mse']:.4f} | {column['frechet_ratio']:.3f} | {column['seconds']:.0f} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
