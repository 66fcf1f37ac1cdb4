"""The fast forms against the textbook ones, which are written out here."""

import pytest
import torch
import torch.nn.functional as F

from ganinv.stylegan2.ops import (
    binomial_filter,
    blur,
    conv2d_down,
    conv2d_up,
    downsample2d,
    lrelu,
    modulated_conv2d,
    normalize_2nd_moment,
    num_channels,
    upsample2d,
    widen,
)

f = binomial_filter().double()


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def upfirdn2d(x, up=1, down=1, padding=(0, 0), gain=1.0):
    """Insert zeros, pad, filter, drop pixels: one step after the other."""
    n, c, h, w = x.shape
    zeros = x.new_zeros(n, c, h * up, w * up)
    zeros[:, :, ::up, ::up] = x
    x = F.pad(zeros, [*padding, *padding])
    x = torch.stack([F.conv2d(x[:, i : i + 1], (f * gain)[None, None]) for i in range(c)], dim=2).squeeze(1)
    return x[:, :, ::down, ::down]


def fused_modulated_conv2d(x, weight, styles, demodulate=True, up=1):
    """StyleGAN2's Eqs. 1-3 as they stand: each image is convolved with weights of its own (one grouped convolution)."""
    n = len(x)
    w = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        w = w / (w.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    x = x.reshape(1, -1, *x.shape[2:])
    if up == 2:
        x = F.conv_transpose2d(x, w.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
        return upfirdn2d(x.reshape(n, -1, *x.shape[2:]), padding=(1, 1), gain=4)
    x = F.conv2d(x, w.flatten(0, 1), padding=weight.shape[-1] // 2, groups=n)
    return x.reshape(n, -1, *x.shape[2:])


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_the_filter_is_a_low_pass_of_sum_one():
    assert f.sum() == 1
    assert torch.equal(f, f.t())
    assert torch.equal(f, f.flip(0, 1))


@pytest.mark.parametrize("size", [4, 7])
def test_upsampling(size):
    x = rand(2, 3, size, size)
    torch.testing.assert_close(upsample2d(x, f), upfirdn2d(x, up=2, padding=(2, 1), gain=4))


@pytest.mark.parametrize("size", [4, 10])
def test_downsampling(size):
    x = rand(2, 3, size, size)
    torch.testing.assert_close(downsample2d(x, f), upfirdn2d(x, down=2, padding=(1, 1)))


def test_blur_with_unequal_padding():
    x = rand(1, 2, 6, 6)
    torch.testing.assert_close(blur(x, f, padding=(2, 1, 2, 1), gain=2.0), upfirdn2d(x, padding=(2, 1), gain=2))


def test_resampling_keeps_a_flat_image_flat():
    flat = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    assert torch.allclose(upsample2d(flat, f)[..., 2:-2, 2:-2], torch.tensor(1.0, dtype=torch.float64))
    assert torch.allclose(downsample2d(flat, f)[..., 1:-1, 1:-1], torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("kernel", [1, 3])
def test_convolution_that_halves(kernel):
    x, weight, bias = rand(2, 3, 8, 8), rand(5, 3, kernel, kernel), rand(5)
    blurred = upfirdn2d(x, padding=(1, 1) if kernel == 1 else (2, 2))
    torch.testing.assert_close(conv2d_down(x, weight, f, bias), F.conv2d(blurred, weight, bias, stride=2))


def test_convolution_that_doubles():
    x, weight = rand(2, 3, 5, 5), rand(4, 3, 3, 3)
    expected = upfirdn2d(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), padding=(1, 1), gain=4)
    torch.testing.assert_close(conv2d_up(x, weight, f), expected)


@pytest.mark.parametrize(("up", "kernel"), [(1, 1), (1, 3), (2, 3)])
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_equals_the_fused_one(up, kernel, demodulate):
    x, weight, styles = rand(3, 4, 6, 6), rand(5, 4, kernel, kernel), rand(3, 4)
    actual = modulated_conv2d(x, weight, styles, f, demodulate, up)
    torch.testing.assert_close(actual, fused_modulated_conv2d(x, weight, styles, demodulate, up))


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_gradients_equal_the_fused_ones(demodulate):
    x, weight, styles = (t.requires_grad_() for t in (rand(2, 3, 5, 5), rand(4, 3, 3, 3), rand(2, 3)))
    ours = torch.autograd.grad(
        modulated_conv2d(x, weight, styles, demodulate=demodulate).sin().sum(), (x, weight, styles)
    )
    theirs = torch.autograd.grad(fused_modulated_conv2d(x, weight, styles, demodulate).sin().sum(), (x, weight, styles))
    torch.testing.assert_close(ours, theirs)


def test_noise_and_gain_come_after_demodulation():
    x, weight, styles, noise = rand(2, 3, 6, 6), rand(4, 3, 3, 3), rand(2, 3), rand(2, 1, 6, 6)
    expected = (fused_modulated_conv2d(x, weight, styles) + noise) * 1.7
    torch.testing.assert_close(modulated_conv2d(x, weight, styles, noise=noise, gain=1.7), expected)


def test_demodulated_output_has_unit_variance():
    x, weight = torch.randn(4, 64, 16, 16), torch.randn(64, 64, 3, 3)
    out = modulated_conv2d(x, weight, torch.rand(4, 64) * 5 + 0.1)[..., 1:-1, 1:-1]
    assert out.var().item() == pytest.approx(1, abs=0.1)


def test_lrelu_is_homogeneous():
    x = rand(100)
    torch.testing.assert_close(lrelu(3 * x), 3 * lrelu(x))
    assert lrelu(torch.tensor([-1.0, 2.0])).tolist() == pytest.approx([-0.2, 2.0])


def test_second_moment_is_one():
    x = normalize_2nd_moment(rand(5, 7) * 30)
    torch.testing.assert_close(x.square().mean(dim=1), torch.ones(5, dtype=torch.float64))


def test_widen_only_lifts_half_precision():
    assert [widen(torch.zeros(1, dtype=t)).dtype for t in (torch.float16, torch.bfloat16)] == [torch.float32] * 2
    assert [widen(torch.zeros(1, dtype=t)).dtype for t in (torch.float32, torch.float64)] == [
        torch.float32,
        torch.float64,
    ]


def test_number_of_channels():
    assert [num_channels(r, 1024, 128) for r in (4, 8, 16, 64)] == [128, 128, 64, 16]
