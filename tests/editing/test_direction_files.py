"""Directions on disk: ours, the public ones, and hostile ones."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ganinv import GanInvError
from ganinv.editing import Direction, channel, directions, load_direction, save_direction


@pytest.fixture
def smile(unit, tiny_bundle):
    facts = {"found_from": {"accuracy": 0.9}, "scores": {"mean_ad": 0.25}}
    return Direction("smile", 1.7 * unit(1), (1, 2, 3), 0.25, "interfacegan", tiny_bundle.sha256, facts)


def test_ours_come_back(smile, tiny_bundle, ws, tmp_path):
    for direction in (smile, channel(tiny_bundle, "b8.conv0", 3, "lips"), Direction("all", ws[0])):
        path = save_direction(tmp_path / f"{direction.name}.safetensors", direction)
        loaded = load_direction(path, tiny_bundle)
        for key in ("name", "layers", "offset", "method", "generator", "facts", "space"):
            assert getattr(loaded, key) == getattr(direction, key)
        assert torch.equal(loaded.at(1.5).draw(tiny_bundle.G, ws), direction.at(1.5).draw(tiny_bundle.G, ws))


@pytest.mark.parametrize("shape", [(1, 16), (16,), (8, 16), (1, 8, 16)])
def test_public_ones_are_read(unit, shape, tiny_bundle, tmp_path):
    """Plain ``w+ ← w+ + f·n`` in the unit of the file; with a bundle, in standard deviations of its codes."""
    vector = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    torch.save(vector, tmp_path / "age.pt")
    np.save(tmp_path / "pose.npy", vector.numpy())
    for path in (tmp_path / "age.pt", tmp_path / "pose.npy"):
        plain = load_direction(path)
        assert torch.equal(plain.step, vector.reshape(-1, 16).squeeze(0))
        assert (plain.name, plain.method) == (path.stem, "file")
        measured = load_direction(path, tiny_bundle)
        torch.testing.assert_close(measured.step, plain.measured(tiny_bundle).step)


def test_the_directions_of_a_bundle(smile, make_bundle, tmp_path):
    gan = make_bundle(0)
    assert directions(gan) == {}
    gan = dataclasses.replace(gan, folder=tmp_path)
    assert directions(gan) == {}
    save_direction(tmp_path / "directions" / "smile.safetensors", smile)
    save_direction(tmp_path / "directions" / "age.safetensors", dataclasses.replace(smile, name="age"))
    assert list(directions(gan)) == ["age", "smile"]
    assert torch.equal(directions(gan)["smile"].step, smile.step)


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch executed",)


def write_bad_files(folder, smile):
    torch.save(Evil(), folder / "evil.pt")
    torch.save({"a": Evil()}, folder / "inside.pt")
    (folder / "pickled.pt").write_bytes(pickle.dumps(Evil()))
    np.save(folder / "objects.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    with open(folder / "endless.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (2**40,)})
    torch.save(torch.tensor([1, 2, 3]), folder / "whole.pt")
    torch.save(torch.full([1, 16], torch.nan), folder / "nan.pt")
    torch.save(torch.zeros(1, 16), folder / "zero.pt")
    torch.save(torch.ones(2, 8, 16), folder / "cube.pt")
    torch.save([torch.ones(16)], folder / "list.pt")
    save_file({"w": torch.ones(16)}, folder / "bare.safetensors")
    card = {"format": 1, "name": "x", "layers": None, "offset": 0.0, "method": "", "generator": "", "facts": {}}
    changes = {
        "newer": {"format": 2},
        "name": {"name": "\x1b[31m"},
        "layers": {"layers": "no"},
        "offset": {"offset": None},
    }
    for name, change in {**changes, "facts": {"facts": []}}.items():
        save_file({"w": torch.ones(16)}, folder / f"{name}.safetensors", {"direction": json.dumps(card | change)})
    save_file({"s/b4.conv1": torch.ones(2, 2)}, folder / "matrix.safetensors", {"direction": json.dumps(card)})
    save_file({"w": torch.ones(16)}, folder / "json.safetensors", {"direction": "{"})
    save_direction(folder / "cut.safetensors", smile)
    (folder / "cut.safetensors").write_bytes((folder / "cut.safetensors").read_bytes()[:-8])
    (folder / "empty.safetensors").touch()
    (folder / "text.txt").write_text("no direction", encoding="utf-8")


def test_bad_files_are_one_sentence(smile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_bad_files(tmp_path, smile)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 21
    for path in [*files, tmp_path / "nowhere.pt", tmp_path]:
        with pytest.raises(GanInvError) as error:
            load_direction(path)
        assert path.name in str(error.value), str(error.value)
        assert "\n" not in str(error.value)
        assert "\x1b" not in str(error.value)
    assert not (tmp_path / "executed").exists()


def test_of_another_generator(smile, another_bundle, tiny_bundle, tmp_path):
    path = save_direction(tmp_path / "smile.safetensors", smile)
    with pytest.raises(GanInvError, match="found for another generator than tiny1"):
        load_direction(path, another_bundle)
    torch.save(torch.ones(1, 512), tmp_path / "age.pt")
    with pytest.raises(GanInvError, match=r"age\.pt.*of width 512, and the generator's codes of 16"):
        load_direction(tmp_path / "age.pt", tiny_bundle)


def test_where_it_cannot_be_kept(smile, tmp_path):
    with pytest.raises(GanInvError, match=r"call it smile\.safetensors"):
        save_direction(tmp_path / "smile.pt", smile)
    (tmp_path / "file").touch()
    with pytest.raises(GanInvError, match="cannot be written"):
        save_direction(tmp_path / "file" / "smile.safetensors", smile)
