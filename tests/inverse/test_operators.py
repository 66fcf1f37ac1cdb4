"""Every operator is linear, its A_T is the adjoint of its A, and what it measures is what its name says."""

import math
import pickle

import pytest
import torch

from ganinv import GanInvError
from ganinv.inverse.operators import GREY, PROBLEMS, Downsample, Fourier, Gaussian, Inpaint, hartley, operator

NAMES = (
    "gaussian:40",
    "inpaint:half",
    "inpaint:box",
    "inpaint:random",
    "inpaint:random:0.5",
    "superres:2",
    "superres:4",
    "superres:8",
    "blur:1.5",
    "grey",
    "fourier:0.3",
)
R = 32


def random_image(n=2, seed=0):
    return torch.randn(n, 3, R, R, generator=torch.Generator().manual_seed(seed))


def test_every_kind_of_problem_is_looked_at():
    assert {name.partition(":")[0] for name in PROBLEMS} == {name.partition(":")[0] for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_adjoint(name):
    op = operator(name, R, seed=3)
    x = random_image()
    y = torch.randn(2, *op.shape, generator=torch.Generator().manual_seed(1))
    left, right = (op.A(x) * y).sum().item(), (x * op.A_T(y)).sum().item()
    assert left == pytest.approx(right, rel=1e-4, abs=1e-3)
    assert abs(left) > 1e-3  # and both are something


@pytest.mark.parametrize("name", NAMES)
def test_shape_name_and_linearity(name):
    op = operator(name, R)
    x, other = random_image(), random_image(seed=7)
    assert op.A(x).shape == (2, *op.shape)
    assert op.A_T(op.A(x)).shape == x.shape
    assert (op.m, op.n) == (math.prod(op.shape), 3 * R * R)
    torch.testing.assert_close(op.A(2 * x - other), 2 * op.A(x) - op.A(other), rtol=1e-4, atol=1e-4)
    assert operator(op.name, R) == op
    assert pickle.loads(pickle.dumps(op)) == op


@pytest.mark.parametrize("name", NAMES[1:])
def test_gain_is_the_norm(name):
    op = operator(name, R)
    if name.startswith("blur"):  # the border that is left out takes a little of it away
        assert 0.9 * op.gain < op.norm() < op.gain
    else:
        assert op.norm() == pytest.approx(op.gain, rel=1e-3)


def test_random_projections_keep_lengths_on_average():
    op = Gaussian(R, 1000)
    x = random_image(64)
    assert (op.A(x).square().sum() / x.square().sum()).item() == pytest.approx(op.gain, rel=0.02)
    # Marchenko and Pastur: in its worst direction it is this far from doing so
    assert op.norm() == pytest.approx((1 + math.sqrt(op.n / op.m)) ** 2, rel=0.05)


def test_misfit_is_in_units_of_the_mse():
    x, other = random_image(), random_image(seed=5)
    mse = (x - other).square().mean(dim=(1, 2, 3))
    full = operator("fourier:1", R)
    torch.testing.assert_close(full.misfit(other, full.A(x)), mse)
    smooth = torch.full((1, 3, R, R), 0.5)
    for name in ("superres:4", "blur:1"):
        op = operator(name, R)
        expected = 0.25 * op.m / op.n * (16 if name == "superres:4" else 1)
        assert op.misfit(smooth * 0, op.A(smooth)).item() == pytest.approx(expected, rel=1e-4)


def test_gaussian_numbers_come_from_the_seed():
    x = random_image()
    assert torch.equal(Gaussian(R, 20, 1).A(x), Gaussian(R, 20, 1).A(x))
    assert not torch.equal(Gaussian(R, 20, 1).A(x), Gaussian(R, 20, 2).A(x))


def test_masks_cover_what_they_say():
    half, box, some = (Inpaint(R, kind, 0.25).mask for kind in ("half", "box", "random"))
    assert half[:, : R // 2].all()
    assert not half[:, R // 2 :].any()
    assert not box[10:22, 10:22].any()
    assert box.sum() == R * R - 12 * 12
    assert some.sum() == R * R // 4
    x = random_image()
    seen = Inpaint(R, "half")
    assert torch.equal(seen.A_T(seen.A(x)), x * half)


def test_blocks_are_averaged():
    x = random_image()
    assert Downsample(R, 8).A(x)[0, 1, 2, 3].item() == pytest.approx(x[0, 1, 16:24, 24:32].mean().item(), abs=1e-6)


def test_grey_is_luma():
    colours = torch.tensor([1.0, -1.0, 0.5])[None, :, None, None].expand(1, 3, R, R)
    assert operator("grey", R).A(colours).mean().item() == pytest.approx(GREY[0] - GREY[1] + 0.5 * GREY[2], abs=1e-6)


def test_hartley_is_its_own_inverse_and_holds_the_fourier_coefficients():
    x = random_image()
    torch.testing.assert_close(hartley(hartley(x)), x, rtol=1e-4, atol=1e-4)
    h, f = hartley(x), torch.fft.fft2(x, norm="ortho")
    torch.testing.assert_close((h[..., 3, 5] + h[..., -3, -5]) / 2, f[..., 3, 5].real, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close((h[..., -3, -5] - h[..., 3, 5]) / 2, f[..., 3, 5].imag, rtol=1e-4, atol=1e-4)


def test_fourier_keeps_pairs_the_mean_and_the_share():
    mask = Fourier(R, 0.2).mask
    assert mask[0, 0]
    assert mask[:2, :2].all()
    assert torch.equal(mask, mask.flip(0, 1).roll((1, 1), (0, 1)))
    assert mask.float().mean().item() == pytest.approx(0.2, abs=0.01)


NO_PROBLEMS = """
    mri gaussian gaussian:0 gaussian:99999 gaussian:x inpaint inpaint:left inpaint:half:2 inpaint:random:0
    superres:3 superres:x blur:-1 blur:9 grey:2 fourier:2
"""


@pytest.mark.parametrize("name", ["", *NO_PROBLEMS.split()])
def test_what_is_no_problem_is_refused_with_those_that_are(name):
    with pytest.raises(GanInvError, match=r"there is no problem .* choose from gaussian:M, inpaint:half"):
        operator(name, R)
