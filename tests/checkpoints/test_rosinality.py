import argparse
import datetime
import math
import zipfile
from collections import Counter, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from pathlib import PosixPath, PurePosixPath, PureWindowsPath
from uuid import UUID

import numpy as np
import pytest
import rosinality_double as rosinality
import torch

from ganinv import checkpoints
from ganinv.checkpoints.networks import Layout, estimate_w_avg
from ganinv.checkpoints.rosinality import inexpressible, load_torch, rosinality_state
from ganinv.errors import GanInvError
from ganinv.stylegan2 import Discriminator, Generator

pytestmark = pytest.mark.filterwarnings("ignore:.*has no place for")


def channels(config):
    return {2**i: min(config["channel_base"] // 2**i, config["channel_max"]) for i in range(2, 11)}


def double_of(official):
    """rosinality's own kind of network, without any weights of ours yet."""
    config = official.G_config
    G = rosinality.Generator(config["img_resolution"], config["w_dim"], config["num_layers"], channels(config))
    return G, rosinality.Discriminator(config["img_resolution"], channels(official.D_config))


@pytest.fixture(scope="module")
def states(tiny):
    return {
        "g_ema": rosinality_state(tiny["G_ema"]),
        "d": rosinality_state(tiny["D"]),
        "latent_avg": tiny["G_ema"].mapping.w_avg.clone(),
    }


def test_their_networks_take_our_file(tmp_path, official64):
    """The dictionary of names, put to the test: an independent network with rosinality's names and formulas makes the official images."""
    G, D = Generator(**official64.G_config), Discriminator(**official64.D_config)
    G.load_state_dict(official64.G)
    D.load_state_dict(official64.D)
    checkpoints.save_rosinality(tmp_path / "a.pt", {"G_ema": G, "D": D}, strict=False)
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    assert list(content) == ["g_ema", "d", "latent_avg", "ganinv"]
    theirs, critic = double_of(official64)
    theirs.load_state_dict(content["g_ema"])  # strict: kernels and noises too
    critic.load_state_dict(content["d"])
    with torch.no_grad():
        torch.testing.assert_close(theirs(official64.z), official64.img_const, atol=1e-4, rtol=0)
        torch.testing.assert_close(critic(official64.d_input), official64.d_logits, atol=1e-4, rtol=0)
        truncated = theirs(official64.z, truncation=0.6, truncation_latent=content["latent_avg"])
        torch.testing.assert_close(
            truncated, G(official64.z, truncation_psi=0.6, noise_mode="const"), atol=1e-4, rtol=0
        )


def test_we_take_their_file(tmp_path):
    """Networks born in rosinality's layout give the same images and logits in ours."""
    torch.manual_seed(0)
    widths = {4: 12, 8: 12, 16: 8}
    G, D = rosinality.Generator(16, 8, 3, widths), rosinality.Discriminator(16, widths)
    for parameter in [*G.parameters(), *D.parameters()]:
        if parameter.ndim < 3:
            parameter.data.add_(torch.randn_like(parameter) * 0.3)
    z, image, latent_avg = torch.randn(3, 8), torch.randn(8, 3, 16, 16), torch.randn(8)
    torch.save({"g_ema": G.state_dict(), "d": D.state_dict(), "latent_avg": latent_avg}, tmp_path / "a.pt")
    loaded = checkpoints.load(tmp_path / "a.pt")
    assert loaded.metadata == {"kind": "stylegan2", "w_avg": "stored"}
    with torch.no_grad():
        torch.testing.assert_close(loaded.G(z, noise_mode="const"), G(z), atol=1e-4, rtol=0)
        torch.testing.assert_close(loaded.D(image), D(image), atol=1e-4, rtol=0)
        torch.testing.assert_close(
            loaded.G(z, truncation_psi=0.5, noise_mode="const"), G(z, 0.5, latent_avg), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize("zipped", [True, False])
def test_as_trained(tmp_path, tiny, states, zipped, same):
    """The trainer's file: three networks, optimisers, options, no latent_avg."""
    G = Generator(**tiny["G_ema"].config)
    optimiser = torch.optim.Adam(G.parameters(), lr=0.002, betas=(0.0, 0.99))
    G(torch.randn(2, 4)).sum().backward()
    optimiser.step()
    content = {
        "g": states["g_ema"],
        "d": states["d"],
        "g_ema": states["g_ema"],
        "g_optim": optimiser.state_dict(),
        "d_optim": optimiser.state_dict(),
        "args": argparse.Namespace(
            path="lmdb", iter=800000, batch=16, size=8, r1=10, mixing=0.9, distributed=False, wandb=None
        ),
        "ada_aug_p": 0.0,
    }
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    loaded = checkpoints.load(tmp_path / "a.pt")
    assert list(loaded.networks) == ["G_ema", "G", "D"]
    assert loaded.metadata["w_avg"] == "estimated"
    assert loaded.metadata["training"] == {"iter": 800000, "batch": 16, "size": 8, "r1": 10, "mixing": 0.9}
    estimate = estimate_w_avg(tiny["G_ema"])
    for name in ("G_ema", "G"):
        assert torch.equal(loaded.networks[name].mapping.w_avg, estimate)
        loaded.networks[name].mapping.w_avg.copy_(tiny["G_ema"].mapping.w_avg)
    same({key: loaded.networks[key] for key in ("G_ema", "D")}, tiny)


def test_w_avg_is_estimated_well_and_always_the_same(tiny):
    G = tiny["G_ema"]
    before = torch.get_rng_state()
    estimate = estimate_w_avg(G)
    assert torch.equal(estimate, estimate_w_avg(G))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        w = G.mapping(torch.randn(50_000, 4, generator=torch.Generator().manual_seed(99)))[:, 0]
    error = (estimate - w.mean(dim=0)).abs() / w.std(dim=0)
    assert error.max() < 5 * (1 / 50_000 + 1 / 100_000) ** 0.5


def test_w_avg_can_be_left_out(tmp_path, states):
    torch.save({"g_ema": states["g_ema"]}, tmp_path / "a.pt")
    loaded = load_torch(tmp_path / "a.pt", w_avg=False)
    assert loaded.metadata["w_avg"] == "missing"
    assert not loaded.G.mapping.w_avg.any()


@pytest.mark.parametrize(
    "opts",
    [
        {"output_size": 8, "encoder_type": "GradualStyleEncoder"},
        argparse.Namespace(output_size=8, encoder_type="GradualStyleEncoder"),
    ],
)
def test_psp_family(tmp_path, tiny, states, opts, same):
    """The decoder of an encoder's checkpoint, whose latent_avg has a row for each layer."""
    state_dict = {f"decoder.{key}": value for key, value in states["g_ema"].items()}
    state_dict |= {"encoder.input_layer.0.weight": torch.randn(4, 3, 3, 3), "face_pool.x": torch.zeros(1)}
    torch.save(
        {"state_dict": state_dict, "latent_avg": states["latent_avg"].repeat(4, 1), "opts": opts}, tmp_path / "a.pt"
    )
    assert checkpoints.detect(tmp_path / "a.pt") == "psp"
    loaded = checkpoints.load(tmp_path / "a.pt")
    same(loaded.networks, {"G_ema": tiny["G_ema"]})
    assert loaded.format == "psp"
    assert loaded.metadata == {
        "kind": "stylegan2",
        "w_avg": "stored",
        "training": {"encoder_type": "GradualStyleEncoder"},
    }


def test_what_rosinality_can_express():
    def reason(res, base, maximum, **sizes):
        with Layout():
            return inexpressible(
                Generator(
                    **{"z_dim": 512, "w_dim": 512, **sizes}, img_resolution=res, channel_base=base, channel_max=maximum
                )
            )

    assert reason(1024, 32768, 512) is None  # multiplier 2
    assert reason(256, 16384, 512) is None  # multiplier 1
    assert reason(8, 32768, 512) is None
    assert reason(256, 8192, 512) == "256 channels at 32 pixels, where rosinality's have 512"
    assert "256 channels at 4" in reason(64, 32768, 256)
    assert "512 channels at 128 pixels, where rosinality's have 256" in reason(256, 65536, 512)
    assert "384 channels at 64 pixels, where rosinality's have 256" in reason(256, 24576, 512)
    assert "z has 64" in reason(64, 32768, 512, z_dim=64)


def test_a_network_that_theirs_can_hold(tmp_path, same):
    """512 channels, as all of rosinality's up to 32 pixels; the configuration comes back in full."""
    networks = {"G_ema": Generator(16, 16, 8, 2, 32768, 512), "D": Discriminator(8, 32768, 512)}
    checkpoints.save_rosinality(tmp_path / "a.pt", networks)
    same(checkpoints.load(tmp_path / "a.pt").networks, networks)


def test_inexpressible_networks_are_refused_unless_asked_for(tmp_path, tiny, same):
    with pytest.raises(GanInvError, match=r"4 channels at 4 pixels.*strict=False"):
        checkpoints.save_rosinality(tmp_path / "a.pt", tiny)
    assert list(tmp_path.iterdir()) == []
    checkpoints.save_rosinality(tmp_path / "a.pt", tiny, strict=False, metadata={"licence": "MIT"})
    loaded = checkpoints.load(tmp_path / "a.pt")
    same(loaded.networks, tiny)
    assert loaded.metadata["licence"] == "MIT"


@pytest.mark.filterwarnings("default")
def test_lost_settings_are_told(tmp_path):
    networks = {"G": Generator(4, 4, 8, 1, 32, 4, conv_clamp=256), "D": Discriminator(8, 32, 4, mbstd_group_size=2)}
    with pytest.warns(UserWarning, match=r"no place for conv_clamp=256.*mbstd_group_size=2"):
        checkpoints.save_rosinality(tmp_path / "a.pt", networks, strict=False)
    assert checkpoints.load(tmp_path / "a.pt").G.config["conv_clamp"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv1.conv.weight"), r"lacks conv1\.conv\.weight"),
        (lambda s: s.pop("style.1.weight"), "is not rosinality's"),
        (lambda s: s.update({"convs.0.attention.weight": torch.zeros(1)}), r"has convs\.0\.attention\.weight"),
        (lambda s: s.update({"input.input": torch.zeros(2, 4, 4, 4)}), r"input\.input of shape \[2, 4, 4, 4\]"),
        (lambda s: s.update({"convs.0.conv.blur.kernel": torch.ones(4, 4)}), "filter"),
        (lambda s: s.update({"style.1.bias": torch.zeros(4, dtype=torch.int64)}), "torch.int64"),
        (lambda s: s.update({"style.1.bias": torch.full((4,), float("inf"))}), "NaN or infinite"),
        (lambda s: s.update({"style.1.bias": torch.zeros(5)}), r"shape \[5\]"),
        (lambda s: s.update({"style.1.bias": None}), r"lacks style\.1\.bias"),
        (lambda s: s.update({"conv1.conv.weight": torch.zeros(3)}), r"conv1\.conv\.weight of shape \[3\]"),
        (lambda s: s.clear(), "is not rosinality's"),
    ],
)
def test_other_networks(tmp_path, states, change, message):
    state = dict(states["g_ema"])
    change(state)
    torch.save({**states, "g_ema": state}, tmp_path / "a.pt")
    with pytest.raises(GanInvError, match=message):
        checkpoints.load(tmp_path / "a.pt")


def test_other_pytorch_files(tmp_path):
    for content, message in [
        ({"model": {}}, "its keys are model"),
        ([1], "not a dictionary"),
        (torch.zeros(2), "not a dictionary"),
        ({"g_ema": 3}, "G_ema"),
    ]:
        torch.save(content, tmp_path / "a.pt")
        with pytest.raises(GanInvError, match=message):
            checkpoints.load(tmp_path / "a.pt")


def test_a_latent_avg_of_another_size(tmp_path, states):
    torch.save({**states, "latent_avg": torch.zeros(512)}, tmp_path / "a.pt")
    with pytest.raises(GanInvError, match=r"latent_avg has shape \[512\]"):
        checkpoints.load(tmp_path / "a.pt")


# --- what files of users look like --------------------------------------------------------------------------------------------------------


def without_noise(state):
    return {key: value for key, value in state.items() if not key.startswith("noises.")}


@pytest.mark.parametrize("kind", ["rosinality", "psp"])
def test_files_without_noise_maps(tmp_path, tiny, states, kind):
    """rosinality's release of 256 pixels has none."""
    bare = without_noise(states["g_ema"])
    content = (
        {"g_ema": bare, "g": bare}
        if kind == "rosinality"
        else {"state_dict": {f"decoder.{key}": value for key, value in bare.items()}}
    )
    torch.save({**content, "latent_avg": states["latent_avg"]}, tmp_path / "a.pt")
    before = torch.get_rng_state()
    first, second = checkpoints.load(tmp_path / "a.pt"), checkpoints.load(tmp_path / "a.pt")
    assert torch.equal(torch.get_rng_state(), before)
    assert first.notes == [f"{name} comes without noise maps: they were drawn with seed 0" for name in first.networks]
    assert first.metadata["noise_seed"] == 0
    random = torch.Generator().manual_seed(0)
    for network in first.networks.values():
        mine, original = network.state_dict(), tiny["G_ema"].state_dict()
        maps = [key for key in mine if key.endswith("noise_const")]
        for key in mine.keys() - set(maps):
            assert torch.equal(mine[key], original[key]), key
        for key in maps:
            assert torch.equal(mine[key], second.G.state_dict()[key])
    for key in maps:
        assert torch.equal(mine[key], torch.randn(mine[key].shape, generator=random))


def test_the_seed_of_drawn_noise_maps_stays_known(tmp_path, states, same):
    torch.save({"g_ema": without_noise(states["g_ema"]), "latent_avg": states["latent_avg"]}, tmp_path / "a.pt")
    checkpoints.convert(tmp_path / "a.pt", tmp_path / "b.safetensors")
    loaded = checkpoints.load(tmp_path / "b.safetensors")
    assert loaded.metadata["noise_seed"] == 0
    same(loaded.networks, checkpoints.load(tmp_path / "a.pt").networks)


def test_some_noise_maps_are_not_enough(tmp_path, states):
    state = {key: value for key, value in states["g_ema"].items() if key != "noises.noise_1"}
    torch.save({"g_ema": state}, tmp_path / "a.pt")
    with pytest.raises(GanInvError, match=r"lacks noises\.noise_1"):
        checkpoints.load(tmp_path / "a.pt")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers(tmp_path, tiny, states, same, prefix):
    def wrapped(state):
        return {prefix + key: value for key, value in state.items()}

    torch.save(
        {"g_ema": wrapped(states["g_ema"]), "d": wrapped(states["d"]), "latent_avg": states["latent_avg"]},
        tmp_path / "a.pt",
    )
    same(checkpoints.load(tmp_path / "a.pt").networks, tiny)
    for outer, inner in ((prefix, ""), ("", prefix)):
        state_dict = {f"{outer}decoder.{inner}{key}": value for key, value in states["g_ema"].items()} | {
            f"{outer}encoder.x": torch.zeros(1)
        }
        torch.save({"state_dict": state_dict, "latent_avg": states["latent_avg"]}, tmp_path / "b.pt")
        same(checkpoints.load(tmp_path / "b.pt").networks, {"G_ema": tiny["G_ema"]})


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore:.*source")
def test_whole_modules(tmp_path, tiny, states, same, zipped):
    G, D = rosinality.Generator(8, 4, 1, {4: 4, 8: 4}), rosinality.Discriminator(8, {4: 4, 8: 4})
    G.load_state_dict(states["g_ema"])
    D.load_state_dict(states["d"])
    contents = {
        "rosinality": {"g_ema": G, "d": torch.nn.DataParallel(D), "latent_avg": states["latent_avg"]},
        "psp": rosinality.PSP(G, states["latent_avg"].repeat(4, 1)),
    }
    for kind, content in contents.items():
        torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        assert checkpoints.detect(tmp_path / "a.pt") == kind
        loaded = checkpoints.load(tmp_path / "a.pt")
        same(loaded.networks, tiny if kind == "rosinality" else {"G_ema": tiny["G_ema"]})
    torch.save(G, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    loaded = checkpoints.load(tmp_path / "a.pt", w_avg=False)
    loaded.G.mapping.w_avg.copy_(states["latent_avg"])
    same(loaded.networks, {"G_ema": tiny["G_ema"]})


def test_an_unknown_discriminator_is_left_out(tmp_path, tiny, states, same):
    for d, message in (({"main.0.weight": torch.zeros(3)}, "not rosinality's"), (3, "not a state dict")):
        torch.save({**states, "d": d}, tmp_path / "a.pt")
        loaded = checkpoints.load(tmp_path / "a.pt")
        same(loaded.networks, {"G_ema": tiny["G_ema"]})
        (note,) = loaded.notes
        assert note.startswith("read without its discriminator: D ")
        assert message in note
    torch.save(
        {**states, "d": {**states["d"], "final_linear.1.bias": torch.full((1,), float("nan"))}}, tmp_path / "a.pt"
    )
    with pytest.raises(GanInvError, match="NaN"):
        checkpoints.load(tmp_path / "a.pt")


class Config(dict):
    """Options as a class of the user's own keeps them."""

    def __init__(self):
        super().__init__(lr=0.1)
        self.owner = datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC)


HARMLESS = {
    "device": torch.device("cuda", 1),
    "dtype": torch.float16,
    "shape": torch.Size([1, 2]),
    "numpy": [
        np.float32(2.5),
        np.int64(3),
        np.bool_(True),
        np.str_("text"),
        np.datetime64("2024-05-06"),
        np.complex64(1j),
    ],
    "arrays": [np.arange(5), np.array(["a"]), np.zeros((3, 4), np.float16)],
    "path": [PosixPath("/data/faces"), PurePosixPath("x"), PureWindowsPath("C:/x")],
    "default": defaultdict(list, {"a": [1], "b": [2.5]}),
    "others": [
        deque([1, 2]),
        Counter("aab"),
        {1, 2},
        frozenset({3}),
        1j,
        slice(1, 2),
        range(3),
        Decimal("1.5"),
        Fraction(1, 3),
        UUID(int=5),
    ],
    "own": Config(),
    "function": torch.relu_,
    "class": torch.nn.Linear,
    "tensor of a class": torch.nn.Parameter(torch.zeros(2)),
    "buffer": torch.nn.Buffer(torch.zeros(2)),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.filterwarnings("ignore:.*source")
def test_harmless_values_beside_the_weights(tmp_path, tiny, states, same, name, zipped):
    value = HARMLESS[name]
    options = argparse.Namespace(iter=7, extra=value)
    torch.save(
        {**states, "extra": value, "args": options, "nested": {"x": [value, (value,)]}},
        tmp_path / "a.pt",
        _use_new_zipfile_serialization=zipped,
    )
    loaded = checkpoints.load(tmp_path / "a.pt")
    same(loaded.networks, tiny)
    assert loaded.metadata["training"] == {"iter": 7}
    assert loaded.notes == []


def test_weights_in_a_defaultdict(tmp_path, tiny, states, same):
    torch.save({**states, "g_ema": defaultdict(list, states["g_ema"])}, tmp_path / "a.pt")
    same(checkpoints.load(tmp_path / "a.pt").networks, tiny)


def test_a_converted_conditional_network(tmp_path, states):
    """Its mapping network takes z beside an embedded label, which rosinality's names do not show."""
    state = {**states["g_ema"], "style.1.weight": torch.randn(4, 8)}
    torch.save({"g_ema": state, "latent_avg": states["latent_avg"]}, tmp_path / "a.pt")
    with pytest.raises(GanInvError, match=r"conditional.*takes 8 numbers and gives 4.*class labels"):
        checkpoints.load(tmp_path / "a.pt")


def test_ours_may_have_a_larger_z_than_w(tmp_path, same):
    networks = {"G_ema": Generator(8, 4, 8, 1, 32, 4)}
    checkpoints.save_rosinality(tmp_path / "a.pt", networks, strict=False)
    same(checkpoints.load(tmp_path / "a.pt").networks, networks)


def test_numbers_that_json_has_not(tmp_path, states):
    torch.save({**states, "ganinv": '{"x": NaN, "y": [1e999]}', "args": {"lr": float("nan")}}, tmp_path / "a.pt")
    loaded = checkpoints.load(tmp_path / "a.pt")
    assert (loaded.metadata["x"], loaded.metadata["y"], loaded.metadata["training"]) == (None, [None], {"lr": None})
    checkpoints.convert(tmp_path / "a.pt", tmp_path / "b.safetensors")


@pytest.mark.parametrize("z_dim", [2**20, 8])
def test_estimating_w_avg_takes_little_memory(monkeypatch, z_dim):
    """However large z is: the batch shrinks."""
    G = Generator(z_dim, 1, 8, 1, 32, 4)
    largest, draw = [], torch.randn
    monkeypatch.setattr(
        torch, "randn", lambda shape, **kwargs: largest.append(math.prod(shape)) or draw(shape, **kwargs)
    )
    estimate_w_avg(G, samples=40)
    assert max(largest) <= 2**24


def test_optimiser_states_are_never_read(tmp_path, states):
    """The file is mapped into memory; networks are copies, so that the file can go."""
    torch.save({**states, "g_optim": {"state": {0: {"exp_avg": torch.zeros(1000)}}}}, tmp_path / "a.pt")
    loaded = checkpoints.load(tmp_path / "a.pt")
    expected = loaded.G.state_dict()["synthesis.b4.const"].clone()
    (tmp_path / "a.pt").write_bytes(bytes((tmp_path / "a.pt").stat().st_size))
    assert torch.equal(loaded.G.state_dict()["synthesis.b4.const"], expected)


def test_another_byte_order(tmp_path, states):
    torch.save(states, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, b"big" if name.endswith("byteorder") else old.read(name))
    with pytest.raises(GanInvError, match="byte order"):
        checkpoints.load(tmp_path / "b.pt")
