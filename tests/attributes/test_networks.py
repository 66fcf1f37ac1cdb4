"""The attribute network and the identity network, those that ship and others."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ganinv import GanInvError
from ganinv.attributes import (
    ATTRIBUTES,
    AttributeNetwork,
    IdentityNetwork,
    identity_distance,
    load_attributes,
    load_identity,
)
from ganinv.attributes.features import NUM_FEATURES, face_features
from ganinv.training.identity import check, mirrored, recoloured, shifted

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def faces():
    """24 samples of the generator, ``[24, 3, 64, 64]``; the networks were not fitted on them."""
    sheet = np.array(Image.open(DATA / "attribute_faces.png").convert("RGB"))
    images = sheet.reshape(3, 64, 8, 64, 3).transpose(0, 2, 4, 1, 3).reshape(24, 3, 64, 64)
    return torch.from_numpy(images.copy()).float() / 127.5 - 1


def network(k=3, seed=0):
    random = torch.Generator().manual_seed(seed)
    card = {
        "kind": "attributes", "attributes": [vars(a) for a in ATTRIBUTES[:k]], "mean": [1.0] * k, "std": [2.0] * k, "marked": [],
        "scores": {},
    }  # fmt: skip
    return AttributeNetwork(torch.randn(NUM_FEATURES, k, generator=random) / 100, torch.zeros(k), card)


def test_features_have_a_place(faces):
    """What changes at the mouth changes cells at the mouth, most of all."""
    changed = faces[:4].clone()
    changed[:, :, 46:54, 24:40] = -1
    first = slice(0, 40 * 8 * 8)
    difference = (face_features(changed) - face_features(faces[:4]))[:, first].view(4, 40, 8, 8).abs().mean(dim=(0, 1))
    assert face_features(faces[:4]).shape == (4, NUM_FEATURES)
    assert difference[5:8, 2:6].mean() > 5 * difference[:3].mean()


def test_a_file_gives_back_the_network(faces, tmp_path):
    net = network()
    found = load_attributes(net.save(tmp_path / "net.safetensors"))
    torch.testing.assert_close(found(faces[:4]), net(faces[:4]), atol=0.02, rtol=0.02)
    assert found.names == ("smile", "mouth_open", "anger")
    torch.testing.assert_close(found.native(torch.ones(1, 3)), torch.full([1, 3], 3.0))
    assert found.index("anger") == 2
    with pytest.raises(GanInvError, match="'moustache'"):
        found.index("moustache")


@pytest.mark.parametrize("content", ["nothing", "text", "no card", "card", "another kind", "shapes", "NaN", "names"])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "net.safetensors"
    net = network()
    tensors = {"weight": net.weight.half(), "scale": torch.ones(3), "bias": net.bias}
    card = dict(net.card)
    if content == "another kind":
        card["kind"] = "identity"
    elif content == "shapes":
        tensors["bias"] = torch.zeros(4)
    elif content == "NaN":
        tensors["bias"] = torch.full([3], torch.nan)
    elif content == "names":
        card["attributes"] = card["attributes"][:2]
    if content == "text":
        path.write_text("weights", encoding="utf-8")
    elif content != "nothing":
        metadata = {"no card": None, "card": {"card": "[1]"}}.get(content, {"card": json.dumps(card)})
        save_file(tensors, path, metadata=metadata)
    with pytest.raises(GanInvError, match=r"net\.safetensors"):
        load_attributes(path)
    if content != "another kind":
        with pytest.raises(GanInvError, match=r"net\.safetensors"):
            load_identity(path)


def test_attributes_that_ship(faces):
    net = load_attributes()
    assert load_attributes() is net
    assert set(net.scores) == set(net.names) == {attribute.name for attribute in ATTRIBUTES}
    for name, scores in net.scores.items():
        reliable = min(value for key, value in scores.items() if key.startswith("auc")) >= 0.9
        assert reliable == (name not in net.marked)
    recorded = json.loads((DATA / "attribute_faces.json").read_text(encoding="utf-8"))
    assert list(net.names) == recorded["names"]
    torch.testing.assert_close(net(faces), torch.tensor(recorded["scores"]), atol=5e-3, rtol=0)


def test_attributes_that_ship_agree_with_the_labellers(faces):
    """The labels of these 24 samples: of attributes whose correlation over all held-out ones is above .9, which so few can tell from .8."""
    net, recorded = load_attributes(), json.loads((DATA / "attribute_faces.json").read_text(encoding="utf-8"))
    labels = np.array(recorded["labels"], dtype=float)
    for name in "smile", "yaw", "pitch", "eyeglasses", "beard":
        k = net.index(name)
        assert net.scores[name]["correlation"] > 0.9
        assert np.corrcoef(labels[:, k], net(faces)[:, k])[0, 1] > 0.8


def test_mirror_images_look_the_other_way(faces):
    net = load_attributes()
    there, back = net(faces), net(faces.flip(3))
    for attribute, a, b in zip(net.attributes, there.T, back.T, strict=True):
        if attribute.name in ("smile", "yaw", "gender", "hair_lightness"):
            assert np.corrcoef(a, attribute.mirrored * b)[0, 1] > 0.8


def test_gradients_reach_the_images(faces):
    for value in (lambda x: load_attributes()(x).sum(), lambda x: identity_distance(x, faces[:2]).sum()):
        images = faces[2:4].clone().requires_grad_()
        value(images).backward()
        assert images.grad.isfinite().all()
        assert (images.grad.abs().sum(dim=(1, 2, 3)) > 0).all()


def test_other_sizes_are_resized(faces):
    net = load_attributes()
    large = torch.nn.functional.interpolate(faces, size=(128, 128), mode="bilinear")
    assert np.corrcoef(net(large)[:, net.index("yaw")], net(faces)[:, net.index("yaw")])[0, 1] > 0.95


def test_the_same_face_is_told_from_others(faces):
    net = load_identity()
    scores, same = check(net, faces, torch.Generator().manual_seed(3))
    assert min(scores.values()) >= 0.99
    assert 0.5 * net.same < same < 2 * net.same
    assert min(net.scores.values()) >= 0.99
    assert identity_distance(faces, faces).max() < 1e-3
    near = identity_distance(faces, mirrored(faces), net)
    assert near.shape == (24,)
    assert near.median() < net.same < identity_distance(faces, faces.roll(1, 0)).median()
    assert identity_distance(faces, faces[:1]).shape == (24,)


def test_changed_copies_are_changed(faces):
    random = torch.Generator().manual_seed(0)
    assert torch.equal(mirrored(mirrored(faces)), faces)
    moved = shifted(faces, random)
    assert moved.shape == faces.shape
    assert 0.005 < (moved - faces).square().mean() < 0.2
    colours = recoloured(faces, random)
    assert (colours.mean(dim=(2, 3)) - faces.mean(dim=(2, 3))).abs().mean() > 0.05
    assert colours.abs().max() <= 1


def test_an_identity_file_gives_back_the_network(faces, tmp_path):
    weight = torch.randn(NUM_FEATURES, 8, generator=torch.Generator().manual_seed(0)) / 100
    net = IdentityNetwork(weight, torch.zeros(8), {"kind": "identity", "same": 0.5, "scores": {"mirrored": 1.0}})
    found = load_identity(net.save(tmp_path / "net.safetensors"))
    torch.testing.assert_close(found(faces[:2]), net(faces[:2]), atol=1e-2, rtol=0)
    assert found.same == 0.5
    torch.testing.assert_close(found(faces).norm(dim=1), torch.ones(24))
