"""The pyramid against a reference in plain loops, against OpenCV, and the properties the chapters rely on."""

import cv2
import numpy as np
import pytest
import torch

from ganinv.losses.laplacian_pyramid import (
    _down_and_up,
    band_errors,
    default_levels,
    expand,
    laplacian_pyramid,
    laplacian_pyramid_loss,
    reconstruct,
    shrink,
)

SIZES = [(64, 64), (37, 50), (33, 64), (5, 5), (4, 3), (2, 2), (1, 5), (2, 1), (1, 1)]
G = [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16]


def mirror(i, size):
    """Index i of a line reflected about its first and last pixel, as often as needed."""
    while size > 1 and not 0 <= i < size:
        i = -i if i < 0 else 2 * (size - 1) - i
    return i if size > 1 else 0


def smooth_line(line):
    return [sum(G[k] * line[mirror(i + k - 2, len(line))] for k in range(5)) for i in range(len(line))]


def up_line(line, size):
    if size == 1:
        return list(line)
    zeros = [0.0] * size
    zeros[::2] = line
    return [2 * v for v in smooth_line(zeros)]


def along_both(f, image):
    rows = [f(list(row)) for row in image]
    return np.array([f(list(column)) for column in np.array(rows).T]).T


def reference_pyramid(image, levels):
    bands, a = [], np.asarray(image, dtype=np.float64)
    for _ in range(levels):
        smaller = along_both(lambda line: smooth_line(line)[::2], a)
        enlarged = np.array([up_line(list(row), a.shape[1]) for row in smaller])
        enlarged = np.array([up_line(list(column), a.shape[0]) for column in enlarged.T]).T
        bands.append(a - enlarged)
        a = smaller
    return [*bands, a]


def reference_loss(x, y, levels, weights):
    pyramids = [[reference_pyramid(channel, levels) for channel in image] for image in (x, y)]
    return sum(
        w * np.mean([np.abs(a[j] - b[j]) for a, b in zip(*pyramids, strict=True)]) for j, w in enumerate(weights)
    )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("size", SIZES)
def test_bands_match_the_reference(rng, size):
    image = rng.uniform(-1, 1, size)
    for mine, reference in zip(
        laplacian_pyramid(torch.tensor(image)[None, None], 4), reference_pyramid(image, 4), strict=True
    ):
        np.testing.assert_allclose(mine[0, 0].numpy(), reference, atol=1e-13)


@pytest.mark.parametrize("levels", [0, 1, 3, 6, 9])
@pytest.mark.parametrize("size", SIZES)
def test_the_bands_sum_to_the_image(size, levels):
    torch.manual_seed(0)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        x = torch.rand(2, 3, *size, dtype=dtype) * 2 - 1
        bands = laplacian_pyramid(x, levels)
        assert len(bands) == levels + 1
        assert (reconstruct(bands) - x).abs().max() < tolerance


def test_reference_value_and_gradient(rng):
    x, y = rng.uniform(-1, 1, (2, 2, 9, 12))
    weights = [1.0, 0.5, 2.0, 0.25]
    tx = torch.tensor(x[None], requires_grad=True)
    loss = laplacian_pyramid_loss(tx, torch.tensor(y[None]), levels=3, weights=weights)
    assert loss.item() == pytest.approx(reference_loss(x, y, 3, weights), abs=1e-13)
    loss.backward()
    for index in [(0, 0, 0), (1, 8, 11), (0, 4, 5), (1, 3, 0), (0, 8, 6)]:
        step = np.zeros_like(x)
        step[index] = 1e-7
        slope = (reference_loss(x + step, y, 3, weights) - reference_loss(x - step, y, 3, weights)) / 2e-7
        assert tx.grad[0][index].item() == pytest.approx(slope, abs=1e-7)


