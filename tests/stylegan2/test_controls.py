"""One dictionary for all that a synthesis is told besides its codes."""

import pytest
import torch

from ganinv.stylegan2.controls import Controls, controlled, stacked


@pytest.fixture
def everything(tiny_bundle):
    """Two photos' controls of every kind; the noise is the same for both."""
    G, random = tiny_bundle.G, torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=random)

    return Controls.of(
        noise={"b8.conv1": draw(1, 1, 8, 8)},
        base={"b8.conv0": draw(2, 16, 8, 8)},
        fusion={"b16.conv0": (draw(2, 16, 16, 16), draw(2, 16, 16, 16))},
        styles={"b32.conv1": draw(2, G.synthesis.layer("b32.conv1").weight.shape[1])},
        weights={"synthesis.b16.conv1.bias": draw(2, *G.synthesis.b16.conv1.bias.shape).half()},
    )


def test_a_row_is_what_one_photo_is_told(everything, tiny_bundle):
    """Drawn together, and one by one, and by hand."""
    G = tiny_bundle.G
    ws = G.mapping(torch.randn(2, 16, generator=torch.Generator().manual_seed(1)))
    together = G.synthesis(ws, **everything.arguments())
    for i in range(2):
        row = everything.row(i)
        assert all(len(tensor) == 1 for tensor in row.values())
        by_hand = G.synthesis(
            ws[i : i + 1],
            noise={"b8.conv1": everything["noise/b8.conv1"]},
            base={"b8.conv0": everything["base/b8.conv0"][i : i + 1]},
            fusion={"b16.conv0": (everything["gain/b16.conv0"][i : i + 1], everything["shift/b16.conv0"][i : i + 1])},
            styles={"b32.conv1": everything["styles/b32.conv1"][i : i + 1]},
        )
        assert torch.equal(G.synthesis(ws[i : i + 1], **row.arguments()), by_hand)
        torch.testing.assert_close(together[i : i + 1], by_hand, atol=1e-5, rtol=1e-5)


def test_without_some_kinds(everything):
    left = everything.without("noise", "gain", "shift")
    assert set(left) == {"base/b8.conv0", "styles/b32.conv1", "weights/synthesis.b16.conv1.bias"}
    assert isinstance(left, Controls)
    assert left.kind("noise") == {}
    assert Controls().arguments() == {"noise": {}, "styles": {}, "base": {}, "fusion": {}}


def test_weights_are_added_to_a_copy(everything, tiny_bundle):
    G, before = tiny_bundle.G, tiny_bundle.G.synthesis.b16.conv1.bias.clone()
    clones = [controlled(G, everything.row(i)) for i in range(2)]
    for i, clone in enumerate(clones):
        assert torch.equal(
            clone.synthesis.b16.conv1.bias, before + everything["weights/synthesis.b16.conv1.bias"][i].float()
        )
        assert torch.equal(clone.synthesis.b8.conv1.noise_const, everything["noise/b8.conv1"][0, 0])
        assert torch.equal(clone.synthesis.b16.conv0.weight, G.synthesis.b16.conv0.weight)
    assert torch.equal(G.synthesis.b16.conv1.bias, before)


def test_rows_of_dictionaries():
    a, b = torch.ones(3), torch.full([2], 2.0)
    rows = stacked([{"a": a}, {"a": 3 * a, "b": b}])
    assert rows["a"].tolist() == [[1, 1, 1], [3, 3, 3]]
    assert rows["b"].tolist() == [[0, 0], [2, 2]]
    assert stacked([{}, {}]) == {}


@pytest.mark.parametrize(
    ("key", "shape", "said"),
    [
        ("noise/b8.conv1", (3, 1, 8, 8), r"\[2 or 1, 1, 8, 8\], not \[3, 1, 8, 8\]"),
        ("noise/b8.conv1", (2, 1, 4, 4), r"not \[2, 1, 4, 4\]"),
        ("noise/b64.conv1", (1, 1, 64, 64), "nothing that 'noise/b64.conv1' could control"),
        ("noise/b8.torgb", (1, 1, 8, 8), "nothing"),
        ("weights/synthesis.b4.const", (2, 16, 4, 5), "should be"),
        ("weights/synthesis.b4.constant", (2, 16, 4, 4), "nothing"),
        ("style/b4.conv1", (2, 16), "nothing"),
        ("gain/b16.conv0", (2, 16, 16, 16), r"needs a gain and a shift, and b16\.conv0"),
        ("deltas/0/synthesis.b4.const", (16, 4, 4), "nothing"),
    ],
)
def test_what_does_not_fit_is_named(everything, tiny_bundle, key, shape, said):
    everything.check(tiny_bundle.G, 2)
    if key.startswith("gain"):
        everything = everything.without("shift")
    with pytest.raises(ValueError, match=said):
        Controls({**everything, key: torch.zeros(shape)}).check(tiny_bundle.G, 2)
