"""Directions, and the edits that are made of them."""

import dataclasses
import math

import pytest
import torch

from ganinv import GanInvError
from ganinv.editing import Direction
from ganinv.stylegan2.generator import Generator


@pytest.fixture
def smile(unit):
    return Direction("smile", 2 * unit(3))


@pytest.fixture
def styled(tiny_bundle):
    random = torch.Generator().manual_seed(4)
    return Direction(
        "lips", {"b8.conv0": torch.randn(16, generator=random), "b16.torgb": torch.randn(16, generator=random)}
    )


def edited(edit, ws, G):
    return edit.codes(ws, G.synthesis.styles)


def test_a_step_is_a_step(smile, ws, tiny_bundle):
    moved, styles = edited(smile.at(-1.5), ws, tiny_bundle.G)
    torch.testing.assert_close(moved - ws, (-1.5 * smile.step).expand_as(ws), atol=1e-5, rtol=0)
    assert not styles
    assert smile.length == pytest.approx(2)


def test_only_some_rows_move(smile, ws, tiny_bundle):
    some = dataclasses.replace(smile, layers=(1, 3))
    moved = edited(some.at(1), ws, tiny_bundle.G)[0]
    rest = [i for i in range(ws.shape[1]) if i not in (1, 3)]
    assert torch.equal(moved[:, rest], ws[:, rest])
    torch.testing.assert_close(moved[:, [1, 3]], ws[:, [1, 3]] + smile.step)
    assert (smile.space, some.space) == ("w", "w+")


