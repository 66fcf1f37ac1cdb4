"""From a training run to a bundle that loads like the one that ships."""

import json
import signal

import numpy as np
import pytest
import torch
from safetensors import safe_open

import ganinv
from ganinv import GanInvError, zoo
from ganinv.perception.frechet import generator_statistics
from ganinv.photos import unpack_images
from ganinv.training import release as release_module
from ganinv.training.copies import nearest
from ganinv.training.gan import GanConfig, Stage, train
from ganinv.training.release import open_run, release

CARD = {"name": "tiny", "licence": "MIT", "failings": ["it has seen 64 images"]}
CONFIG = GanConfig(8, 8, 1, 64, 8, [Stage(8, 32, 0.05), Stage(16, 32, 0.1)], batch=8, snapshot_images=16)


@pytest.fixture(scope="module")
def released(tmp_path_factory, tiny_array):
    """A tiny run, released: its trainer, the bundle's folder, the folders of run and data, and the card."""
    home = tmp_path_factory.mktemp("released")
    images = tiny_array.reshape(48, 3, 16, 2, 16, 2).mean(axis=(3, 5)).astype(np.uint8)
    for name, part in (("train", images[:40]), ("heldout", images[40:])):
        (home / "data").mkdir(exist_ok=True)
        np.save(home / "data" / f"{name}.npy", part)
        (home / "data" / f"{name}.json").write_text(json.dumps({"sha256": f"of {name}"}), encoding="utf-8")
    (home / "assets" / "tiny").mkdir(parents=True)
    (home / "assets" / "tiny" / "card.json").write_text(json.dumps(CARD), encoding="utf-8")
    trainer = train(CONFIG, images[:40], home / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release_module, "NUM_REFERENCE", 10)
        card = release(home / "run", home / "data", home / "assets" / "tiny", samples=12, progress=lambda text: None)
    return trainer, home, images, card


@pytest.fixture
def bundle(released, monkeypatch):
    monkeypatch.setattr(zoo, "ASSETS", released[1] / "assets")
    return ganinv.load("tiny")


@torch.no_grad()
def test_the_bundle_draws_what_the_run_drew(released, bundle):
    trainer = released[0]
    ws = trainer.G_ema.mapping(trainer.z_snapshot)
    drawn, shipped = trainer.G_ema.synthesis(ws), bundle.G.synthesis(bundle.G.mapping(trainer.z_snapshot))
    assert 0 < (drawn - shipped).abs().max() < 1e-2  # stored in half precision
    x = torch.from_numpy(released[2][:4]).float() / 127.5 - 1
    torch.testing.assert_close(bundle.D(x), trainer.D.D(x), atol=1e-2, rtol=1e-2)


def test_it_is_stored_in_half_precision_and_used_in_single(released, bundle):
    with safe_open(released[1] / "assets" / "tiny" / "model.safetensors", "pt") as file:
        assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"F16"}  # noqa: SIM118 (not a dict)
    assert {p.dtype for p in [*bundle.G.parameters(), *bundle.D.parameters()]} == {torch.float32}


def test_reference_and_heldout_images(released, bundle):
    images = released[2]
    assert bundle.reference.shape == (10, 3, 16, 16)
    rows = {image.tobytes() for image in images[:40]}
    assert len({one.numpy().tobytes() for one in bundle.reference} & rows) == 10  # ten different ones, lossless
    assert np.array_equal(bundle.heldout.numpy(), images[40:])


def test_statistics_of_w(released, bundle):
    w = bundle.G.mapping(torch.randn(20_000, 8))[:, 0]
    torch.testing.assert_close(bundle.G.mapping.w_avg, w.mean(dim=0), atol=0.05, rtol=0)
    torch.testing.assert_close(bundle.w_cov, torch.cov(w.t()), atol=0.1, rtol=0.1)


