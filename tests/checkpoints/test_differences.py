"""Small files of what a trained-on generator has other than the one it was trained from."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ganinv import GanInvError
from ganinv.checkpoints.differences import load_differences, save_differences
from ganinv.stylegan2 import Generator


@pytest.fixture
def file(tmp_path, tiny_bundle, another_bundle):
    path = tmp_path / "other.safetensors"
    save_differences(path, tiny_bundle.G, another_bundle.G, tiny_bundle.sha256, {"style": "none"})
    return path


def test_what_is_read_is_near_what_was_written(file, tiny_bundle, another_bundle):
    G = load_differences(file, tiny_bundle.G, tiny_bundle.sha256)
    own = tiny_bundle.G.state_dict()
    for name, tensor in another_bundle.G.state_dict().items():
        rows = (tensor - own[name]).flatten(1) if tensor.ndim > 1 else (tensor - own[name]).reshape(1, -1)
        step = rows.abs().amax(dim=1) / 127
        left = (G.state_dict()[name] - tensor).reshape(rows.shape).abs().amax(dim=1)
        assert (left <= 0.51 * step + 1e-6).all(), name
    assert not any(p.requires_grad for p in G.parameters())
    z = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    exact = another_bundle.G(z, noise_mode="const")
    apart = (exact - tiny_bundle.G(z, noise_mode="const")).square().mean()
    assert (exact - G(z, noise_mode="const")).square().mean() < 1e-3 * apart


def test_it_takes_a_byte_a_weight(file, tiny_bundle):
    tensors = load_file(file)
    weights = sum(tensor.numel() for tensor in tiny_bundle.G.state_dict().values())
    assert sum(tensor.numel() for tensor in tensors.values() if tensor.dtype == torch.int8) <= weights


def test_what_did_not_change_is_left_out(tmp_path, tiny_bundle):
    path = tmp_path / "same.safetensors"
    save_differences(path, tiny_bundle.G, tiny_bundle.G, tiny_bundle.sha256, {})
    assert load_file(path) == {}
    same = load_differences(path, tiny_bundle.G, tiny_bundle.sha256)
    assert all(tensor.equal(same.state_dict()[name]) for name, tensor in tiny_bundle.G.state_dict().items())


def test_it_belongs_to_one_generator(file, another_bundle):
    with pytest.raises(GanInvError, match="another generator"):
        load_differences(file, another_bundle.G, another_bundle.sha256)


def test_other_sizes_and_diverged_weights_are_refused(tmp_path, tiny_bundle, make_bundle):
    path = tmp_path / "no.safetensors"
    with pytest.raises(GanInvError, match="same sizes"):
        save_differences(path, tiny_bundle.G, Generator(16, 16, 16, 2, 256, 16), "", {})
    diverged = make_bundle(1)
    diverged.G.synthesis.b4.const.data[0] = torch.nan
    with pytest.raises(GanInvError, match="not finite"):
        save_differences(path, tiny_bundle.G, diverged.G, "", {})
    assert not path.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda t: t | {"mapping.fc9.weight": torch.zeros(16, 16, dtype=torch.int8)},
        lambda t: t | {"mapping.fc0.weight": t["mapping.fc0.weight"][:4].clone()},
        lambda t: t | {"mapping.fc0.weight": t["mapping.fc0.weight"].float()},
        lambda t: t | {"scale/mapping.fc0.weight": torch.full([16], torch.inf)},
        lambda t: {name: tensor for name, tensor in t.items() if not name.startswith("scale/")},
    ],
)
def test_a_damaged_file_is_one_sentence(file, tiny_bundle, damage):
    card = {"card": json.dumps({"made_from": tiny_bundle.sha256})}
    save_file(damage(load_file(file)), file, metadata=card)
    with pytest.raises(GanInvError, match=r"other\.safetensors"):
        load_differences(file, tiny_bundle.G, tiny_bundle.sha256)


@pytest.mark.parametrize("content", [b"", b"nothing"])
def test_another_file_is_one_sentence(tmp_path, tiny_bundle, content):
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    with pytest.raises(GanInvError, match="file"):
        load_differences(path, tiny_bundle.G, tiny_bundle.sha256)
    with pytest.raises(GanInvError, match="no such file"):
        load_differences(tmp_path / "none.safetensors", tiny_bundle.G, tiny_bundle.sha256)
