"""The sets of photos that studies look at."""

import dataclasses
import sys

import pytest
import torch

from ganinv import GanInvError, load
from ganinv.photos import from_uint8, load_target, save_png
from ganinv.study import load_photos, photo_set


@pytest.fixture
def folder(tmp_path, tiny_targets):
    """Two photos of the right size, one that is too small, one that is none, and a text."""
    save_png(tmp_path / "b.png", tiny_targets[0])
    save_png(tmp_path / "a.PNG".lower(), tiny_targets[1])
    save_png(tmp_path / "small.png", tiny_targets[0, :, :8, :8])
    (tmp_path / "broken.jpg").write_bytes(b"junk")
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    return tmp_path


def test_heldout(tiny_bundle):
    photos = photo_set("heldout", tiny_bundle)
    assert list(photos) == [f"heldout-0{i}" for i in range(8)]
    assert torch.equal(torch.cat(list(photos.values())), from_uint8(tiny_bundle.heldout))
    assert list(photo_set("heldout", tiny_bundle, 3)) == ["heldout-00", "heldout-01", "heldout-02"]


def test_real_portraits_and_their_variants():
    gan = load("faces64")
    photos = photo_set("real", gan)
    assert len(photos) == 4 * len(gan.photos) == 8
    assert list(photos)[:2] == ["eileen_collins", "grace_hopper"]
    assert list(photo_set("real", gan, 2)) == ["eileen_collins", "grace_hopper"]
    x = photos["grace_hopper"]
    assert torch.equal(x, load_target(gan.photos["grace_hopper"], 64, "none"))
    assert all(photo.shape == (1, 3, 64, 64) and photo.abs().max() <= 1 for photo in photos.values())
    assert torch.equal(photos["grace_hopper mirrored"][..., 0], x[..., -1])
    grey = photos["grace_hopper grey"]
    assert torch.equal(grey[:, 0], grey[:, 2])
    torch.testing.assert_close(grey[:, 0], 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2])
    half = photos["grace_hopper half"]
    assert torch.equal(half[..., :32], x[..., :32])
    assert half[..., 32:].eq(0).all()


def test_a_folder_with_pictures_that_cannot_be_used(folder, tiny_bundle, tiny_targets):
    said = []
    photos = photo_set(folder, tiny_bundle, align="none", complain=said.append)
    assert list(photos) == ["a.png", "b.png"]
    assert (photos["b.png"] - tiny_targets[:1]).abs().max() <= 1 / 127.5
    assert len(said) == 2
    assert "broken.jpg" in said[0]
    assert "8 x 8" in said[1]
    assert list(photo_set(folder, tiny_bundle, 1, "none")) == ["a.png"]
    with pytest.raises(GanInvError, match=r"broken\.jpg"):
        photo_set(folder, tiny_bundle, align="none")


def test_every_picture_of_a_folder_is_read_or_named(tmp_path, tiny_bundle, tiny_targets, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    save_png(tmp_path / "plain.png", tiny_targets[0])
    (tmp_path / "plain.png").rename(tmp_path / "IMG_0001")  # a picture without a suffix
    for name in ("a.heic", "b.CR2", "c.dng", "d.svg", "e.jxl"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic" if name == "a.heic" else b"junk")
    for name in ("README", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "folder.png").mkdir()
    said = []
    assert list(photo_set(tmp_path, tiny_bundle, align="none", complain=said.append)) == ["IMG_0001"]
    assert len(said) == 5
    assert all(
        name in sentence for name, sentence in zip(("a.heic", "b.CR2", "c.dng", "d.svg", "e.jxl"), said, strict=True)
    )
    assert "ganinv[heic]" in said[0]


def test_whatever_goes_wrong_with_a_picture_costs_that_one(folder, tiny_bundle, monkeypatch):
    from ganinv.study import photos

    def moody(path, *arguments):
        if path.name == "a.png":
            raise MemoryError
        return load_target(path, *arguments)

    monkeypatch.setattr(photos, "load_target", moody)
    said = []
    assert list(photo_set(folder, tiny_bundle, align="none", complain=said.append)) == ["b.png"]
    assert any("a.png failed (MemoryError)" in sentence for sentence in said)


def test_a_folder_hides_no_photo_that_ships(tmp_path, monkeypatch, tiny_bundle, tiny_targets):
    save_png(tmp_path / "shipped.png", tiny_targets[0])
    gan = dataclasses.replace(tiny_bundle, photos={"somebody": tmp_path / "shipped.png"})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "somebody").mkdir()
    assert list(load_photos(["somebody"], gan)) == ["shipped.png"]
    (tmp_path / "somebody").rmdir()
    save_png(tmp_path / "other.png", tiny_targets[1])
    (tmp_path / "other.png").rename(tmp_path / "somebody")  # a file of that name comes first
    assert list(load_photos(["somebody"], gan, "none")) == ["somebody"]


def test_equal_names_are_told_apart(folder, tiny_bundle, tiny_targets):
    (folder / "more").mkdir()
    save_png(folder / "more" / "a.png", tiny_targets[0])
    photos = load_photos([folder / "a.png", folder / "more" / "a.png", folder / "a.png"], tiny_bundle, "none")
    assert list(photos) == ["a.png", "a-2.png", "a-3.png"]
    assert not torch.equal(photos["a.png"], photos["a-2.png"])


def test_photos_that_ship_go_by_their_names():
    gan = load("faces64")
    photos = load_photos(["grace_hopper"], gan)
    assert torch.equal(next(iter(photos.values())), load_target(gan.photos["grace_hopper"], 64, "none"))


def test_sets_that_are_not_there(tmp_path, make_bundle, folder):
    gan = make_bundle(0)
    (tmp_path / "empty").mkdir()
    for name, sentence in [
        ("nobody", "nobody is no set of photos: give heldout, real, or a folder"),
        (tmp_path / "empty", "holds no pictures"),
        ("real", "comes without photos"),
    ]:
        with pytest.raises(GanInvError, match=sentence):
            photo_set(name, gan)
    gan.heldout = None
    with pytest.raises(GanInvError, match="comes without held-out images"):
        photo_set("heldout", gan)
    with pytest.raises(GanInvError, match="at least one photo, not 0"):
        photo_set("real", gan, 0)
    with pytest.raises(GanInvError, match="none of the pictures can be used"):
        load_photos([folder / "broken.jpg"], gan, complain=lambda sentence: None)