def test_the_card_gains_what_was_measured(released, bundle):
    card = released[3]
    assert bundle.card == card
    assert card["failings"] == CARD["failings"]  # what a person wrote stays
    assert (card["training"]["images"], card["training"]["config"]["stages"][1]["resolution"]) == (64, 16)
    assert card["training_images"] == {"train": {"sha256": "of train"}, "heldout": {"sha256": "of heldout"}}
    measured = card["frechet"]
    assert (measured["features"], measured["n"]) == ("efficientnet-lite0", 12)
    again = ganinv.zoo.FrechetStatistics.load(bundle.folder / "frechet.npz")
    assert again.n == 12
    from ganinv.perception.frechet import frechet_distance

    assert frechet_distance(generator_statistics(bundle.G, 12, seed=1), bundle.statistics) == pytest.approx(
        measured["generator"], abs=0.01
    )
    assert measured["generator"] > measured["training_halves"] > 0


def test_copies_are_looked_for(released, bundle):
    """The generator has seen 64 noisy images; a training image itself is its own nearest."""
    _, _, images, card = released
    sheet = unpack_images(bundle.folder / "nearest.webp")
    assert len(sheet) == 16 * 6
    train = {image.tobytes() for image in images[:40]}
    assert all(image.numpy().tobytes() in train for row in sheet.split(6) for image in row[1:])
    distances = card["copies"]["distances_of_samples"]
    assert (len(distances), {len(row) for row in distances}) == (16, {5})
    assert all(row == sorted(row) and row[0] > 0.05 for row in distances)
    assert card["copies"]["median_distance_of_the_nearest"].keys() == {"samples", "heldout"}
    itself = nearest(torch.from_numpy(images[[3, 7]]), images[:40], 2)
    assert itself.index[:, 0].tolist() == [3, 7]
    assert itself.distance[:, 0].tolist() == pytest.approx([0, 0], abs=1e-6)


@torch.no_grad()
def test_the_discriminators_opinions(released, bundle):
    trainer, _, images, card = released
    by_hand = trainer.D.D(torch.from_numpy(images[40:]).float() / 127.5 - 1).mean().item()
    assert card["discriminator"]["heldout"] == pytest.approx(by_hand, abs=2e-3)
    assert card["discriminator"].keys() == {"training", "heldout", "samples"}


def test_curves_and_snapshots(released, bundle):
    trainer, home, _, _ = released
    training = json.loads((bundle.folder / "training.json").read_text(encoding="utf-8"))
    assert training["history"] == [
        {key: pytest.approx(value, abs=1e-4) for key, value in row.items()} for row in trainer.history
    ]
    assert [(row["images"], row["resolution"], row["row"]) for row in training["snapshots"]] == [
        (16, 8, 0),
        (32, 8, 1),
        (48, 16, 0),
        (64, 16, 1),
    ]
    for row in training["snapshots"]:
        sheet = unpack_images(bundle.folder / f"snapshots-{row['resolution']}.webp")
        expected = np.load(home / "run" / "snapshots" / f"{row['images']:07d}.npy")[:8]
        assert np.array_equal(sheet[8 * row["row"] : 8 * row["row"] + 8].numpy(), expected)


def test_the_bundle_can_be_inverted_with(bundle):
    target = bundle.heldout[:1].float() / 127.5 - 1
    initial = ganinv.inversion.Projection(steps=2, perceptual_weight=0.0, w_avg_samples=50)
    result = ganinv.invert(target, bundle, config=ganinv.inversion.NearPerfect(steps=2, initial=initial))
    assert result.gan.name == "tiny"


def test_without_a_run_the_command_is_named(tmp_path, tiny_array):
    with pytest.raises(GanInvError, match=r"holds no training run .*ganinv train gan"):
        open_run(tmp_path, tiny_array)


@pytest.mark.parametrize("content", [b"", b"text", [1], {"config": {"unknown": 3, "stages": []}}, {"no config": 1}])
def test_a_damaged_run_is_one_sentence(tmp_path, tiny_array, content):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(GanInvError, match=r"is not a training checkpoint"):
        open_run(tmp_path, tiny_array)


def test_an_unfinished_run_is_not_released(released, tmp_path):
    _, home, images, _ = released

    def press_ctrl_c(trainer, losses):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, images[:40], tmp_path / "run", press_ctrl_c)
    (tmp_path / "card.json").write_text(json.dumps(CARD), encoding="utf-8")
    with pytest.raises(GanInvError, match=r"run is not finished: go on with `ganinv train gan --out "):
        release(tmp_path / "run", home / "data", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"run", "card.json"}
