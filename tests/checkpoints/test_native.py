import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from ganinv import checkpoints
from ganinv.checkpoints.networks import Layout
from ganinv.errors import GanInvError
from ganinv.stylegan2 import Discriminator, Generator


def header(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])


def test_round_trip_keeps_every_bit(tmp_path, networks, official, same, matches):
    path = tmp_path / "deeper" / "a.safetensors"
    metadata = {"licence": "CC0-1.0", "training": {"images": 5, "curve": [1.5, 0.25]}, "note": "é"}
    checkpoints.save_native(path, {**networks, "G": networks["G_ema"]}, metadata=metadata)
    loaded = checkpoints.load(path)
    same(loaded.networks, {**networks, "G": networks["G_ema"]})
    matches(loaded, official)
    assert (loaded.format, loaded.metadata) == ("native", {**metadata, "kind": "stylegan2", "w_avg": "stored"})
    assert not any(network.training for network in loaded.networks.values())
    assert list(path.parent.iterdir()) == [path]


def test_layout_on_disk(tmp_path, networks):
    path = tmp_path / "a.safetensors"
    checkpoints.save_native(path, networks, metadata={"licence": "MIT"})
    entries = header(path)
    description = json.loads(entries["__metadata__"]["ganinv"])
    assert description["networks"]["G_ema"] == networks["G_ema"].config
    assert (description["kind"], description["licence"], len(description["sha256"])) == ("stylegan2", "MIT", 64)
    assert {"G_ema/mapping.fc0.weight", "D/b4.out.bias"} < entries.keys()


def test_half_precision_halves_the_file_and_stays_close(tmp_path, networks, official, matches):
    checkpoints.save_native(tmp_path / "full.safetensors", networks)
    checkpoints.save_native(tmp_path / "half.safetensors", networks, dtype=torch.float16)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * (tmp_path / "full.safetensors").stat().st_size
    loaded = checkpoints.load(tmp_path / "half.safetensors")
    assert all(tensor.dtype == torch.float32 for tensor in loaded.G.state_dict().values())
    spread = official.img_const.std().item()
    matches(loaded, official, tolerance=1e-2 * max(1, spread))


def test_weights_too_large_for_half_precision(tmp_path, tiny):
    G = Generator(**tiny["G_ema"].config)
    G.mapping.fc0.weight.data[0, 0] = 1e6
    with pytest.raises(GanInvError, match=r"mapping\.fc0\.weight does not fit"):
        checkpoints.save_native(tmp_path / "a.safetensors", {"G": G}, dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []


def test_loading_leaves_the_random_numbers_alone(tmp_path, tiny):
    checkpoints.save_native(tmp_path / "a.safetensors", tiny)
    before = torch.get_rng_state()
    checkpoints.load(tmp_path / "a.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


def test_layout_takes_no_memory_and_draws_nothing():
    before = torch.get_rng_state()
    with Layout():
        # terabytes, if they were real
        G, D = (
            Generator(4096, 4096, 1024, 64, 2**24, 2**14),
            Discriminator(1024, 2**24, 2**14),
        )
    weights = [p for p in [*G.parameters(), *D.parameters()] if p.ndim > 1]
    assert all(weight.is_meta for weight in weights)
    assert sum(weight.numel() for weight in weights) > 2**32
    assert torch.equal(torch.get_rng_state(), before)


def test_loaded_networks_can_be_trained(tmp_path, tiny):
    checkpoints.save_native(tmp_path / "a.safetensors", tiny)
    loaded = checkpoints.load(tmp_path / "a.safetensors")
    loaded.D(loaded.G(torch.randn(2, 4))).sum().backward()
    assert all(p.grad is not None for p in [*loaded.D.parameters(), *loaded.G.synthesis.parameters()])


def test_nan_weights_are_named(tmp_path, tiny):
    G = Generator(**tiny["G_ema"].config)
    G.synthesis.b8.conv1.weight.data[0, 0, 0, 0] = float("nan")
    checkpoints.save_native(tmp_path / "a.safetensors", {"G": G})
    with pytest.raises(
        GanInvError, match=r"a\.safetensors: G has NaN or infinite values in synthesis\.b8\.conv1\.weight"
    ):
        checkpoints.load(tmp_path / "a.safetensors")


def test_other_safetensors(tmp_path):
    save_file({"x": torch.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(GanInvError, match="not a ganinv checkpoint"):
        checkpoints.load(tmp_path / "a.safetensors")


def test_what_cannot_be_saved(tmp_path, tiny):
    for wrong in ({"D": tiny["D"]}, {"G": tiny["D"]}, {"H": tiny["G_ema"]}, {}):
        with pytest.raises(ValueError, match="networks"):
            checkpoints.save_native(tmp_path / "a.safetensors", wrong)
    with pytest.raises(ValueError, match="dtype"):
        checkpoints.save_native(tmp_path / "a.safetensors", tiny, dtype=torch.int8)
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(GanInvError, match="cannot be written"):
        checkpoints.save_native(tmp_path / "folder.safetensors", tiny)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.safetensors"]


def test_a_false_configuration_is_not_believed(tmp_path, tiny):
    """Sizes come from the tensors, so a header cannot ask for terabytes; a setting that is not a number is refused."""
    huge = Generator(**tiny["G_ema"].config)
    huge.config.update(channel_base=2**40, channel_max=2**30, z_dim=2**30, num_layers=2**30)
    checkpoints.save_native(tmp_path / "a.safetensors", {"G": huge})
    assert checkpoints.load(tmp_path / "a.safetensors").G.config == tiny["G_ema"].config
    huge.config["conv_clamp"] = "much"
    checkpoints.save_native(tmp_path / "a.safetensors", {"G": huge})
    with pytest.raises(GanInvError, match="much"):
        checkpoints.load(tmp_path / "a.safetensors")
