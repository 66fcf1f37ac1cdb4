"""Directions from gradients: the closed form by hand, and on a generator with judges whose answer is known."""

import pytest
import torch

from ganinv import GanInvError
from ganinv.editing import Direction, Edit, Gradients, gradients, isolated
from ganinv.editing.measure import change, drawn, samples_of


class Colours:
    """Red, green and blue of the image's mean."""

    names = ("red", "green", "blue")

    def __call__(self, images):
        return 10 * images.mean(dim=(2, 3))


def by_hand(J, identity=None):
    J = torch.tensor(J)
    return Gradients(
        ("wanted", "other"),
        {"b4.conv1": 1, "b8.conv0": 2},
        J,
        J[:, :0] if identity is None else torch.tensor(identity),
        torch.tensor([1.0, 2.0, 4.0]),
        torch.zeros(3),
        "",
    )


def test_the_other_attribute_stays():
    """Both of the first two channels move what is wanted, the second the other attribute, too; the third does nothing."""
    found = isolated(by_hand([[[1.0, 1, 0], [0, 1, 0]]] * 4), "wanted", ridge=1e-9)
    assert found.space == "s"
    assert found.method == "gradients"
    torch.testing.assert_close(torch.cat(list(found.step.values())), torch.tensor([1.0, 0, 0]), atol=1e-5, rtol=0)


def test_so_does_who_it_is():
    J = [[[1.0, 1, 0], [0, 0, 1]]] * 4
    free = isolated(by_hand(J), "wanted", ridge=1e-9)
    torch.testing.assert_close(torch.cat(list(free.step.values())), torch.tensor([0.5, 1.0, 0]), atol=1e-5, rtol=0)
    kept = isolated(by_hand(J, [[[3.0, 0, 0]]] * 4), "wanted", ridge=1e-9)
    torch.testing.assert_close(torch.cat(list(kept.step.values())), torch.tensor([0, 2.0, 0]), atol=1e-5, rtol=0)


def test_the_closed_form_is_the_minimum():
    random = torch.Generator().manual_seed(0)
    J, identity = torch.randn(20, 2, 3, generator=random), torch.randn(20, 4, 3, generator=random)
    found = by_hand(J.tolist(), identity.tolist())
    u = torch.cat(list(isolated(found, "wanted", 0.5, 0.1).step.values())) / found.sigma
    assert (J[:, 0].mean(dim=0) @ u).item() == pytest.approx(1, abs=1e-4)
    M = (J[:, 1, :, None] * J[:, 1, None]).mean(dim=0) + torch.cov(J[:, 0].T, correction=0)
    M += 0.5 * (identity[:, :, :, None] * identity[:, :, None]).mean(dim=(0, 1))
    M += 0.1 * M.diagonal().mean() * torch.eye(3)
    across = torch.linalg.svd(J[:, 0].mean(dim=0)[None])[2][1:]  # moves that leave what is wanted as it is
    assert (across @ M @ u).abs().max() < 1e-4  # the gradient of what is minimised has nothing along them


def test_on_a_generator(tiny_bundle):
    """A step moves red by about one, to first order, and green and blue less than the plain mean gradient does."""
    found = gradients(tiny_bundle, Colours(), samples=256)
    assert list(found.sizes) == list(tiny_bundle.G.synthesis.conv_names)
    ws = samples_of(tiny_bundle, 64, seed=3)
    red = isolated(found, "red", ridge=0.1)
    j = found.attributes[:, 0].mean(dim=0)
    plain = (j / (j @ j) * found.sigma).split(list(found.sizes.values()))
    rival = Direction("red", dict(zip(found.sizes, plain, strict=True)))
    small = 0.02
    moved = {
        each: change(drawn(tiny_bundle, ws, Edit()), {small: drawn(tiny_bundle, ws, each.at(small))}, "red", Colours())
        for each in (red, rival)
    }
    for each in (red, rival):
        assert moved[each].shift[0] / small == pytest.approx(1, abs=0.35)
    assert moved[red].mean_ad[0] < 0.7 * moved[rival].mean_ad[0]


def test_the_coordinate_is_zero_at_the_mean(tiny_bundle):
    found = isolated(gradients(tiny_bundle, Colours(), samples=8), "green")
    mean = dict(zip(found.step, (found_mean[None] for found_mean in _mean(tiny_bundle)), strict=True))
    assert found.coordinate(mean).abs().max() < 1e-4


def _mean(gan):
    from ganinv.editing import channel_statistics

    return [channel_statistics(gan)[name][0] for name in gan.G.synthesis.conv_names]


def test_what_nothing_moves_is_said():
    with pytest.raises(GanInvError, match="no channel moves wanted"):
        isolated(by_hand([[[0.0, 0, 0], [0, 1, 0]]] * 4), "wanted")
    with pytest.raises(GanInvError, match="no attribute 'smile'"):
        isolated(by_hand([[[1.0, 0, 0], [0, 1, 0]]] * 4), "smile")
