"""Inversions that take time are worked out once, whichever study asks for them."""

import dataclasses

import pytest
import torch
from judges import JUDGES

from ganinv import GanInvError
from ganinv.editing import Direction
from ganinv.study import compare
from ganinv.study.edits import study_edits
from ganinv.study.kept import inverted


@pytest.fixture
def slow(fakes):
    """The method ``tuned`` says of itself that it took five seconds, ``untuned`` one."""
    quick = fakes["tuned"].function.function
    fakes["tuned"].function.function = lambda *arguments: dataclasses.replace(quick(*arguments), seconds=5.0)
    return fakes


def calls(fakes):
    return [fakes[name].function.calls for name in ("untuned", "tuned")]


def test_two_studies_share_what_took_time(tiny_bundle, photos, slow):
    direction = Direction("red", torch.randn(16, generator=torch.Generator().manual_seed(0))).measured(tiny_bundle)
    before = compare(tiny_bundle, photos, samples=0)
    assert calls(slow) == [2, 2]
    edited = study_edits(tiny_bundle, photos, {"red": direction}, JUDGES, ["untuned", "tuned"])
    assert calls(slow) == [4, 2]
    assert edited.failures == []
    for photo in photos:
        assert torch.equal(edited.reconstructions[photo, "tuned"], before.images[photo, "tuned"])


def test_an_inversion_that_was_kept_is_the_same(tiny_bundle, tiny_targets, slow, tmp_path):
    method = slow["tuned"]
    new, kept = (
        inverted(tiny_bundle, tiny_targets[:1], method.config, method.function, tmp_path / "kept") for _ in "ab"
    )
    assert method.function.calls == 1
    assert torch.equal(new.image, kept.image)
    assert (kept.seconds, kept.config, kept.method) == (new.seconds, new.config, new.method)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        inverted(tiny_bundle, tiny_targets[:1], method.config, method.function, tmp_path / "kept")
    finally:
        torch.set_num_threads(threads)
    assert method.function.calls == 2  # its seconds would be others


@pytest.mark.parametrize("harm", ["file in the way", "damaged", "none"])
def test_what_cannot_be_kept_is_worked_out(tiny_bundle, tiny_targets, slow, tmp_path, harm):
    method, folder = slow["tuned"], None if harm == "none" else tmp_path / "kept"
    if harm == "file in the way":
        folder.write_bytes(b"")
    first = inverted(tiny_bundle, tiny_targets[:1], method.config, method.function, folder)
    if harm == "damaged":
        (next(folder.iterdir()) / "clone.safetensors").write_bytes(b"no tensors")
    again = inverted(tiny_bundle, tiny_targets[:1], method.config, method.function, folder)
    assert method.function.calls == 2
    assert torch.equal(first.image, again.image)


def test_a_failure_is_not_kept(tiny_bundle, tiny_targets, tmp_path):
    def fails(gan, target, config):
        raise GanInvError("no.")

    with pytest.raises(GanInvError, match="no"):
        inverted(tiny_bundle, tiny_targets[:1], None, fails, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
