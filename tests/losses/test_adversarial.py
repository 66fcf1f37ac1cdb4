"""The GAN losses against their formulas in NumPy, and the second derivatives that R1 and path length need."""

import numpy as np
import pytest
import torch
from torch import nn

from ganinv.losses.adversarial import (
    discriminator_loss,
    generator_loss,
    path_length_penalty,
    r1_from_logits,
    r1_penalty,
)
from ganinv.stylegan2 import Discriminator, Generator


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def test_generator_loss_value_and_gradient():
    logits = torch.tensor([[-3.0], [0.0], [5.0], [1.5]], dtype=torch.float64, requires_grad=True)
    t = logits.detach().numpy()
    loss = generator_loss(logits)
    loss.backward()
    assert loss.item() == pytest.approx(np.mean(np.log(1 + np.exp(-t))), abs=1e-14)
    np.testing.assert_allclose(logits.grad.numpy(), -sigmoid(-t) / 4, atol=1e-14)


def test_discriminator_loss_value_and_gradient():
    real = torch.tensor([[2.0], [-1.0]], dtype=torch.float64, requires_grad=True)
    fake = torch.tensor([[0.5], [-4.0], [3.0]], dtype=torch.float64, requires_grad=True)
    r, f = real.detach().numpy(), fake.detach().numpy()
    loss = discriminator_loss(real, fake)
    loss.backward()
    assert loss.item() == pytest.approx(-np.mean(np.log(sigmoid(r))) - np.mean(np.log(1 - sigmoid(f))), abs=1e-14)
    np.testing.assert_allclose(real.grad.numpy(), -sigmoid(-r) / 2, atol=1e-14)
    np.testing.assert_allclose(fake.grad.numpy(), sigmoid(f) / 3, atol=1e-14)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[-1e4], [1e4]], requires_grad=True)
    loss = generator_loss(logits) + discriminator_loss(logits, logits)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


class Quadratic(nn.Module):
    """D(x) = sum(a x^2): the gradient is 2 a x, so R1 and its derivative by a are known."""

    def __init__(self, a):
        super().__init__()
        self.a = nn.Parameter(a)

    def forward(self, x):
        return (self.a * x.square()).sum(dim=(1, 2, 3))[:, None]


def test_r1_value_and_gradient():
    a, x = torch.rand(3, 4, 4, dtype=torch.float64), torch.rand(5, 3, 4, 4, dtype=torch.float64)
    D = Quadratic(a)
    penalty = r1_penalty(D, x)
    penalty.backward()
    squares = (2 * a.numpy() * x.numpy()) ** 2
    assert penalty.item() == pytest.approx(squares.sum(axis=(1, 2, 3)).mean())
    np.testing.assert_allclose(D.a.grad.numpy(), (8 * a.numpy() * x.numpy() ** 2).mean(axis=0))
    assert not x.requires_grad


def test_r1_from_shared_logits_is_the_same():
    D, x = Discriminator(8, channel_base=64, channel_max=8), torch.rand(4, 3, 8, 8)
    reals = x.clone().requires_grad_()
    torch.testing.assert_close(r1_from_logits(D(reals), reals), r1_penalty(D, x))


@pytest.mark.parametrize("shape", [(5, 2), (3, 5, 2), (5, 3, 8, 8)])
def test_r1_of_real_data_of_any_shape(shape):
    """The mean over the logits of each one's squared gradient; of D(x) = sum a x^2 that is (2 a x)^2."""
    x = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    dims = tuple(range(1, 4)) if len(shape) == 4 else -1
    logits = (3 * x.square()).sum(dim=dims)
    squares = (6 * x.detach().numpy()) ** 2
    assert r1_from_logits(logits, x).item() == pytest.approx(squares.sum() / logits.numel())


def test_r1_second_derivatives():
    """The gradient of the penalty by the weights of a smooth and of the real discriminator, against finite differences."""
    smooth = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 1)).double()
    x = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    names, weights = zip(*smooth.named_parameters(), strict=True)

    def penalty(*w):
        return r1_penalty(lambda t: torch.func.functional_call(smooth, dict(zip(names, w, strict=True)), t), x)

    assert torch.autograd.gradcheck(penalty, weights)

    D, x = Discriminator(8, channel_base=64, channel_max=8), torch.rand(4, 3, 8, 8)
    weight = D.b8.conv0.weight
    (gradient,) = torch.autograd.grad(r1_penalty(D, x), weight)
    step = 1e-2 * gradient / gradient.norm()  # the discriminator is float32
    with torch.no_grad():
        weight += step
    above = r1_penalty(D, x).item()
    with torch.no_grad():
        weight -= 2 * step
    assert (above - r1_penalty(D, x).item()) / 2 == pytest.approx((gradient * step).sum().item(), rel=1e-2)


def test_path_length_value_and_gradient():
    """For a linear generator image = A w the Jacobian is A, so the lengths follow from the noise alone."""
    A = torch.rand(3 * 4 * 4, 6, dtype=torch.float64, requires_grad=True)
    ws = torch.rand(5, 2, 6, dtype=torch.float64, requires_grad=True)  # two layers, both feeding the image
    images = (ws.sum(dim=1) @ A.t()).reshape(5, 3, 4, 4)
    torch.manual_seed(7)
    penalty, mean_length = path_length_penalty(images, ws, torch.tensor(2.0, dtype=torch.float64), decay=0.1)
    torch.manual_seed(7)
    y = torch.randn(5, 3, 4, 4, dtype=torch.float64).numpy().reshape(5, -1) / 4
    # both layers have the same gradient, so their mean is either
    lengths = np.sqrt(((y @ A.detach().numpy()) ** 2).sum(axis=1))
    expected_mean = 2.0 + 0.1 * (lengths.mean() - 2.0)
    assert mean_length.item() == pytest.approx(expected_mean)
    assert penalty.item() == pytest.approx(((lengths - expected_mean) ** 2).mean())
    penalty.backward()
    J = y @ A.detach().numpy()
    expected = sum(2 * (lengths[i] - expected_mean) / lengths[i] * np.outer(y[i], J[i]) for i in range(5)) / 5
    np.testing.assert_allclose(A.grad.numpy(), expected, atol=1e-12)


def test_path_length_reaches_the_generator():
    G = Generator(8, 8, 8, 1, channel_base=64, channel_max=8)
    ws = G.mapping(torch.randn(2, 8))
    penalty, _ = path_length_penalty(G.synthesis(ws), ws, torch.zeros([]))
    penalty.backward()
    assert G.synthesis.b8.conv0.weight.grad.abs().sum() > 0
    assert G.mapping.fc0.weight.grad.abs().sum() > 0
