import pytest
import torch

from ganinv import GanInvError
from ganinv.editing import (
    Direction,
    attribute_channel,
    channel,
    channel_statistics,
    gradient_maps,
    local_channels,
    relevance,
    within,
)
from ganinv.editing.stylespace import MAP, channels


@pytest.fixture(scope="module")
def styles(tiny_bundle, codes):
    """Style vectors of random codes, ``{layer: [20000, C]}``."""
    with torch.no_grad():
        return tiny_bundle.G.synthesis.styles(codes[:, None].expand(-1, tiny_bundle.G.num_ws, -1))


def test_statistics_are_those_of_samples(tiny_bundle, styles):
    for name, (mean, std) in channel_statistics(tiny_bundle).items():
        torch.testing.assert_close(std, styles[name].std(dim=0), atol=0, rtol=0.05)
        assert ((mean - styles[name].mean(dim=0)).abs() < 0.1 * std).all()


def test_the_edit_of_one_channel_is_the_direct_synthesis(tiny_bundle, ws):
    G = tiny_bundle.G
    direction = channel(tiny_bundle, "b16.conv0", 5)
    std = channel_statistics(tiny_bundle)["b16.conv0"][1][5]
    own = G.synthesis.styles(ws)["b16.conv0"]
    own[:, 5] += 2.5 * std
    torch.testing.assert_close(direction.at(2.5).draw(G, ws), G.synthesis(ws, styles={"b16.conv0": own}))
    assert direction.name == "b16.conv0:5"
    moved = direction.to(-1).codes(ws, G.synthesis.styles)[1]["b16.conv0"][:, 5]
    mean = channel_statistics(tiny_bundle)["b16.conv0"][0][5]
    torch.testing.assert_close(moved, (mean - std).expand(3))


@pytest.mark.parametrize("where", [("b16.torgb", 0), ("b16.conv0", 16), ("b4.conv0", 0), ("nowhere", 0)])
def test_there_is_no_such_channel(tiny_bundle, where):
    with pytest.raises(GanInvError, match="has no channel"):
        channel(tiny_bundle, *where)


def test_the_channel_of_an_attribute_is_found(tiny_bundle, styles):
    """Examples are codes with one channel low; that channel is the most relevant, and the edit lowers it."""
    layer, number = "b8.conv1", 3
    lowest = styles[layer][:, number].argsort()[:50]
    examples = {name: style[lowest] for name, style in styles.items()}
    ranked = relevance(tiny_bundle, examples)
    assert (
        len(ranked)
        == len(channels(tiny_bundle.G))
        == sum(tiny_bundle.G.synthesis.layer(n).weight.shape[1] for n in tiny_bundle.G.synthesis.conv_names)
    )
    assert (ranked[0].layer, ranked[0].number, ranked[0].sign) == (layer, number, -1)
    assert ranked[0].relevance > ranked[1].relevance > ranked[-1].relevance >= 0
    mean, std = (part[number] for part in channel_statistics(tiny_bundle)[layer])
    delta = (examples[layer][:, number] - mean) / std
    assert ranked[0].relevance == pytest.approx((delta.mean().abs() / delta.std()).item(), rel=1e-3)
    direction = attribute_channel(tiny_bundle, examples, "low")
    assert direction.step[layer].nonzero().tolist() == [[number]]
    assert direction.step[layer][number] < 0
    # the coordinate grows along the direction
    assert direction.coordinate(examples).mean() > direction.coordinate(styles).mean() + 1
    with pytest.raises(GanInvError, match="at least two examples"):
        relevance(tiny_bundle, {name: style[:1] for name, style in styles.items()})


def test_gradient_maps_are_derivatives(tiny_bundle, ws):
    G, chosen = tiny_bundle.G, [("b4.conv1", 2), ("b16.conv1", 7), ("b32.conv0", 0)]
    maps = gradient_maps(tiny_bundle, ws, chosen)
    assert maps.shape == (3, 3, MAP, MAP)
    for found, (layer, number) in zip(maps, chosen, strict=True):
        direction = channel(tiny_bundle, layer, number)
        h = 1e-2
        change = (direction.at(h).draw(G, ws) - direction.at(-h).draw(G, ws)) / (2 * h)
        assert (found - change.abs().mean(dim=1)).norm() < 0.02 * found.norm()


def test_where_channels_act():
    """Four images; channels that act on the left, on a small part of it, everywhere, and on different sides."""
    left = torch.zeros(MAP, MAP, dtype=torch.bool)
    left[:, : MAP // 2] = True
    corner = torch.zeros_like(left)
    corner[:8, -8:] = True
    random = torch.rand(4, MAP, MAP, generator=torch.Generator().manual_seed(0))
    maps = torch.stack([0.1 * random + left, 0.1 * random + corner, random, 0.1 * random])
    maps[3, :2] += left
    maps[3, 2:] += corner
    regions = {"left": left, "corner": corner}
    found = local_channels(maps, regions)
    assert found["left"] == [0]
    assert 1 in found["corner"]
    assert 3 not in found["left"] + found["corner"]
    larger = {name: mask.repeat_interleave(2, 0).repeat_interleave(2, 1) for name, mask in regions.items()}
    assert local_channels(maps, larger) == found
    each = {name: mask.expand(4, -1, -1) for name, mask in regions.items()}
    assert local_channels(maps, each) == found


def test_a_local_edit_is_made_of_channels_that_act_in_the_mask(make_bundle, ws):
    """A generator whose constant has one channel that is large on the left, and zero on the right."""
    gan = make_bundle(0)
    G, number = gan.G, 4
    with torch.no_grad():
        G.synthesis.b4.const[number] = 0
        G.synthesis.b4.const[number, :, 0] = 20
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[:, :16] = True
    direction = Direction("x", torch.ones(16))
    in_s = direction.in_s(G).step
    local = within(gan, direction, mask, ws[:1]).step
    assert local["b4.conv1"][number] == in_s["b4.conv1"][number]
    maps = gradient_maps(gan, ws[:1], channels(G))[:, 0]
    shares = maps[:, :, :16].sum(dim=(1, 2)) / maps.sum(dim=(1, 2))
    for (name, i), share in zip(channels(G), shares.tolist(), strict=True):
        kept = name in local and bool(local[name][i])
        assert kept == (share > 0.5), (name, i, share)
    assert not any(name.endswith("torgb") for name in local)
    assert 0.3 < (shares > 0.5).float().mean() < 0.9


@pytest.mark.parametrize("value", [True, False])
def test_a_mask_of_everything_or_nothing(tiny_bundle, ws, value):
    with pytest.raises(GanInvError, match="all black or all white"):
        within(tiny_bundle, Direction("x", torch.ones(16)), torch.full((32, 32), value), ws)
