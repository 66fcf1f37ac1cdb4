"""The benchmark of the Fréchet distance runs and prints what it promises."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "frechet.py"


@pytest.fixture
def benchmark():
    spec = importlib.util.spec_from_file_location("frechet_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    yield module
    torch.set_num_threads(threads)


def test_it_prints_every_part_and_both_distances(benchmark, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["frechet.py", "--samples", "20"])
    benchmark.main()
    printed = capsys.readouterr().out
    assert "20 samples of faces64" in printed
    assert len(re.findall(r"\d ms an image$", printed, re.MULTILINE)) == 6
    single, half = map(float, re.search(r"distance ([\d.]+); with features in bfloat16 ([\d.]+)", printed).groups())
    assert half == pytest.approx(single, rel=0.05)
    assert half != single
