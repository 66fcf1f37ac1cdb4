"""The written-out backward pass has to be the one that autograd takes."""

import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from tuning_graph import Shifted, drawing, noise_names, tuned_names, tuning_step

from ganinv.inversion.near_perfect import Comparison, NearPerfect

CONFIG = NearPerfect(lambda_adv=0.0, lambda_global=0.0)


def test_loss_image_and_gradients_are_those_of_autograd(make_bundle, tiny_targets):
    G = make_bundle(0).G.to(memory_format=torch.contiguous_format)
    graph, examples, inputs, outputs = tuning_step(G, CONFIG)
    random = torch.Generator().manual_seed(0)
    ws = examples[0] + 0.3 * torch.randn(examples[0].shape, generator=random)
    target, weights = tiny_targets[:1], (torch.tensor([30.0]), torch.tensor([700.0]))
    with torch.no_grad():
        found = dict(zip(outputs, graph(ws, target, *weights, *examples[4:]), strict=True))

    ws.requires_grad_()
    names = inputs[4:]
    parameters = {name: p.requires_grad_(name in names) for name, p in G.named_parameters()}
    image = G.synthesis(ws)
    recon = Comparison(target, CONFIG).photos(image, {})["recon"]
    mse = (image - target).square().mean(dim=(1, 2, 3))
    (weights[0] * recon + weights[1] * mse).sum().backward()
    assert torch.allclose(found["image"], image, atol=1e-5)
    assert torch.allclose(found["recon"], recon)
    assert torch.allclose(found["mse"], mse)
    for name in ("ws", *names):
        expected = ws.grad if name == "ws" else parameters[name].grad
        error = (found[f"grad:{name}"] - expected).norm() / expected.norm()
        assert error < 1e-4, name
    assert not any(name.endswith("noise_strength") for name in names)
    assert not any(name.startswith("mapping") for name in names)


def test_the_synthesis_takes_its_weights_its_noise_and_moved_styles_as_inputs(make_bundle):
    G = make_bundle(0).G.to(memory_format=torch.contiguous_format)
    graph, (ws, shift, *values), inputs, _ = drawing(G)
    assert inputs == ["ws", "shift", *tuned_names(G), *noise_names(G)]
    with torch.no_grad():
        assert torch.allclose(graph(ws, shift, *values), G.synthesis(ws), atol=1e-5)
        others = dict(zip(inputs[2:], (0.5 * value + 0.1 for value in values), strict=True))
        moved = torch.func.functional_call(Shifted(G), others, (ws, shift + 0.2))
        assert torch.allclose(graph(ws, shift + 0.2, *others.values()), moved, atol=1e-5)
        styles = {name: style + 0.2 for name, style in G.synthesis.styles(ws).items()}
        assert torch.allclose(Shifted(G)(ws, shift + 0.2), G.synthesis(ws, styles=styles), atol=1e-5)
        assert not torch.allclose(moved, G.synthesis(ws), atol=1e-2)
