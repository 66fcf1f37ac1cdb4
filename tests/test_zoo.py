import json
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open

import ganinv
from ganinv import GanInvError, checkpoints, zoo
from ganinv.perception.features import EFFICIENTNET
from ganinv.perception.frechet import frechet_distance, generator_statistics
from ganinv.photos import from_uint8, load_target, pack_images, unpack_images

# -- files of every format --------------------------------------------------------------------------------------------------


def write(bundle, path, with_discriminator=True):
    networks = {"G_ema": bundle.G} | ({"D": bundle.D} if with_discriminator else {})
    metadata = {"licence": "MIT"}
    if path.suffix == ".pkl":
        checkpoints.save_nvlabs(path, networks, metadata=metadata)
    elif path.suffix == ".pt":
        checkpoints.save_rosinality(path, networks, metadata=metadata, strict=False)
    else:
        checkpoints.save_native(path, networks, metadata=metadata)
    return path


def test_its_repr_is_a_line(make_bundle):
    bundle = make_bundle()
    assert repr(bundle) == "Bundle('tiny0', 32 x 32, G and D, 32 reference images, 8 held-out images)"
    bundle.D = bundle.reference = bundle.heldout = None
    assert repr(bundle) == "Bundle('tiny0', 32 x 32, G without D)"


@pytest.mark.parametrize("suffix", [".safetensors", ".pkl", ".pt"])
def test_a_checkpoint_becomes_a_bundle(tiny_bundle, tmp_path, suffix):
    gan = ganinv.load(write(tiny_bundle, tmp_path / f"my model{suffix}"))
    assert gan.name == "my model"
    assert gan.resolution == 32
    z = torch.randn(3, 16)
    with torch.no_grad():
        torch.testing.assert_close(
            gan.G(z, noise_mode="const"), tiny_bundle.G(z, noise_mode="const"), atol=1e-4, rtol=0
        )
        x = from_uint8(tiny_bundle.reference[:4])
        torch.testing.assert_close(gan.D(x), tiny_bundle.D(x), atol=1e-4, rtol=0)
    assert torch.equal(gan.G.mapping.w_avg, tiny_bundle.G.mapping.w_avg)
    assert gan.sha256 == tiny_bundle.sha256  # the same weights, whatever they came from: a clone fits them all
    assert gan.reference is gan.heldout is gan.folder is gan.statistics is None
    assert gan.photos == {}
    assert gan.card["licence"] == "MIT"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_without_discriminator(tiny_bundle, tmp_path, suffix):
    assert ganinv.load(write(tiny_bundle, tmp_path / f"model{suffix}", with_discriminator=False)).D is None


def test_a_folder_is_a_bundle(tiny_bundle, tmp_path):
    """With what lies in it, and without what does not."""
    folder = tmp_path / "mine"
    write(tiny_bundle, folder / "model.safetensors")
    bare = ganinv.load(folder)
    assert (bare.name, bare.sha256, bare.folder) == ("mine", tiny_bundle.sha256, folder)
    assert bare.reference is bare.heldout is bare.statistics is None
    assert (bare.photos, bare.encoders, bare.card["licence"]) == ({}, {}, "MIT")
    assert bare.w_cov.shape == (16, 16)
    pack_images(tiny_bundle.reference, folder / "reference.webp")
    (folder / "card.json").write_text('{"licence": "CC0", "note": "é"}', encoding="utf-8")
    full = ganinv.load(str(folder))
    assert torch.equal(full.reference, tiny_bundle.reference)
    assert full.card == {"licence": "CC0", "note": "é"}


def test_a_path_may_be_text(tiny_bundle, tmp_path):
    assert ganinv.load(str(write(tiny_bundle, tmp_path / "model.safetensors"))).sha256 == tiny_bundle.sha256


