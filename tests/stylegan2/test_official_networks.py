"""Weights, inputs and outputs of the official networks: the numbers this package has to reproduce."""

import pytest
import torch

from ganinv.stylegan2 import Discriminator, Generator


@pytest.fixture(scope="module", name="G")
def generator(official):
    G = Generator(**official.G_config)
    G.load_state_dict(official.G_state, strict=True)
    return G


@pytest.fixture(scope="module", name="D")
def discriminator(official):
    D = Discriminator(**official.D_config)
    D.load_state_dict(official.D_state, strict=True)
    return D


def assert_within(actual, expected, tolerance=1e-4):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


def test_what_the_fixtures_hold(official):
    assert official.facts["truncation"] == "psi 0.6, cutoff 4"
    assert official.facts["loss"] == "mean(img_const**2)"
    # or noise would go untested
    assert any(value.abs() > 0 for key, value in official.G_state.items() if key.endswith("noise_strength"))


@torch.no_grad()
def test_mapping(G, official):
    assert_within(G.mapping(official.z), official.ws)
    assert_within(G.mapping(official.z, truncation_psi=0.6, truncation_cutoff=4), official.ws_truncated)


@torch.no_grad()
def test_images(G, official):
    assert_within(G.synthesis(official.ws, noise_mode="const"), official.img_const)
    assert_within(G.synthesis(official.ws, noise_mode="none"), official.img_none)
    assert_within(G.synthesis(official.ws_truncated, noise_mode="const"), official.img_const_truncated)
    assert_within(G(official.z, noise_mode="const"), official.img_const)


def test_gradient(G, official):
    ws = official.ws.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(G.synthesis(ws, noise_mode="const").square().mean(), ws)
    assert (gradient - official.grad_ws).norm() <= 1e-4 * official.grad_ws.norm()


@torch.no_grad()
def test_logits(D, official):
    assert_within(D(official.d_input), official.d_logits)


@torch.no_grad()
def test_the_logits_depend_on_the_batch(D, official):
    """So the minibatch standard deviation took part in the numbers above."""
    assert (D(official.d_input.roll(1, dims=0)[:2]) - official.d_logits[:2]).abs().max() > 1e-3


def test_a_state_dict_of_another_size_is_refused(official):
    with pytest.raises(RuntimeError, match="size mismatch"):
        Generator(**{**official.G_config, "w_dim": 8}).load_state_dict(official.G_state)


def test_parameter_names_are_all_official(G, D, official):
    assert G.state_dict().keys() == official.G_state.keys()
    assert D.state_dict().keys() == official.D_state.keys()
