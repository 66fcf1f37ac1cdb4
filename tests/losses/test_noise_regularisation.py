"""The noise regulariser against plain loops, map by map, level by level."""

import numpy as np
import pytest
import torch

from ganinv.losses.noise_regularisation import noise_regularisation, normalise_noise_
from ganinv.stylegan2 import Generator


def reference(n):
    """One map [r, r], as the formula says."""
    total = 0.0
    while True:
        r = len(n)
        right = sum(n[y, x] * n[y, x - 1] for y in range(r) for x in range(r)) / r**2  # index -1 wraps around
        below = sum(n[y, x] * n[y - 1, x] for y in range(r) for x in range(r)) / r**2
        total += right**2 + below**2
        if r <= 8:
            return total
        n = np.array([[n[y : y + 2, x : x + 2].mean() for x in range(0, r, 2)] for y in range(0, r, 2)])


@pytest.fixture
def noise():
    torch.manual_seed(0)
    sizes = {"b4.conv1": 4, "b8.conv0": 8, "b8.conv1": 8, "b16.conv0": 16, "b16.conv1": 16, "b32.conv0": 32}
    return {name: torch.randn(2, 1, r, r, dtype=torch.float64) for name, r in sizes.items()}


def test_value_and_gradient(noise):
    maps = {name: n.requires_grad_() for name, n in noise.items()}
    value = noise_regularisation(maps)
    expected = [sum(reference(n[i, 0].detach().numpy()) for n in maps.values()) for i in range(2)]
    np.testing.assert_allclose(value.detach().numpy(), expected, rtol=1e-12)
    value.sum().backward()
    for name in ("b4.conv1", "b16.conv0", "b32.conv0"):
        n = maps[name][1, 0].detach().numpy()
        step = np.zeros_like(n)
        step[1, -1] = 1e-5
        slope = (reference(n + step) - reference(n - step)) / 2e-5
        assert maps[name].grad[1, 0, 1, -1].item() == pytest.approx(slope, rel=1e-6)


def test_white_noise_is_good_and_an_image_is_not(noise):
    smooth = {name: n.cumsum(dim=3).cumsum(dim=2) for name, n in noise.items()}
    normalise_noise_(smooth)
    normalise_noise_(noise)
    assert (noise_regularisation(smooth) > 5 * noise_regularisation(noise)).all()


def test_shared_maps_count_for_every_image(noise):
    shared = {name: n[:1] for name, n in noise.items()}
    mixed = {**noise, "b8.conv0": noise["b8.conv0"][:1]}
    assert noise_regularisation(shared).shape == (1,)
    assert noise_regularisation(mixed)[0].item() == pytest.approx(noise_regularisation(shared)[0].item())
    assert noise_regularisation(mixed).shape == (2,)


def test_the_generators_own_noise_is_accepted():
    G = Generator(8, 8, 16, 1, channel_base=64, channel_max=8)
    noise = G.synthesis.noise()
    value = noise_regularisation(noise)
    expected = sum(reference(n[0, 0].double().numpy()) for n in noise.values())
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_normalise_in_place(noise):
    leaves = {name: (n * 3 + 2).requires_grad_() for name, n in noise.items()}
    before = dict(leaves)
    normalise_noise_(leaves)
    for name, n in leaves.items():
        assert n is before[name]
        torch.testing.assert_close(n.mean(dim=(2, 3)), torch.zeros(2, 1, dtype=n.dtype), atol=1e-12, rtol=0)
        torch.testing.assert_close(n.square().mean(dim=(2, 3)), torch.ones(2, 1, dtype=n.dtype))


def test_a_constant_map_does_not_become_nan():
    n = {"b4.conv1": torch.full((1, 1, 4, 4), 2.0)}
    normalise_noise_(n)
    assert torch.equal(n["b4.conv1"], torch.zeros(1, 1, 4, 4))