def test_a_clone_made_with_one_format_fits_another(tiny_bundle, tiny_targets, tmp_path):
    from ganinv.inversion import Projection

    one, other = (ganinv.load(write(tiny_bundle, tmp_path / name)) for name in ("a.pkl", "b.pt"))
    result = ganinv.invert(
        tiny_targets, one, "projection-w", Projection(steps=2, perceptual_weight=0.0, w_avg_samples=50)
    )
    loaded = ganinv.Inversion.load(result.save(tmp_path / "clone"), other)
    assert torch.equal(loaded.image, result.image)


def test_networks_are_frozen(tiny_bundle, tmp_path):
    gan = ganinv.load(write(tiny_bundle, tmp_path / "model.pt"))
    for net in (gan.G, gan.D):
        assert not net.training
        assert not any(p.requires_grad for p in net.parameters())


def test_the_fingerprint_sees_weights_and_buffers(tiny_bundle, another_bundle, make_bundle):
    assert make_bundle().sha256 == tiny_bundle.sha256 != another_bundle.sha256
    for name in (
        "mapping.w_avg",
        "synthesis.b4.const",
        "synthesis.b32.conv1.noise_const",
        "synthesis.b8.conv0.noise_strength",
    ):
        changed = make_bundle()
        changed.G.state_dict()[name].view(-1)[0] += 1e-3
        assert changed.sha256 != tiny_bundle.sha256


def test_the_spread_of_w_is_estimated_where_no_file_has_it(tiny_bundle):
    assert tiny_bundle.w_cov.shape == (16, 16)
    w = tiny_bundle.G.mapping(torch.randn(20_000, 16))[:, 0]
    torch.testing.assert_close(tiny_bundle.w_cov, torch.cov(w.t()), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("name", ["face64", "nothing.pkl", ""])
def test_an_unknown_model_lists_those_that_ship(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GanInvError) as error:
        ganinv.load(name or "none")
    assert all(model in str(error.value) for model in ganinv.models())
    assert (name or "none") in str(error.value)


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "model.safetensors", "model.txt"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04garbage"])
def test_other_files_are_one_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GanInvError, match=name):
        ganinv.load(tmp_path / name)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(GanInvError, match="folder"):
        ganinv.load(tmp_path)


# -- what ships ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faces64():
    return ganinv.load()


def test_faces64_is_the_default(faces64):
    assert faces64.name == "faces64"
    assert "faces64" in ganinv.models()


@torch.no_grad()
def test_faces64_draws(faces64):
    G = faces64.G
    assert (G.img_resolution, G.z_dim, G.w_dim, G.mapping.num_layers) == (64, 128, 128, 4)
    images = G(torch.randn(8, 128, generator=torch.Generator().manual_seed(0)), noise_mode="const")
    assert images.shape == (8, 3, 64, 64)
    assert images.isfinite().all()
    assert images.abs().quantile(0.99) < 1.5
    assert images.std(dim=0).mean() > 0.15  # eight different images
    assert images.std() > 0.2
    w = G.mapping(torch.randn(5000, 128, generator=torch.Generator().manual_seed(1)))[:, 0]
    torch.testing.assert_close(G.mapping.w_avg, w.mean(dim=0), atol=0.1, rtol=0)


@torch.no_grad()
def test_the_discriminator_was_trained_with_it(faces64):
    """It finds training images more real than generated ones, flat colours and images upside down."""
    D, real = faces64.D, from_uint8(faces64.reference[:64])
    assert D.img_resolution == 64
    assert D(real).mean() > D(real.flip(2)).mean()
    assert D(real).mean() > D(torch.zeros_like(real)).mean()
    z = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    assert D(real).mean() > D(faces64.G(z, noise_mode="const")).mean()


def test_images_that_ship(faces64):
    assert faces64.reference.shape == (1024, 3, 64, 64)
    assert faces64.heldout.shape == (64, 3, 64, 64)
    assert faces64.reference.dtype == faces64.heldout.dtype == torch.uint8
    known = {image.numpy().tobytes() for image in faces64.reference}
    assert len(known) == 1024
    assert not known & {image.numpy().tobytes() for image in faces64.heldout}


