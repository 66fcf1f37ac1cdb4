"""The benchmark is not run here, but what it compares has to be the same thing."""

import importlib.util
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[2] / "benchmarks" / "stylegan2.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_stylegan2", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("size", [4, 6])
def test_the_forms_agree(benchmark, size):
    torch.manual_seed(0)
    x, weight, styles = (
        t.requires_grad_() for t in (torch.randn(2, 3, size, size), torch.randn(5, 3, 3, 3), torch.rand(2, 3) + 0.5)
    )
    benchmark.check(benchmark.MODULATION, [x, weight, styles])
    benchmark.check(benchmark.UPSAMPLING, [x, weight])
    benchmark.check(benchmark.TO_RGB, [x, torch.randn(3, 3, 1, 1, requires_grad=True), styles])


def test_the_orders_agree(benchmark):
    torch.manual_seed(0)
    benchmark.check(*benchmark.whole_network("16x64x2"))


def test_a_form_that_differs_is_found(benchmark):
    inputs = [torch.randn(1, 2, 4, 4).requires_grad_(), torch.randn(2, 2, 3, 3).requires_grad_()]
    with pytest.raises(AssertionError):
        benchmark.check(
            {"ours": benchmark.transposed_then_blur, "wrong": lambda x, w: benchmark.polyphase(x, w.flip(2, 3))}, inputs
        )


def test_it_prints_the_ratios(benchmark, capsys):
    inputs = [torch.randn(1, 2, 4, 4).requires_grad_(), torch.randn(2, 2, 3, 3).requires_grad_()]
    ratios = benchmark.compare("title", benchmark.UPSAMPLING, inputs, rounds=1)
    assert next(iter(ratios.values())) == 1
    assert all(ratio > 0 for ratio in ratios.values())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all("ms" in line and "times ours" in line for line in lines[1:])