def test_the_rows_of_w_plus_move_each_by_its_own(ws, tiny_bundle):
    step = torch.randn(*ws.shape[1:], generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(edited(Direction("x", step).at(2), ws, tiny_bundle.G)[0], ws + 2 * step)


def test_to_sets_the_coordinate_wherever_it_was(smile, styled, ws, tiny_bundle):
    G = tiny_bundle.G
    smile = dataclasses.replace(smile, offset=0.3)
    moved = edited(smile.to(1.25), ws, G)[0]
    torch.testing.assert_close(smile.coordinate(moved), torch.full([3], 1.25))
    # by GANSpace's formula, measured on the first row
    v, sigma, mean = smile.step / 2, 2.0, 0.3 * smile.step
    delta = (1.25 - (ws[:, 0] - mean) @ v / sigma)[:, None] * v * sigma
    torch.testing.assert_close(moved, ws + delta[:, None])
    styles = {**G.synthesis.styles(ws), **edited(styled.to(-2), ws, G)[1]}
    torch.testing.assert_close(styled.coordinate(styles), torch.full([3], -2.0))


def test_edits_compose(smile, styled, unit, ws, tiny_bundle):
    G = tiny_bundle.G
    glasses = Direction("glasses", unit(6))
    both = smile.at(1) + glasses.at(2)
    torch.testing.assert_close(edited(both, ws, G)[0], ws + smile.step + 2 * glasses.step)
    torch.testing.assert_close(edited(2 * both, ws, G)[0], ws + 2 * smile.step + 4 * glasses.step)
    moved, styles = edited(styled.at(1) + smile.at(1) + styled.at(0.5), ws, G)
    own = G.synthesis.styles(ws + smile.step)
    torch.testing.assert_close(moved, ws + smile.step)
    for name, part in styled.step.items():
        torch.testing.assert_close(styles[name], own[name] + 1.5 * part)
    torch.testing.assert_close(
        (smile.at(1) + styled.at(1)).draw(G, ws),
        G.synthesis(moved, styles=edited(smile.at(1) + styled.at(1), ws, G)[1]),
    )


def test_strength_zero_moves_no_bit(smile, styled, ws, tiny_bundle):
    moved, styles = edited(smile.at(0) + styled.at(0.0) + 0 * smile.at(3), ws, tiny_bundle.G)
    assert torch.equal(moved, ws)
    assert not styles


def test_one_standard_deviation_of_random_codes(smile, codes, tiny_bundle):
    G = tiny_bundle.G
    measured = smile.measured(tiny_bundle)
    ws = codes[:, None].expand(-1, G.num_ws, -1)
    coordinates = measured.coordinate(ws)
    assert coordinates.std().item() == pytest.approx(1, abs=0.03)
    assert coordinates.mean().item() == pytest.approx(0, abs=0.1)
    plus = Direction("x", torch.stack([smile.step * (i == 2) for i in range(G.num_ws)])).measured(tiny_bundle)
    torch.testing.assert_close(plus.step[2], measured.step)  # a row of w+ moves as far as w does
    every = Direction("x", smile.step.expand(G.num_ws, -1)).measured(tiny_bundle)
    torch.testing.assert_close(every.step, measured.step.expand(G.num_ws, -1))
    assert every.coordinate(ws).std().item() == pytest.approx(1, abs=0.03)


def test_one_standard_deviation_of_styles(styled, codes, tiny_bundle):
    G = tiny_bundle.G
    measured = styled.measured(tiny_bundle)
    styles = G.synthesis.styles(codes[:, None].expand(-1, G.num_ws, -1))
    coordinates = measured.coordinate({name: style.detach() for name, style in styles.items()})
    assert coordinates.std().item() == pytest.approx(1, abs=0.03)
    assert coordinates.mean().item() == pytest.approx(0, abs=0.1)


def test_in_s_it_draws_the_same(smile, ws, tiny_bundle):
    G = tiny_bundle.G
    for direction in (smile, dataclasses.replace(smile, layers=(0, 4)), Direction("x", ws[0])):
        in_s = direction.in_s(G)
        assert in_s.space == "s"
        torch.testing.assert_close(in_s.at(1.5).draw(G, ws), direction.at(1.5).draw(G, ws), atol=1e-4, rtol=1e-4)
    assert set(dataclasses.replace(smile, layers=(0,)).in_s(G).step) == {"b4.conv1"}


def test_channels_can_be_left_out(styled):
    kept = styled.only({"b8.conv0": torch.arange(16) == 2})
    assert list(kept.step) == ["b8.conv0"]
    assert kept.step["b8.conv0"].nonzero().tolist() == [[2]]
    assert kept.step["b8.conv0"][2] == styled.step["b8.conv0"][2]
    with pytest.raises(GanInvError, match="no vector of finite numbers"):
        styled.only({"b8.conv0": torch.zeros(16, dtype=torch.bool)})


@pytest.mark.parametrize("others", [1, 3])
def test_conditioned_directions_leave_the_conditions(unit, others, ws, tiny_bundle):
    smile = Direction("smile", unit(0))
    conditions = [Direction(f"c{i}", (i + 1) * unit(i + 1)) for i in range(others)]
    kept = smile.conditioned(*conditions)
    moved = edited(kept.at(5), ws, tiny_bundle.G)[0]
    for condition in conditions:
        assert abs(smile.step @ condition.step) > 0.01
        torch.testing.assert_close(condition.coordinate(moved), condition.coordinate(ws), atol=1e-4, rtol=0)
    assert kept.length == pytest.approx(1)
    assert kept.step @ smile.step > 0
    assert kept.facts["conditioned_on"] == [condition.name for condition in conditions]
    if others == 1:  # the closed form of the paper
        c = conditions[0].step / conditions[0].length
        torch.testing.assert_close(kept.step, torch.nn.functional.normalize(unit(0) - (unit(0) @ c) * c, dim=0))


def test_the_condition_of_an_image_stays_to_first_order(unit, ws, tiny_bundle):
    """An attribute of the image, and its gradient as the condition: half the step, a quarter of the change."""
    G = tiny_bundle.G

    def brightness(w):
        return G.synthesis(w[:, None].expand(-1, G.num_ws, -1)).mean(dim=(1, 2, 3))

    w = ws[:1, 0].double().requires_grad_()
    double = Generator(**G.config).double()
    double.load_state_dict(G.state_dict())
    G = double
    (gradient,) = torch.autograd.grad(brightness(w).sum(), w)
    free = Direction("free", unit(2))
    kept = free.conditioned(Direction("brightness", gradient[0].float()))
    changes = {
        name: [(brightness(w + h * d.step.double()) - brightness(w)).abs().item() for h in (0.02, 0.01)]
        for name, d in (("free", free), ("kept", kept))
    }
    assert changes["free"][0] / changes["free"][1] == pytest.approx(2, rel=0.1)
    assert changes["kept"][0] / changes["kept"][1] == pytest.approx(4, rel=0.2)
    assert changes["kept"][1] < 0.1 * changes["free"][1]


def test_conditions_in_s_and_in_w_plus(styled, unit, ws):
    other = Direction("o", {"b8.conv0": torch.ones(16), "b4.conv1": torch.ones(16)})
    kept = styled.conditioned(other)
    assert kept.step["b8.conv0"].sum().item() + kept.step["b4.conv1"].sum().item() == pytest.approx(0, abs=1e-4)
    plus = Direction("x", ws[0]).conditioned(Direction("smile", unit(1)))
    assert (plus.step @ unit(1)).sum().item() == pytest.approx(0, abs=1e-4)


def test_what_cannot_be(smile, styled, unit, ws, tiny_bundle):
    with pytest.raises(GanInvError, match="strength of smile has to be a finite number, not nan"):
        smile.at(math.nan)
    with pytest.raises(GanInvError, match="not inf"):
        smile.to(math.inf)
    with pytest.raises(GanInvError, match="not 'much'"):
        smile.at("much")
    with pytest.raises(GanInvError, match="no vector of finite numbers"):
        Direction("x", torch.tensor([1.0, math.nan]))
    with pytest.raises(GanInvError, match="has no length"):
        Direction("x", torch.zeros(16))
    with pytest.raises(GanInvError, match="nothing of smile is left"):
        smile.conditioned(Direction("grin", 3 * smile.step))
    with pytest.raises(GanInvError, match="one space"):
        smile.conditioned(styled)
    with pytest.raises(GanInvError, match="different widths"):
        smile.conditioned(Direction("x", torch.ones(8)))
    with pytest.raises(GanInvError, match="width 512, and the generator's codes of 16"):
        Direction("x", torch.ones(512)).at(1).draw(tiny_bundle.G, ws)
    with pytest.raises(GanInvError, match=r"moves b128\.conv0"):
        Direction("x", {"b128.conv0": torch.ones(16)}).at(1).draw(tiny_bundle.G, ws)
    with pytest.raises(GanInvError, match="rows"):
        dataclasses.replace(smile, layers=(99,)).at(1).draw(tiny_bundle.G, ws)
    with pytest.raises(GanInvError, match="no channels"):
        smile.only({})
