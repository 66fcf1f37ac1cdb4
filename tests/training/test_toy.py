"""The GANs of points: data, the measure of mode coverage, the two players' gradients, and training."""

import math

import pytest
import torch

from ganinv.training import toy


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_ring_is_eight_equal_gaussians():
    points = toy.ring(40_000, generator())
    distance, nearest = torch.cdist(points, toy.ring_centres()).min(dim=1)
    counts = torch.bincount(nearest, minlength=8)
    assert counts.max() < 5300  # 5000 each, give or take 66
    assert counts.min() > 4700
    assert distance.square().mean().sqrt().item() == pytest.approx(toy.STD * math.sqrt(2), rel=0.02)


def test_moons_interleave():
    points = toy.moons(4000, generator())
    assert points.abs().max() < 1.2
    torch.testing.assert_close(points.mean(dim=0), torch.zeros(2), atol=0.05, rtol=0)
    upper = points[(points - torch.tensor([-0.3, -0.15])).norm(dim=1).sub(0.6).abs() < 0.2]
    assert 0.4 < (upper[:, 1] > -0.35).float().mean() < 1
    assert len(upper) > 1800


def test_coverage_of_real_points_is_complete():
    points = torch.stack([toy.ring(4000, generator(i)) for i in range(2)])
    modes, share = toy.coverage(points, toy.ring_centres())
    assert modes.tolist() == [8, 8]
    assert share.min() > 0.999  # within 5 sigma
    _, share = toy.coverage(points, toy.ring_centres(), radius=2 * toy.STD)
    torch.testing.assert_close(share, torch.full([2], 1 - math.exp(-2)), atol=0.02, rtol=0)  # a Rayleigh distribution


def test_coverage_sees_collapse_bridges_and_crumbs():
    centres = toy.ring_centres()
    collapsed = centres[3].expand(800, 2)
    # two modes at its ends, nothing in between
    bridge = torch.lerp(centres[0], centres[1], torch.linspace(0, 1, 800)[:, None])
    # 3 % on the second mode: less than a quarter of 1/8
    crumbs = torch.cat([centres[0].expand(776, 2), centres[4].expand(24, 2)])
    modes, share = toy.coverage(torch.stack([collapsed, bridge, crumbs]), centres)
    assert modes.tolist() == [1, 2, 1]
    assert share[0] == 1
    assert share[1].item() == pytest.approx(0.2 / (centres[0] - centres[1]).norm().item(), abs=0.01)


def test_mlp_is_a_stack_of_plain_networks():
    net = toy.MLP(3, 2, 5, 2, [generator(0), generator(1)])
    x = torch.randn(2, 7, 3)
    for run in range(2):
        plain, inputs = torch.nn.Sequential(), 3
        for weight, bias in zip(net.weights, net.biases, strict=True):
            layer = torch.nn.Linear(inputs, weight.shape[2])
            layer.weight.data, layer.bias.data = weight[run].T, bias[run, 0]
            plain.extend([torch.nn.LeakyReLU(0.2), layer] if len(plain) else [layer])
            inputs = weight.shape[2]
        torch.testing.assert_close(net(x)[run], plain(x[run]))
    assert not torch.equal(net.weights[0][0], net.weights[0][1])


def test_step_moves_each_player_by_its_own_loss():
    """With plain gradient descent of rate 1, the step is the gradient of the textbook loss, R1 by hand included."""
    G, D = (toy.MLP(2, outputs, 8, 2, [generator(i) for i in range(3)]) for outputs in (2, 1))
    before = [p.detach().clone() for p in D.parameters()], [p.detach().clone() for p in G.parameters()]
    real, z = torch.randn(3, 16, 2), torch.randn(3, 16, 2)

    x = real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    fake = G(z).detach()
    probability_real, probability_fake = D(x).sigmoid(), D(fake).sigmoid()
    loss = (
        -(probability_real.log() + (1 - probability_fake).log()).mean(dim=(1, 2)).sum()
        + 5 * slope.square().sum(dim=2).mean(dim=1).sum()
    )
    wanted_D = torch.autograd.grad(loss, list(D.parameters()))

    losses = toy.step(
        G, D, torch.optim.SGD(G.parameters(), 1.0), torch.optim.SGD(D.parameters(), 1.0), real, z, r1_gamma=10.0
    )
    for parameter, old, gradient in zip(D.parameters(), before[0], wanted_D, strict=True):
        torch.testing.assert_close(parameter.detach(), old - gradient, atol=1e-5, rtol=1e-4)
    assert losses["r1"].item() == pytest.approx(slope.square().sum(dim=2).mean().item(), rel=1e-5)

    old_G = toy.MLP(2, 2, 8, 2, [generator(i) for i in range(3)])  # against the new discriminator
    wanted_G = torch.autograd.grad(-D(old_G(z)).sigmoid().log().mean(dim=(1, 2)).sum(), list(old_G.parameters()))
    for parameter, old, gradient in zip(G.parameters(), before[1], wanted_G, strict=True):
        torch.testing.assert_close(parameter.detach(), old - gradient, atol=1e-5, rtol=1e-4)


def test_runs_do_not_depend_on_their_neighbours():
    config = toy.ToyConfig(steps=12, width=16)
    both, alone = (toy.train(toy.ring, config, seeds)[-1] for seeds in ((5, 7), (7,)))
    for pair, single in zip(
        [*both.G.parameters(), *both.D.parameters()], [*alone.G.parameters(), *alone.D.parameters()], strict=True
    ):
        torch.testing.assert_close(pair[1:], single, atol=1e-4, rtol=1e-3)


def test_snapshots_are_kept_as_they_were():
    snapshots = toy.train(toy.moons, toy.ToyConfig(steps=5, width=8, z_dim=1), seeds=(0,), every=2)
    assert [snapshot.step for snapshot in snapshots] == [0, 2, 4, 5]
    z = torch.zeros(1, 1, 1)
    assert len({tuple(snapshot.G(z).flatten().tolist()) for snapshot in snapshots}) == 4
    assert not any(parameter.requires_grad for snapshot in snapshots for parameter in snapshot.D.parameters())


def test_training_spreads_over_the_ring():
    config = toy.ToyConfig(steps=200, width=32, layers=2)
    snapshots = toy.train(toy.ring, config, seeds=(0, 1), every=200)
    z = torch.randn(2, 1000, 2, generator=generator())
    modes, share = zip(
        *(toy.coverage(snapshot.G(z), toy.ring_centres(), radius=0.25) for snapshot in snapshots), strict=True
    )
    assert modes[0].max() <= 1
    assert modes[1].min() >= 4
    assert (share[1] - share[0]).min() > 0.2
