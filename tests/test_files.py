"""What is written is whole, on the disk, and the same in every locale."""

import os

import pytest

from ganinv.files import atomic_path


def test_the_content_is_on_the_disk_before_it_has_the_name(tmp_path, monkeypatch):
    seen, fsync, replace = [], os.fsync, os.replace

    def watched_fsync(handle):
        seen.append(("fsync", os.readlink(f"/proc/self/fd/{handle}") if os.path.isdir("/proc/self/fd") else ""))
        fsync(handle)

    def watched_replace(a, b):
        seen.append(("replace", str(a)))
        replace(a, b)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("new", encoding="utf-8")
    assert [what for what, _ in seen] == ["fsync", "replace", "fsync"]
    assert seen[0][1] in ("", seen[1][1])
    assert seen[2][1] in ("", str(tmp_path))
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "new"


def test_a_disk_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    def failing(handle):
        raise OSError(5, "Input/output error")

    (tmp_path / "a.txt").write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output error"), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("new", encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "old"