def test_gradient_is_the_transposed_pyramid_of_the_signs(rng):
    """Band j is linear, B_j = L_j x, so the gradient is the sum of lambda_j L_j^T sign(B_j(x) - B_j(y)) / n_j, pixel by pixel."""
    x, y = rng.uniform(-1, 1, (2, 6, 7))
    weights = [1.0, 0.5, 3.0]
    impulses = np.eye(x.size).reshape(x.size, *x.shape)
    responses = [
        np.stack([band.ravel() for band in bands], axis=1)
        for bands in zip(*(reference_pyramid(i, 2) for i in impulses), strict=True)
    ]
    expected = sum(w * L.T @ np.sign(L @ (x - y).ravel()) / len(L) for w, L in zip(weights, responses, strict=True))
    tx = torch.tensor(x[None, None], requires_grad=True)
    laplacian_pyramid_loss(tx, torch.tensor(y[None, None]), 2, weights).backward()
    np.testing.assert_allclose(tx.grad.numpy().ravel(), expected, atol=1e-14)


@pytest.mark.parametrize("size", [(64, 64), (32, 48), (33, 64), (65, 63), (7, 5), (4, 4), (3, 3), (2, 2)])
def test_opencv_agrees(rng, size):
    """Everywhere for even sizes. Where a size is odd, OpenCV repeats the last pixel of the enlarged image instead of reflecting."""
    x = rng.uniform(-1, 1, (*size, 3)).astype(np.float32)
    tensor = torch.tensor(x).permute(2, 0, 1)[None]
    small = cv2.pyrDown(x)
    np.testing.assert_allclose(shrink(tensor)[0].permute(1, 2, 0).numpy(), small, atol=1e-6)
    theirs = cv2.pyrUp(small, dstsize=size[::-1])
    mine = expand(torch.tensor(small).permute(2, 0, 1)[None], *size)[0].permute(1, 2, 0).numpy()
    last_row, last_column = (side - side % 2 for side in size)
    np.testing.assert_allclose(mine[:last_row, :last_column], theirs[:last_row, :last_column], atol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (37, 50), (5, 2)])
def test_a_constant_shift_touches_only_the_residual(size):
    x = torch.rand(1, 3, *size, dtype=torch.float64)
    errors = band_errors(x + 0.3, x, levels=4)[0]
    assert errors[:-1].max() < 1e-15
    assert errors[-1].item() == pytest.approx(0.3)


def test_a_checkerboard_touches_only_the_finest_band():
    checkerboard = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1
    errors = band_errors(checkerboard.expand(1, 3, -1, -1), torch.zeros(1, 3, 64, 64), levels=4)[0]
    assert errors[0].item() == pytest.approx(1.0, abs=1e-6)
    assert errors[1:].max() < 1e-6


def checkerboard(size=64):
    return ((torch.arange(size, dtype=torch.float64)[:, None] + torch.arange(size)) % 2 * 2 - 1).expand(1, 3, -1, -1)


@pytest.mark.parametrize(
    ("difference", "untouched"),
    [(torch.full((1, 3, 64, 64), 0.1, dtype=torch.float64), slice(0, 4)), (0.1 * checkerboard(), slice(1, 5))],
)
def test_weights_of_untouched_bands_do_not_matter(difference, untouched):
    """A constant shift costs the weight of the residual alone, a checkerboard that of the finest band alone."""
    x = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    weights = [1.0] * 5
    for j in range(*untouched.indices(5)):
        weights[j] = 1000.0
    assert laplacian_pyramid_loss(x + difference, x, 4, weights).item() == pytest.approx(0.1, abs=1e-9)


@pytest.mark.parametrize(
    ("difference", "touched"), [(torch.ones(1, 3, 64, 64, dtype=torch.float64), 2), (checkerboard(), 0)]
)
def test_a_touched_band_pushes_back_in_its_own_pattern(difference, touched):
    """Descending the loss undoes a constant shift by a constant, and a checkerboard by a checkerboard; away from the borders, exactly."""
    image = (0.1 * difference).requires_grad_()
    laplacian_pyramid_loss(image, torch.zeros_like(image), 2, [float(j == touched) for j in range(3)]).backward()
    inner = (..., slice(12, -12), slice(12, -12))
    torch.testing.assert_close(image.grad[inner], difference[inner] / difference.numel(), rtol=1e-12, atol=0)


