"""Global cohesion: both players' losses from the formula, and reals that can be resumed."""

import copy
import json

import numpy as np
import pytest
import torch

from ganinv.losses.global_cohesion import GeneratorReals, RealImages, global_cohesion, global_cohesion_discriminator
from ganinv.stylegan2 import Discriminator, Generator


@pytest.fixture
def gan():
    torch.manual_seed(0)
    G = Generator(8, 8, 8, 1, channel_base=64, channel_max=8)
    with torch.no_grad():
        for name in G.synthesis.conv_names:
            G.synthesis.get_submodule(name).noise_strength.fill_(0.3)  # so that fresh noise shows
    return G, Discriminator(8, channel_base=64, channel_max=8)


@pytest.fixture
def images():
    return torch.randint(0, 256, (10, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_both_sides_from_the_formula(gan):
    G, D = gan
    z, reals = torch.randn(4, 8), torch.rand(4, 3, 8, 8)
    torch.manual_seed(1)
    fake = D(G(z, noise_mode="random"))
    t, r = fake.detach().double().numpy(), D(reals).detach().double().numpy()
    (expected_gradient,) = torch.autograd.grad(-(torch.sigmoid(fake).log()).mean(), G.synthesis.b8.conv0.weight)

    torch.manual_seed(1)
    loss = global_cohesion(G, D, z)
    assert loss.item() == pytest.approx(np.mean(np.log(1 + np.exp(-t))))
    (gradient,) = torch.autograd.grad(loss, G.synthesis.b8.conv0.weight)
    torch.testing.assert_close(gradient, expected_gradient)

    torch.manual_seed(1)
    loss = global_cohesion_discriminator(G, D, z, reals)
    assert loss.item() == pytest.approx(np.mean(np.log(1 + np.exp(-r))) + np.mean(np.log(1 + np.exp(t))))
    loss.backward()
    assert D.b8.conv0.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in G.parameters())


def test_both_gradients_from_the_formula_in_float64(gan):
    """By the chain rule: the derivative of each softplus is a sigmoid, and the rest is the gradient of the logits."""
    G, D = (net.double() for net in gan)
    z, reals = torch.randn(4, 8, dtype=torch.float64), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    torch.manual_seed(1)
    images = G(z, noise_mode="random").detach()
    real, fake = D(reals), D(images)
    r, f = real.detach().numpy(), fake.detach().numpy()

    torch.manual_seed(1)
    loss = global_cohesion_discriminator(G, D, z, reals)
    assert loss.item() == pytest.approx(np.mean(np.log1p(np.exp(-r))) + np.mean(np.log1p(np.exp(f))), rel=1e-6)
    slopes = [torch.tensor(-1 / (1 + np.exp(r)) / len(r)), torch.tensor(1 / (1 + np.exp(-f)) / len(f))]
    expected = torch.autograd.grad([real, fake], list(D.parameters()), slopes)
    for mine, reference in zip(torch.autograd.grad(loss, list(D.parameters())), expected, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-9)

    torch.manual_seed(1)
    loss = global_cohesion(G, D, z)
    weight = G.synthesis.b8.conv0.weight
    (gradient,) = torch.autograd.grad(loss, weight)
    direction = 1e-5 * gradient / gradient.norm()
    values = []
    for sign in (1, -1):  # the slope along the gradient, from the formula alone
        with torch.no_grad():
            weight += sign * direction
            torch.manual_seed(1)
            values.append(np.mean(np.log1p(np.exp(-D(G(z, noise_mode="random")).numpy()))))
            weight -= sign * direction
    assert (values[0] - values[1]) / 2 == pytest.approx((gradient * direction).sum().item(), rel=1e-4)


def test_reals_are_the_images_mirrored_or_not(images):
    reals = RealImages(images, seed=3)
    batch = reals.batch(10)
    assert batch.dtype == torch.float32
    as_floats = images.float() / 127.5 - 1
    found = []
    for x in batch:
        plain = (as_floats == x).all(dim=(1, 2, 3))
        flipped = (as_floats.flip(3) == x).all(dim=(1, 2, 3))
        assert (plain | flipped).sum() == 1
        found.append((int((plain | flipped).nonzero()), bool(flipped.any())))
    assert sorted(i for i, _ in found) == list(range(10))  # one pass shows every image once
    assert 0 < sum(flip for _, flip in found) < 10
    unmirrored = RealImages(images, seed=3, mirror=False).batch(10)
    assert all((as_floats == x).all(dim=(1, 2, 3)).any() for x in unmirrored)


def test_the_sequence_depends_on_the_seed_alone(images):
    one = RealImages(images, seed=1).batch(24)
    reals = RealImages(images, seed=1)
    many = torch.cat([reals.batch(n) for n in (1, 7, 12, 4)])
    assert torch.equal(one, many)
    assert not torch.equal(one[:10], one[10:20])  # the next pass has another order
    assert not torch.equal(one, RealImages(images, seed=2).batch(24))


def test_reals_resume(images):
    reals = RealImages(images, seed=5)
    reals.batch(13)
    state = json.loads(json.dumps(reals.get_state()))
    expected = reals.batch(9)
    other = RealImages(images, seed=0)
    other.set_state(state)
    assert torch.equal(other.batch(9), expected)


def test_reals_do_not_touch_the_global_random_numbers(images, gan):
    before = torch.get_rng_state()
    RealImages(images).batch(4)
    GeneratorReals(gan[0]).batch(2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "bad", [torch.rand(2, 3, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8), torch.zeros(0, 3, 4, 4, dtype=torch.uint8)]
)
def test_wrong_images_are_refused(bad):
    with pytest.raises(ValueError, match="uint8"):
        RealImages(bad)


def test_generator_reals_stay_as_the_generator_was(gan):
    G = gan[0]
    reals = GeneratorReals(G, seed=2)
    state = reals.get_state()
    first = reals.batch(3)
    assert first.shape == (3, 3, 8, 8)
    assert first.abs().max() <= 1
    assert not first.requires_grad
    with torch.no_grad():
        for p in G.parameters():
            p.add_(1.0)
    reals.set_state(state)
    assert torch.equal(reals.batch(3), first)
    assert not torch.equal(reals.batch(3), first)
    assert torch.equal(GeneratorReals(copy.deepcopy(reals.G), seed=2).batch(3), first)
