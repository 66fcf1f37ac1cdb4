"""How directions are judged, with judges whose answer is known: the image's colours."""

import math

import pytest
import torch

from ganinv import GanInvError
from ganinv.editing import Direction
from ganinv.editing.measure import change, cosine, editing_consistency, score, walk


class Colours:
    """Red, green and blue, each in standard deviations of nothing: means of the channels."""

    names = ("red", "green", "blue")

    def __call__(self, images):
        return images.mean(dim=(2, 3))


class Position:
    same = 0.5

    def __call__(self, images):
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack([mean.cos(), mean.sin()], dim=1)


def colours(*values):
    return torch.tensor(values)[:, :, None, None].expand(-1, -1, 4, 4)


def test_change_by_hand():
    before = colours([0.0, 0.0, 0.0], [0.1, 0.1, 0.1])
    after = {
        1.0: before + colours([0.2, 0.1, -0.3]),
        2.0: before + torch.cat([colours([0.4, 0.2, 0.0]), colours([0.4, -0.2, 0.0])]),
    }
    found = change(before, after, "red", Colours(), Position())
    assert found.strengths == [1.0, 2.0]
    assert found.shift == pytest.approx([0.2, 0.4])
    assert found.mean_ad == pytest.approx([0.2, 0.1])
    assert found.max_ad == pytest.approx([0.3, 0.2])
    assert found.identity == pytest.approx([0.0, 2 * math.sin(0.1) / 2 + math.sin(0.2 / 6)], abs=1e-3)
    assert found.changes["green"] == pytest.approx([0.1, 0.0], abs=1e-6)
    assert found.at_goal(0.3) == pytest.approx(
        {"strength": 1.5, "mean_ad": 0.15, "max_ad": 0.25, "identity": found.identity[1] / 2}
    )
    assert found.at_goal(0.1)["strength"] == pytest.approx(0.5)
    assert set(found.at_goal(1.5).values()) == {None}


@pytest.mark.parametrize(
    ("step", "passes", "reason"),
    [
        ([1.0, 0.1, 0.1], True, ""),
        ([1.0, 0.5, 0.5], False, "mean attribute dependency 0.75 > 0.3"),
        ([0.3, 0.0, 0.0], False, "moves by 1.20 σ at most"),
    ],
)
def test_the_verdict(step, passes, reason):
    """An edit whose strength is a colour: the goal is where red has changed by 1.5."""
    strengths = (0.5, 1.0, 2.0, 4.0)
    before = colours([0.0, 0.0, 0.0])

    class Unclamped(Colours):
        def __call__(self, images):
            return 10 * images.mean(dim=(2, 3))

    after = {t: before + t * colours(step) / 10 for t in strengths}
    verdict = score(change(before, after, "red", Unclamped(), Position()), same=0.5)
    assert (verdict.passes, verdict.reason) == (passes, reason)
    assert verdict.shift_at_one == pytest.approx(step[0])
    assert verdict.facts()["passes"] == passes
    stranger = score(change(before, after, "red", Unclamped(), Position()), same=0.001)
    assert not stranger.passes
    if verdict.strength is not None:
        assert verdict.strength == pytest.approx(1.5 / step[0])
        assert "the face is another" in stranger.reason


def test_a_walk_is_of_random_images(tiny_bundle, unit):
    direction = Direction("red", unit(1)).measured(tiny_bundle)
    found = walk(tiny_bundle, direction, Colours(), Position(), strengths=(1.0, 2.0), samples=5)
    G = tiny_bundle.G
    ws = G.mapping(torch.randn(5, 16, generator=torch.Generator().manual_seed(7)))
    images = [G.synthesis(ws + t * direction.step).clamp(-1, 1) for t in (0, 2)]
    assert found.shift[1] == pytest.approx((images[1] - images[0])[:, 0].mean().item(), abs=1e-4)
    assert found.shift[0] != found.shift[1]
    unknown = walk(tiny_bundle, Direction("smile", unit(1)), Colours(), strengths=(1.0,), samples=2)
    assert math.isnan(unknown.shift[0])
    assert math.isnan(unknown.identity[0])


def test_editing_consistency(tiny_bundle, unit, ws):
    """An encoder that finds every code, and one that finds only half of an edit."""
    direction = Direction("x", unit(1), layers=(1, 2))
    edited = direction.at(2).codes(ws, dict)[0]
    codes = {id(before := ws.clone()): ws, id(after := edited.clone()): edited}
    assert editing_consistency(lambda x: codes[id(x)], before, after, direction, 2) == pytest.approx(
        [0, 0, 0], abs=1e-5
    )
    codes[id(after)] = (ws + edited) / 2
    assert editing_consistency(lambda x: codes[id(x)], before, after, direction, 2) == pytest.approx(
        [1, 1, 1], rel=1e-4
    )
    with pytest.raises(GanInvError, match="direction of S"):
        editing_consistency(lambda x: x, before, after, direction.in_s(tiny_bundle.G), 2)


def test_cosine(unit):
    a, b = Direction("a", unit(1)), Direction("b", 3 * unit(2))
    assert cosine(a, a) == pytest.approx(1)
    assert cosine(a, b) == pytest.approx((unit(1) @ unit(2)).item(), abs=1e-6)