def test_it_is_a_norm_of_the_difference():
    torch.manual_seed(0)
    x, y, z = torch.rand(3, 2, 3, 20, 24, dtype=torch.float64)
    loss = laplacian_pyramid_loss(x, y, reduction="none")
    torch.testing.assert_close(laplacian_pyramid_loss(y, x, reduction="none"), loss)
    torch.testing.assert_close(laplacian_pyramid_loss(x + z, y + z, reduction="none"), loss)
    torch.testing.assert_close(laplacian_pyramid_loss(-3 * x, -3 * y, reduction="none"), 3 * loss)
    assert (
        loss <= laplacian_pyramid_loss(x, z, reduction="none") + laplacian_pyramid_loss(z, y, reduction="none")
    ).all()
    assert (laplacian_pyramid_loss(x, x, reduction="none") == 0).all()


def test_without_levels_it_is_the_mean_absolute_error():
    x, y = torch.rand(2, 1, 3, 9, 9)
    assert laplacian_pyramid_loss(x, y, levels=0).item() == pytest.approx((x - y).abs().mean().item())


@pytest.mark.parametrize("size", [(65, 33), (9, 17)])
def test_mirrored_and_transposed_images_have_mirrored_and_transposed_bands(size):
    """For sizes 2^k + 1 the kept pixels are symmetric."""
    x = torch.rand(1, 3, *size, dtype=torch.float64)
    for change in (lambda t: t.flip(2), lambda t: t.flip(3), lambda t: t.mT):
        for band, other in zip(laplacian_pyramid(x, 3), laplacian_pyramid(change(x), 3), strict=True):
            torch.testing.assert_close(other, change(band))


def test_gradients_reach_every_level():
    torch.manual_seed(0)
    x, y = torch.rand(2, 1, 3, 64, 64)
    for level in range(5):
        image = x.clone().requires_grad_()
        laplacian_pyramid_loss(image, y, levels=4, weights=[float(level == j) for j in range(5)]).backward()
        assert image.grad.abs().sum() > 0.1
        assert (image.grad != 0).double().mean() > 0.9  # and every pixel takes part, but for signs that cancel


def test_gradcheck():
    x = torch.rand(1, 2, 7, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: laplacian_pyramid(t, 3), x)


def test_reduction_and_images_are_independent():
    torch.manual_seed(0)
    x, y = torch.rand(2, 4, 3, 32, 32)
    each = laplacian_pyramid_loss(x, y, reduction="none")
    assert each.shape == (4,)
    torch.testing.assert_close(laplacian_pyramid_loss(x, y), each.mean())
    torch.testing.assert_close(laplacian_pyramid_loss(x[2:3], y[2:3]), each[2])


def test_default_levels():
    assert [default_levels(r, r) for r in (1, 4, 8, 16, 32, 64, 100, 128, 256, 1024)] == [1, 1, 1, 2, 3, 4, 4, 5, 6, 6]
    assert len(laplacian_pyramid(torch.rand(1, 3, 64, 64))) == 5


def test_usable_after_a_first_use_in_inference_mode():
    _down_and_up.cache_clear()
    with torch.inference_mode():
        laplacian_pyramid_loss(torch.rand(1, 3, 19, 19), torch.rand(1, 3, 19, 19))
    x = torch.rand(1, 3, 19, 19, requires_grad=True)
    laplacian_pyramid_loss(x, torch.zeros(1, 3, 19, 19)).backward()
    assert x.grad is not None


def test_clear_errors():
    x = torch.rand(1, 3, 8, 8)
    with pytest.raises(ValueError, match="-1 levels"):
        laplacian_pyramid(x, -1)
    with pytest.raises(ValueError, match="needs 3 weights, not 2"):
        laplacian_pyramid_loss(x, x, levels=2, weights=[1, 1])
    with pytest.raises(ValueError, match="'sum'"):
        laplacian_pyramid_loss(x, x, reduction="sum")
    with pytest.raises(ValueError, match="floating-point"):
        laplacian_pyramid((x * 255).to(torch.uint8), 1)
