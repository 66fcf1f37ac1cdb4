"""What a step of near-perfect inversion costs, and what sixteen photos at once cost.

    python benchmarks/near_perfect.py                                                # all of it (six minutes of an idle core)
    python benchmarks/near_perfect.py --only step --rounds 5

Three tables. *step*: the parts of a step in milliseconds, and the whole beside its floor, the same number of plain steps of GAN training (one
batch of fakes for both players, lazy R1). *goal*: seconds to an MSE of .01, .002 and .0005. *batch*: 1, 4 and 16 photos pinned on one generator
(``joint``): seconds a photo, peak memory, errors.

With one thread (the default) seconds are the process's CPU time, which other programs on the machine disturb least; with more, wall time.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

import torch
from torch import Tensor

import ganinv
from ganinv.inversion import Inversion, NearPerfect, near_perfect, projection
from ganinv.inversion.initial import estimate
from ganinv.inversion.near_perfect import INITIAL
from ganinv.losses.adversarial import discriminator_loss, generator_loss, r1_from_logits
from ganinv.losses.global_cohesion import RealImages
from ganinv.photos import from_uint8, load_target
from ganinv.stylegan2.discriminator import Discriminator
from ganinv.stylegan2.generator import MappingNetwork, SynthesisNetwork
from ganinv.zoo import Bundle

METHOD = sys.modules["ganinv.inversion.near_perfect"]  # the package has a function of that name
GAME = sys.modules["ganinv.inversion.game"]
GOALS = (0.01, 0.002, 0.0005)
PARTS: dict[str, list[tuple[object, str]]] = {
    "generator, forward": [(SynthesisNetwork, "forward"), (MappingNetwork, "forward")],
    "discriminator, forward": [(Discriminator, "forward")],
    "R1, its gradient": [(GAME, "r1_from_logits")],
    "reconstruction": [(METHOD, "laplacian_pyramid_loss")],
    "backward, all": [(Tensor, "backward")],
    "Adam, both": [(torch.optim.Adam, "step")],
    "training images": [(RealImages, "batch")],
}


def photos(gan: Bundle, n: int) -> Tensor:
    """The two portraits that ship, then held-out images: ``[n, 3, R, R]``."""
    portraits = [load_target(gan.photos[name], gan.resolution, "none") for name in ("grace_hopper", "eileen_collins")]
    return torch.cat([*portraits, from_uint8(gan.heldout[: max(n - 2, 0)])])[:n]


# -- a step, by part ------------------------------------------------------------------------------------------------------


@contextmanager
def timed(clock: Callable[[], float]) -> Iterator[dict[str, float]]:
    """The seconds spent in each part, while the context lasts."""
    seconds: dict[str, float] = defaultdict(float)

    def wrap(part: str, function: Callable) -> Callable:
        def wrapped(*args, **kwargs):
            began = clock()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[part] += clock() - began

        return wrapped

    with ExitStack() as stack:
        for part, places in PARTS.items():
            for owner, name in places:
                stack.enter_context(patch.object(owner, name, wrap(part, getattr(owner, name))))
        yield seconds


def plain_steps(gan: Bundle, config: NearPerfect, steps: int, clock: Callable[[], float]) -> float:
    """Seconds a step of GAN training takes that knows no photo: one batch of fakes, a step of each player, lazy R1."""
    G, D = copy.deepcopy(gan.G), copy.deepcopy(gan.D).requires_grad_(True)
    weights = [p.requires_grad_() for name, p in G.synthesis.named_parameters() if not name.endswith("noise_strength")]
    adam_G = torch.optim.Adam(weights, config.lr_G, betas=(0.0, 0.99), fused=True)
    adam_D = torch.optim.Adam(D.parameters(), config.lr_D, betas=(0.0, 0.99), fused=True)
    reals, times = RealImages(gan.reference), []
    for step in range(steps + 1):
        times.append(clock())
        fake, real = G(torch.randn(config.batch, G.z_dim)), reals.batch(config.batch)
        penalised = step % config.r1_interval == 0
        logits = D(real.requires_grad_(penalised))
        loss = discriminator_loss(logits, D(fake.detach()))
        if penalised:
            loss = loss + config.r1_gamma / 2 * config.r1_interval * r1_from_logits(logits, real)
        adam_D.zero_grad()
        loss.backward()
        adam_D.step()
        D.requires_grad_(False)
        loss = generator_loss(D(fake))
        D.requires_grad_(True)
        adam_G.zero_grad()
        loss.backward()
        adam_G.step()
    return (times[-1] - times[0]) / steps


def tuning_steps(gan: Bundle, start: Inversion, config: NearPerfect, steps: int, clock: Callable[[], float]) -> float:
    """Seconds a step of near-perfect inversion takes."""
    times: list[float] = []
    near_perfect(gan, start.target, replace(config, steps=steps + 1), lambda _: times.append(clock()), start=start)
    return (times[-1] - times[0]) / steps


def print_step(gan: Bundle, config: NearPerfect, rounds: int, clock: Callable[[], float]) -> None:
    steps = config.r1_interval * config.global_interval  # one step in so many has R1
    start = projection(gan, photos(gan, 1), replace(INITIAL, steps=1))
    every = replace(config, global_interval=1)
    plain_steps(gan, config, 2, clock)
    best: dict[str, float] = {}
    for _ in range(rounds):  # in turn, so that whatever else the machine does hits all alike
        for name, seconds in (
            ("floor", plain_steps(gan, config, config.r1_interval, clock)),
            ("every", tuning_steps(gan, start, every, config.r1_interval, clock)),
            ("default", tuning_steps(gan, start, config, steps, clock)),
        ):
            best[name] = min(seconds, best.get(name, seconds))
    columns = {}
    for name, one in (("every", every), ("default", config)):
        with timed(clock) as parts:
            began = clock()
            near_perfect(gan, start.target, replace(one, steps=steps), start=start)
            parts["everything else"] = clock() - began - sum(parts.values())
        columns[name] = {part: 1000 * seconds / steps for part, seconds in parts.items()}
    print(f"Milliseconds a step, batch {config.batch}, means of {steps} steps, setting up included:\n")
    print(f"{'':26}{'game every step':>18}{f'every {config.global_interval}th (default)':>22}")
    for part in [*PARTS, "everything else"]:
        print(f"{part:26}{columns['every'].get(part, 0):18.1f}{columns['default'].get(part, 0):22.1f}")
    print(f"{'together':26}{sum(columns['every'].values()):18.1f}{sum(columns['default'].values()):22.1f}\n")
    print(
        f"The floor, plain GAN training, batch {config.batch}: {1000 * best['floor']:.1f} ms a step (best of {rounds} rounds)."
    )
    print(
        f"Near-perfect, game every step:  {1000 * best['every']:.1f} ms, {best['every'] / best['floor']:.2f} times the floor."
    )
    print(
        f"Near-perfect, the defaults:     {1000 * best['default']:.1f} ms, {best['default'] / best['floor']:.2f} times the floor.\n"
    )


# -- to a goal, and several at once -----------------------------------------------------------------------------------------


def run(gan: Bundle, target: Tensor, config: NearPerfect, clock: Callable[[], float]) -> dict:
    """Invert, and note when the mean error passed each goal."""
    began, reached = clock(), {}

    def watch(progress) -> None:
        if progress.stage.startswith("near-perfect"):
            for goal in GOALS:
                if progress.values.get("mse", 1.0) <= goal:
                    reached.setdefault(goal, (progress.step, clock() - began))

    start = estimate(gan, target, config.initial)
    projected = clock() - began
    result = near_perfect(gan, target, config, watch, start=start)
    seconds = clock() - began
    errors = [row["mse"] for row in result.scores_each]
    return {"projection": projected, "seconds": seconds, "reached": reached, "errors": errors}


def print_goal(gan: Bundle, config: NearPerfect, clock: Callable[[], float]) -> None:
    print(
        "Seconds to an error (MSE), one photo, its projection included; the learning rates fall over the second half of a run:\n"
    )
    print(
        f"{'steps':>8}{'projection':>12}"
        + "".join(f"{f'to {goal:g}':>12}" for goal in GOALS)
        + f"{'all':>10}{'final MSE':>12}"
    )
    for steps in (config.steps // 2, config.steps, 3 * config.steps):
        found = run(gan, photos(gan, 1), replace(config, steps=steps), clock)
        cells = "".join(
            f"{found['reached'][goal][1]:12.1f}" if goal in found["reached"] else f"{'never':>12}" for goal in GOALS
        )
        print(
            f"{steps:8}{found['projection']:12.1f}{cells}{found['seconds']:10.1f}{found['errors'][0]:12.5f}", flush=True
        )
    print()


def print_batch(config: NearPerfect, sizes: list[int], model: str, threads: int) -> None:
    print(f"Photos at once, pinned on one generator (joint), {config.steps} steps; each row is a process of its own:\n")
    print(
        f"{'photos':>8}{'projection':>12}{'tuning':>10}{'a photo':>10}{'of one':>8}{'peak MB':>9}{'MSE of the first':>18}{'mean':>9}{'largest':>9}"
    )
    one = 0.0
    for n in sizes:
        command = [
            sys.executable,
            __file__,
            "--child",
            str(n),
            "--model",
            model,
            "--threads",
            str(threads),
            "--steps",
            str(config.steps),
        ]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        each = found["seconds"] / n
        one = one or each
        tuning, errors = found["seconds"] - found["projection"], found["errors"]
        cells = f"{errors[0]:18.5f}{sum(errors) / n:9.5f}{max(errors):9.5f}"
        print(
            f"{n:8}{found['projection']:12.1f}{tuning:10.1f}{each:10.1f}{each / one:8.2f}{found['peak']:9.0f}{cells}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="faces64")
    parser.add_argument("--only", choices=("step", "goal", "batch"), help="one table alone")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison with the floor; the best counts")
    parser.add_argument("--steps", type=int, default=NearPerfect().steps, help="of a run")
    parser.add_argument("--photos", type=int, nargs="*", default=[1, 4, 16], help="sizes of the batches")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    gan, config = ganinv.load(options.model), NearPerfect(steps=options.steps)
    if options.child:
        found = run(gan, photos(gan, options.child), replace(config, joint=True), clock)
        found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(found))
        return
    print(
        f"{gan.name}, torch {torch.__version__}, {options.threads} thread(s), {'CPU' if options.threads == 1 else 'wall'} time\n"
    )
    if options.only in (None, "step"):
        print_step(gan, config, options.rounds, clock)
    if options.only in (None, "goal"):
        print_goal(gan, config, clock)
    if options.only in (None, "batch"):
        print_batch(config, options.photos, options.model, options.threads)


if __name__ == "__main__":
    main()
