"""The encoders' networks, their files, and the loops around them."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import ganinv
from ganinv import GanInvError
from ganinv.encoders.style import Map2Style, PReLU, StyleEncoder, Trunk
from ganinv.encoders.weights import load_encoder, save_encoder
from ganinv.inversion import HFGI, Encode, ReStyle, psp, restyle


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return StyleEncoder(32, 8, 16).eval()


def test_a_generator_can_be_too_small():
    assert StyleEncoder(16, 6, 4)(torch.zeros(2, 3, 16, 16)).shape == (2, 6, 4)
    with pytest.raises(GanInvError, match="8 px are too few: 16 px is the least"):
        StyleEncoder(8, 4, 4)


def test_prelu_is_pytorchs():
    x = torch.randn(2, 3, 4, 4)
    ours, theirs = PReLU(3), torch.nn.PReLU(3)
    ours.weight.data.copy_(torch.tensor([0.1, 0.25, -0.5])[:, None, None])
    theirs.weight.data.copy_(ours.weight.data.flatten())
    torch.testing.assert_close(ours(x), theirs(x))


def test_the_trunk_halves_four_times():
    sizes = [tuple(x.shape[1:]) for x in Trunk()(torch.zeros(2, 3, 64, 64))]
    assert sizes == [(32, 16, 16), (64, 8, 8), (128, 4, 4)]


@pytest.mark.parametrize("size", [1, 2, 16])
def test_a_head_reads_the_whole_map(size):
    head = Map2Style(5, 7, size, 11)
    x = torch.randn(2, 5, size, size, requires_grad=True)
    style = head(x)
    style.sum().backward()
    assert style.shape == (2, 11)
    assert (x.grad.abs().sum(dim=(0, 1)) > 0).all()


def test_which_layer_reads_which_level():
    """Style vectors 0 to 2 the coarsest map, 3 to 6 the middle one, the rest the finest: as in pSp."""
    encoder = StyleEncoder(64, 10, 16)
    assert [len(head.convs) // 2 for head in encoder.heads] == [2] * 3 + [3] * 4 + [4] * 3
    simple = StyleEncoder(64, 10, 16, in_channels=6, pyramid=False)
    assert [len(head.convs) // 2 for head in simple.heads] == [2] * 10


def test_coarse_vectors_do_not_see_the_fine_map(encoder):
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = encoder(x)
        for lateral in encoder.lateral[:2]:  # those of the fine and the middle map
            lateral.weight.zero_()
        changed = (encoder(x) - before).abs().amax(dim=(0, 2)) > 0
    assert changed.tolist() == [False] * 3 + [True] * 5


def test_it_begins_near_the_average(encoder):
    with torch.no_grad():
        assert encoder(torch.randn(4, 3, 32, 32)).abs().max() < 0.5


def test_large_images_are_averaged_down():
    encoder = StyleEncoder(512, 16, 4).eval()
    assert encoder.input_size == 256
    x = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x.repeat_interleave(2, 2).repeat_interleave(2, 3)), encoder(x))


def test_offsets_are_unlocked_one_after_the_other():
    torch.manual_seed(0)
    encoder = StyleEncoder(32, 8, 16, progressive=True).eval()
    x = torch.randn(2, 3, 32, 32)
    for stage in (0, 3, 7):
        encoder.stage = stage
        with torch.no_grad():
            codes = encoder(x)
        differ = (codes - codes[:, :1]).abs().amax(dim=(0, 2)) > 0
        assert differ.tolist() == [False] + [True] * stage + [False] * (7 - stage)


# --- files ------------------------------------------------------------------------------------------------------------------------------------


def test_a_file_gives_back_the_network(encoder, tmp_path):
    path = save_encoder(tmp_path / "e.safetensors", encoder, "psp", "abc", {"steps": 3})
    loaded = load_encoder(path, "abc")
    assert loaded.config == encoder.config
    assert loaded.card["method"] == "psp"
    assert loaded.card["training"] == {"steps": 3}
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), encoder(x), atol=2e-3, rtol=2e-3)  # float16
    assert path.stat().st_size < 2.2 * sum(p.numel() for p in encoder.parameters()) + 50_000


def test_an_encoder_of_another_generator_is_refused(encoder, tmp_path):
    path = save_encoder(tmp_path / "e.safetensors", encoder, "psp", "abc", {})
    with pytest.raises(
        GanInvError, match=r"e\.safetensors was trained for another generator: .*ganinv train encoder psp"
    ):
        load_encoder(path, "def")


def with_card(path, **changes):
    card = {
        "method": "psp",
        "network": "StyleEncoder",
        "config": dict(resolution=32, num_ws=8, w_dim=16),
        "generator": "abc",
        "training": {},
    }
    save_file({"x": torch.zeros(2)}, path, metadata={"card": json.dumps(card | changes)})


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"not at all"),
        lambda path: save_file({"x": torch.zeros(2)}, path),
        lambda path: with_card(path),  # tensors of another network
        lambda path: with_card(path, network="system"),
        lambda path: with_card(path, network=["StyleEncoder"]),
        lambda path: with_card(path, config={"resolution": "large"}),
        lambda path: with_card(path, config={"unknown": 1}),
        lambda path: with_card(path, config=3),
        lambda path: with_card(
            path, config=dict(resolution=32, num_ws=8, w_dim=16, channels=1200)
        ),  # 276 bytes that ask for a gigabyte
        lambda path: with_card(path, config=dict(resolution=32, num_ws=10**9, w_dim=16)),
        lambda path: with_card(path, network="MaskedEncoder", config=dict(resolution=32, num_ws=[0], w_dim=10**9)),
        lambda path: with_card(path, network="BaseCodeEncoder", config=dict(size=8, channels=4, widths=4)),
        lambda path: with_card(
            path, network="Consultation", config=dict(resolution=32, channels=4, widths=[10**6] * 4)
        ),
        lambda path: path.mkdir(),
    ],
)
def test_any_other_file_is_refused_in_one_sentence(tmp_path, write):
    path = tmp_path / "bad.safetensors"
    write(path)
    with pytest.raises(GanInvError, match=r"bad\.safetensors is not the file of an encoder"):
        load_encoder(path)


def rewrite(path, card, state=None):
    """The file with another description, and some other tensors."""
    save_file(load_file(path) | (state or {}), path, metadata={"card": json.dumps(card)})


@pytest.mark.parametrize("lost", ["method", "generator"])
def test_a_description_without(encoder, tmp_path, lost):
    path = save_encoder(tmp_path / "bad.safetensors", encoder, "psp", "abc", {})
    card = load_encoder(path).card
    rewrite(path, {**card, lost: None})
    load_encoder(path)
    del card[lost]
    rewrite(path, card)
    with pytest.raises(GanInvError, match=r"bad\.safetensors is not the file of an encoder"):
        load_encoder(path, "abc")


@pytest.mark.parametrize("value", [float("nan"), 1])
def test_weights_that_are_no_numbers(encoder, tmp_path, value):
    path = save_encoder(tmp_path / "bad.safetensors", encoder, "psp", "abc", {})
    name = next(key for key in load_file(path) if key.endswith("bias"))
    # NaN, and whole numbers
    rewrite(path, load_encoder(path).card, {name: torch.full(load_file(path)[name].shape, value)})
    with pytest.raises(GanInvError, match=r"bad\.safetensors is not the file of an encoder"):
        load_encoder(path)


def test_loading_an_encoder_draws_no_random_numbers(encoder, tmp_path):
    path = save_encoder(tmp_path / "e.safetensors", encoder, "psp", "abc", {})
    before = torch.get_rng_state()
    load_encoder(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_missing_file(tmp_path, tiny_bundle):
    with pytest.raises(GanInvError, match=r"none\.safetensors does not exist"):
        tiny_bundle.encoder(str(tmp_path / "none.safetensors"))


def test_a_bundle_without_the_encoder(another_bundle, tiny_targets):
    with pytest.raises(
        GanInvError, match=r"tiny1 comes without the encoder 'psp': train it with `ganinv train encoder psp`"
    ):
        psp(another_bundle, tiny_targets)


def test_an_encoder_can_be_named_by_its_file(tiny_bundle, tiny_targets, tiny_encoders):
    named, filed = (psp(tiny_bundle, tiny_targets, Encode(name)) for name in ("psp", str(tiny_encoders["psp"])))
    assert torch.equal(named.ws, filed.ws)
    assert filed.config == {"encoder": str(tiny_encoders["psp"])}


@pytest.mark.parametrize(
    ("method", "kind", "encoder"),
    [
        ("psp", Encode, "restyle-psp"),
        ("restyle-psp", ReStyle, "psp"),
        ("psp", Encode, "bdinvert"),
        ("restyle-e4e", ReStyle, "hfgi"),
        ("hfgi", HFGI, "psp"),
    ],
)
def test_an_encoder_of_the_wrong_kind_is_refused(tiny_bundle, tiny_targets, tiny_encoders, method, kind, encoder):
    # by its name when the configuration is made, by its file when that is read
    for name in (
        encoder,
        str(tiny_encoders[encoder]),
    ):
        with pytest.raises(GanInvError, match="train one with `ganinv train encoder"):
            ganinv.invert(tiny_targets, tiny_bundle, method, kind(name))


# --- the loops --------------------------------------------------------------------------------------------------------------------------------


def test_psp_is_the_average_and_what_the_encoder_adds(tiny_bundle, tiny_targets):
    result = psp(tiny_bundle, tiny_targets)
    with torch.no_grad():
        expected = tiny_bundle.G.mapping.w_avg + tiny_bundle.encoder("psp")(tiny_targets)
    assert torch.equal(result.ws, expected)
    assert len(result.history) == 2


def test_restyle_by_hand(tiny_bundle, tiny_targets):
    G, E = tiny_bundle.G, tiny_bundle.encoder("restyle-psp")
    result = restyle(tiny_bundle, tiny_targets, ReStyle("restyle-psp", iterations=2))
    with torch.no_grad():
        w = G.mapping.w_avg.expand(2, G.num_ws, -1)
        for t in range(2):
            w = w + E(torch.cat([tiny_targets, G.synthesis(w)], dim=1))
            error = (G.synthesis(w) - tiny_targets).square().mean(dim=(1, 2, 3))
            assert [row["mse"] for row in result.history if row["step"] == t] == pytest.approx(error.tolist(), rel=1e-4)
    torch.testing.assert_close(result.ws, w)


def test_restyle_passes_do_not_depend_on_how_many_follow(tiny_bundle, tiny_targets):
    short, long = (restyle(tiny_bundle, tiny_targets, ReStyle("restyle-e4e", iterations=n)) for n in (1, 3))
    assert short.history == long.history[:2]
    assert not torch.equal(short.ws, long.ws)


def test_the_method_is_named_after_the_encoder(tiny_bundle, tiny_targets):
    assert [restyle(tiny_bundle, tiny_targets, ReStyle(name)).method for name in ("restyle-psp", "restyle-e4e")] == [
        "restyle-psp",
        "restyle-e4e",
    ]


def test_what_identifies_a_run_has_the_encoders_weights(tiny_bundle, tiny_targets, tiny_encoders, tmp_path):
    from ganinv.inversion import Resume

    other = dataclasses.replace(tiny_bundle, encoders=tiny_encoders | {"psp": tiny_encoders["e4e"]})
    names = [
        Resume.for_run(tmp_path / "run.pt", gan, tiny_targets, "psp", Encode()).fingerprint
        for gan in (tiny_bundle, tiny_bundle, other)
    ]
    assert names[0] == names[1] != names[2]