def test_photos_that_ship(faces64):
    assert {"grace_hopper", "eileen_collins"} <= faces64.photos.keys()
    for path in faces64.photos.values():
        photo = load_target(path, 64, align="none")  # cropped already
        assert photo.shape == (1, 3, 64, 64)
        assert photo.std() > 0.1
    assert all(name in (faces64.folder / "real" / "SOURCES.md").read_text(encoding="utf-8") for name in faces64.photos)


def test_the_card_says_what_one_has_to_know(faces64):
    card = faces64.card
    assert {
        "name",
        "licence",
        "provenance",
        "intended_use",
        "training",
        "training_images",
        "frechet",
        "failings",
        "biases",
    } <= card.keys()
    assert card["licence"] == "MIT"
    assert card["failings"]
    assert card["biases"]
    assert "DigiFace" in json.dumps(card["provenance"])
    assert card["training"]["images"] > 100_000
    for part, n in (("train", 40_000), ("heldout", 64)):
        assert card["training_images"][part]["images"] == n
        assert len(card["training_images"][part]["sha256"]) == 64
    assert (faces64.folder / "MODEL_CARD.md").is_file()


def test_the_quality_gate_is_recorded(faces64):
    measured = faces64.card["frechet"]
    assert measured["features"] == EFFICIENTNET
    assert measured["n"] == 10_000
    assert 0 < measured["training_halves"] < measured["generator"] < math.inf


def test_statistics_that_ship(faces64):
    assert faces64.statistics.features == EFFICIENTNET
    assert faces64.statistics.mean.shape == (320,)
    assert faces64.w_cov.shape == (128, 128)
    assert torch.linalg.eigvalsh(faces64.w_cov.double()).min() > -1e-4
    w = faces64.G.mapping(torch.randn(20_000, 128, generator=torch.Generator().manual_seed(2)))[:, 0]
    assert (torch.cov(w.t()) - faces64.w_cov).norm() < 0.1 * faces64.w_cov.norm()


def test_how_it_learned(faces64):
    training = json.loads((faces64.folder / "training.json").read_text(encoding="utf-8"))
    images = [row["images"] for row in training["history"]]
    assert images == sorted(images)
    assert images[-1] > 0.99 * faces64.card["training"]["images"]
    assert {row["resolution"] for row in training["snapshots"]} == {16, 32, 64}
    for resolution in (16, 32, 64):
        rows = [row["row"] for row in training["snapshots"] if row["resolution"] == resolution]
        assert rows == list(range(len(rows)))
        sheet = unpack_images(faces64.folder / f"snapshots-{resolution}.webp")
        assert sheet.shape == (8 * len(rows), 3, resolution, resolution)


def test_the_package_stays_small():
    package = zoo.ASSETS.parent
    size = sum(path.stat().st_size for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert size < 50e6  # the wheel is to stay below 60 MB


def test_weights_are_stored_in_half_precision(faces64):
    with safe_open(faces64.folder / "model.safetensors", "np") as file:
        assert {file.get_tensor(key).dtype for key in file.keys()} == {np.dtype(np.float16)}  # noqa: SIM118 (not a dict)
    assert {p.dtype for p in faces64.G.parameters()} == {torch.float32}


# -- what the generator measured when it was released --------------------------------------------------------------------


def test_it_is_the_second_edition(faces64):
    assert faces64.G.config["channel_base"] == 2048
    assert (faces64.card["edition"], faces64.card["training"]["images"]) == (2, 1_180_000)
    assert faces64.card["frechet"]["generator"] == pytest.approx(40.8, abs=0.1)


def test_its_samples_are_no_copies(faces64):
    """They are no nearer to the training images than images that it has not seen."""
    copies = faces64.card["copies"]["median_distance_of_the_nearest"]
    assert copies["samples"] > copies["heldout"]


def test_its_score_is_the_recorded_one(faces64):
    """With few samples, so that it takes seconds; the card's distance is of ten thousand."""
    drawn = generator_statistics(faces64.G, 200, seed=1)
    assert frechet_distance(drawn, faces64.statistics) == pytest.approx(101.9, rel=0.01)
