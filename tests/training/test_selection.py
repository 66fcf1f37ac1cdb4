import importlib.util

import numpy as np
import pytest
import torch

from ganinv import GanInvError
from ganinv.photos.faces import FRAME_LANDMARKS
from ganinv.training import dcgan, selection
from ganinv.training.data import draw_kept, shipped_selection
from ganinv.training.selection import (
    FRONTAL,
    LEFT,
    RIGHT,
    Proposal,
    Selection,
    candidates,
    fit_frames,
    judge,
    quantised,
    select,
    warp,
)

installed = importlib.util.find_spec("gan_face_generate") is not None
needs_dcgan = pytest.mark.skipif(not installed, reason=f"the DCGAN is not installed: {dcgan.INSTALL}")


@pytest.fixture(scope="module")
def draws():
    """Two frontal faces and one turned to either side, as the DCGAN draws them, with the kinds and transforms that were recorded."""
    chosen = shipped_selection("train")
    rows = np.concatenate(
        [np.flatnonzero(chosen.kind == kind)[:n] for kind, n in ((FRONTAL, 2), (LEFT, 1), (RIGHT, 1))]
    )
    chunk, row = np.divmod(chosen.index[rows], selection.CHUNK)
    z = torch.stack([candidates(chosen.seed, int(c))[int(r)] for c, r in zip(chunk, row, strict=True)])
    return dcgan.render_dcgan(dcgan.load_dcgan(), z[:, :, None, None]), chosen.kind[rows], chosen.transform[rows]


@needs_dcgan
def test_known_faces_are_sorted_as_recorded(draws):
    images, kind, transform = draws
    kinds, transforms = judge(images)
    assert kinds.tolist() == kind.tolist() == [FRONTAL, FRONTAL, LEFT, RIGHT]
    assert np.abs(transforms[:, 2:].astype(int) - transform[:, 2:]).max() <= 8  # a 64th of a pixel


@needs_dcgan
def test_a_mirrored_face_looks_the_other_way(draws):
    images, _, transform = draws
    kinds, transforms = judge(images.flip(3))
    assert kinds.tolist() == [FRONTAL, FRONTAL, RIGHT, LEFT]
    centre = transforms[:, 2] / selection.STEPS + transform[:, 2] / selection.STEPS
    assert np.abs(centre - selection.SIZE).max() < 0.05


@needs_dcgan
def test_what_is_no_portrait_is_dropped(draws):
    images, *_ = draws
    face = images[:1].float()
    noise = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    dark, flat = (face * 0.2).byte(), (face * 0.05 + 120).byte()
    masked = images[:1].clone()
    masked[:, :, 40:60, 14:50] = torch.tensor([150, 190, 230], dtype=torch.uint8)[:, None, None]
    upside_down = images[:1].flip(2)
    assert judge(torch.cat([noise, dark, flat, masked, upside_down]))[0].tolist() == [0, 0, 0, 0, 0]


@needs_dcgan
def test_the_framed_faces_lie_where_a_photo_is_put(draws):
    """O-net finds eyes, nose and mouth of the warped draws at the landmarks of ``align="face"``, within a pixel and a half on average."""
    chosen = shipped_selection("train")
    framed = torch.from_numpy(draw_kept(chosen.seed, chosen.index[:60], chosen.transform[:60])).float()
    with torch.inference_mode():
        looks = [selection.look(framed, side, below)[1] for side, below in ((54, 2), (60, 2), (48, 2))]
        looks += [
            selection.mirrored(selection.look(framed.flip(3), side, below)[1])
            for side, below in ((54, 2), (60, 2), (48, 2))
        ]
    found = torch.stack(looks).mean(0)
    wanted = torch.tensor(FRAME_LANDMARKS) * 64
    eyes_and_mouth = [0, 1, 3, 4]  # the nose moves where a face turns
    assert (found.mean(0) - wanted)[eyes_and_mouth].abs().max() < 1.0
    assert (found - wanted)[:, eyes_and_mouth].norm(dim=2).mean() < 1.5


def test_frames_are_fitted_exactly_to_a_moved_frame():
    a = torch.tensor([[0.9, 0.1, 30.0, 35.0], [1.1, -0.2, 33.5, 31.0]], dtype=torch.float64)
    frame = torch.view_as_complex(torch.tensor(FRAME_LANDMARKS, dtype=torch.float64) * 64)
    moved = (
        torch.view_as_complex(a[:, :2].contiguous())[:, None] * (frame - complex(32, 32))
        + torch.view_as_complex(a[:, 2:].contiguous())[:, None]
    )
    assert torch.allclose(fit_frames(torch.view_as_real(moved)), a)


def test_the_identity_leaves_an_image_as_it_is():
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    still = quantised(torch.tensor([[1.0, 0.0, 32.0, 32.0]] * 2))
    assert torch.equal(warp(images, still), images)
    shifted = quantised(torch.tensor([[1.0, 0.0, 33.0, 32.0]] * 2))
    assert torch.equal(warp(images, shifted)[..., :-1], images[..., 1:])


def test_a_proposal_finds_what_decides():
    z = candidates(3, 0)
    kinds = np.where(z[:, 7].numpy() > 1, FRONTAL, np.where(z[:, 8].numpy() ** 2 > 3, LEFT, 0))
    rows = Proposal.fit(z, kinds).propose(candidates(3, 1), [FRONTAL])
    assert (candidates(3, 1)[rows, 7] > 1).float().mean() > 0.9
    assert len(rows) == selection.PROPOSED[FRONTAL]


@needs_dcgan
def test_a_stopped_selection_goes_on_and_ends_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "CHUNK", 120)
    monkeypatch.setattr(selection, "GROUP", 1)
    monkeypatch.setattr(selection, "PROPOSED", {FRONTAL: 30, LEFT: 10, RIGHT: 10})
    proposal = shipped_selection("train").proposal

    class StopError(Exception):
        pass

    def stop(kept, n):
        if kept > 8:
            raise StopError

    whole = select(24, 5, tmp_path / "whole.npz", proposal=proposal, jobs=1)
    with pytest.raises(StopError):
        select(24, 5, tmp_path / "stopped.npz", proposal=proposal, jobs=1, progress=stop)
    assert 8 < len(Selection.load(tmp_path / "stopped.npz")) < 24
    gone_on = select(24, 5, tmp_path / "stopped.npz", jobs=2)
    assert np.array_equal(gone_on.index, whole.index)
    assert np.array_equal(gone_on.transform, whole.transform)
    assert len(whole) == 24
    assert sorted(set(whole.kind.tolist())) == [FRONTAL, LEFT, RIGHT]
    with pytest.raises(GanInvError, match="from seed 5, not 6"):
        select(24, 6, tmp_path / "whole.npz", jobs=1)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", None])
def test_what_is_no_selection_is_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / "some.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GanInvError, match="is not a selection of training images: make one with `ganinv train select`"):
        Selection.load(path)
