"""Winograd's convolutions, in a network as it is exported."""

import numpy as np
import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import onnx_files  # noqa: E402
import winograd  # noqa: E402


def run(network: bytes, x: torch.Tensor) -> np.ndarray:
    return onnx.reference.ReferenceEvaluator(onnx.load_model_from_string(network)).run(None, {"x": x.numpy()})[0]


def kinds(network: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_model_from_string(network).graph.node]


def test_large_convolutions_are_replaced_and_give_the_same():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(64, 72, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(72, 4, 3, padding=1, bias=False)
    )
    net[0].weight.data = net[0].weight.half().float()  # stored in float16, cast in the network
    x = torch.randn(1, 64, 16, 16)
    before = onnx_files.to_onnx(net, [x], ["x"], ["y"])
    after = winograd.faster(before)
    assert kinds(before).count("Conv") == 2
    assert kinds(after).count("MatMul") == 3  # one of the two
    assert len(after) < len(before) + 20_000
    with torch.no_grad():
        expected = net(x).numpy()
    assert np.abs(run(after, x) - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(64, 64, 3, padding=1),  # with a bias
        nn.Conv2d(64, 64, 3, bias=False),
        nn.Conv2d(64, 64, 3, padding=1, stride=2, bias=False),
        nn.Conv2d(64, 64, 3, padding=2, dilation=2, bias=False),
        nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False),
        nn.Conv2d(64, 64, 1, bias=False),
    ],
    ids=["bias", "no padding", "stride", "dilation", "groups", "1x1"],
)
def test_others_stay(layer):
    network = onnx_files.to_onnx(layer, [torch.zeros(1, 64, 16, 16)], ["x"], ["y"])
    assert kinds(winograd.faster(network)) == kinds(network)
