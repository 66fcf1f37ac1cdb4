"""The benchmark measures what it says, on a network that takes milliseconds."""

import dataclasses
import importlib.util
import time
from pathlib import Path

import pytest
import torch

from ganinv.inversion import NearPerfect, Projection, near_perfect, projection
from ganinv.losses.global_cohesion import RealImages
from ganinv.stylegan2 import Discriminator

FAST = Projection(space="w_plus", steps=3, perceptual_weight=0.0, w_avg_samples=100, optimise_noise=False)
CONFIG = NearPerfect(steps=6, initial=FAST)


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "near_perfect.py"
    spec = importlib.util.spec_from_file_location("benchmark_near_perfect", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_parts_add_up_to_no_more_than_the_whole(benchmark, tiny_bundle, tiny_targets):
    start = projection(tiny_bundle, tiny_targets[:1], FAST)
    originals = Discriminator.forward, torch.Tensor.backward, torch.optim.Adam.step, RealImages.batch
    began = time.process_time()
    with benchmark.timed(time.process_time) as parts:
        near_perfect(tiny_bundle, start.target, CONFIG, start=start)
    whole = time.process_time() - began
    assert parts.keys() == benchmark.PARTS.keys()  # every part was met
    assert 0 < sum(parts.values()) <= whole
    assert (Discriminator.forward, torch.Tensor.backward, torch.optim.Adam.step, RealImages.batch) == originals


def test_the_floor_plays_the_same_game(benchmark, tiny_bundle, weights_of):
    """As many passes of the discriminator as near-perfect inversion makes when every step plays."""
    before, counts = weights_of(tiny_bundle.G, tiny_bundle.D), []
    ticks = iter(range(10_000))
    config = dataclasses.replace(CONFIG, global_interval=1)
    start = projection(tiny_bundle, benchmark_photo(tiny_bundle), FAST)
    for measure in (
        lambda clock: benchmark.plain_steps(tiny_bundle, config, 6, clock),
        lambda clock: benchmark.tuning_steps(tiny_bundle, start, config, 6, clock),
    ):
        with benchmark.timed(lambda: next(ticks)) as parts:  # a clock that counts its readings: twice a call
            assert measure(time.perf_counter) > 0
        counts.append((parts["discriminator, forward"], parts["Adam, both"]))
    assert counts[0] == counts[1] == (3 * 7, 2 * 7)
    assert weights_of(tiny_bundle.G, tiny_bundle.D) == before


def benchmark_photo(gan):
    return gan.heldout[:1].float() / 127.5 - 1


def test_a_run_notes_when_it_passed_a_goal(benchmark, tiny_bundle, tiny_targets, monkeypatch):
    monkeypatch.setattr(benchmark, "GOALS", (10.0, 1e-9))
    found = benchmark.run(tiny_bundle, tiny_targets, dataclasses.replace(CONFIG, joint=True), time.perf_counter)
    assert found["reached"].keys() == {10.0}
    step, seconds = found["reached"][10.0]
    assert step == 1
    assert found["projection"] < seconds < found["seconds"]
    result = near_perfect(tiny_bundle, tiny_targets, dataclasses.replace(CONFIG, joint=True))
    assert found["errors"] == pytest.approx([row["mse"] for row in result.scores_each])
