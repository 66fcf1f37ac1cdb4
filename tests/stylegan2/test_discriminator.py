import pytest
import torch
import torch.nn.functional as F

from ganinv.losses.adversarial import r1_penalty
from ganinv.stylegan2 import Discriminator
from ganinv.stylegan2.discriminator import Conv2dLayer, DiscriminatorBlock, minibatch_std


def make(seed=0, **config):
    torch.manual_seed(seed)
    D = Discriminator(**(dict(img_resolution=16, channel_base=64, channel_max=8) | config))
    for name, p in D.named_parameters():
        if name.endswith("bias"):
            p.data.normal_(std=0.2)
    return D


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256])
def test_every_resolution_judges(resolution):
    with torch.no_grad():
        logits = make(img_resolution=resolution, channel_base=2 * resolution)(torch.randn(4, 3, resolution, resolution))
    assert logits.shape == (4, 1)
    assert logits.isfinite().all()
    assert logits.std() > 0


@pytest.mark.parametrize("resolution", [512, 1024])
def test_the_largest_resolutions_fit_together(resolution):
    with torch.device("meta"):
        assert Discriminator(img_resolution=resolution)(torch.empty(4, 3, resolution, resolution)).shape == (4, 1)


@pytest.mark.parametrize("resolution", [4, 24, 2048])
def test_impossible_resolutions_are_refused(resolution):
    with pytest.raises(ValueError, match="power of two from 8 to 1024"):
        Discriminator(img_resolution=resolution)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="takes images of 16x16 pixels, not 8x32"):
        make()(torch.zeros(1, 3, 8, 32))


def test_config_rebuilds_the_network():
    D = make(mbstd_group_size=2, conv_clamp=0.7)
    twin = Discriminator(**D.config)
    twin.load_state_dict(D.state_dict())
    x = torch.randn(4, 3, 16, 16)
    assert torch.equal(twin(x), D(x))


# -- minibatch standard deviation ------------------------------------------------------------------------------------------------


def test_minibatch_std_by_hand():
    x = torch.randn(8, 3, 4, 4, dtype=torch.float64)
    out = minibatch_std(x, 4)
    assert out.shape == (8, 4, 4, 4)
    assert torch.equal(out[:, :3], x)
    for i in range(8):  # image i is compared with those 2, 4 and 6 places away
        group = x[i % 2 :: 2]
        expected = (group.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(out[i, 3], expected.expand(4, 4))


def test_minibatch_std_of_equal_images_is_zero():
    assert minibatch_std(torch.ones(4, 3, 4, 4), 4)[:, 3].max() == pytest.approx(0, abs=1e-3)
    # nothing to compare with
    assert minibatch_std(torch.randn(1, 3, 4, 4), 4)[:, 3].max() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("batch", "group", "fits"),
    [(3, 4, True), (4, 4, True), (6, None, True), (8, 4, True), (6, 4, False), (5, 2, False)],
)
def test_the_batch_is_a_multiple_of_the_group(batch, group, fits):
    D, x = make(mbstd_group_size=group), torch.randn(batch, 3, 16, 16)
    if fits:
        assert D(x).shape == (batch, 1)
    else:
        with pytest.raises(
            ValueError, match=f"batch size {batch} must be a multiple of the minibatch-std group size {group}"
        ):
            D(x)


def test_a_logit_depends_on_its_group_alone():
    D, x = make(mbstd_group_size=2), torch.randn(4, 3, 16, 16)
    logits = D(x)
    torch.testing.assert_close(logits[[0, 2]], D(x[[0, 2]]), atol=1e-5, rtol=1e-5)
    assert (logits[[0, 2]] - D(x[[0, 1]])).abs().max() > 1e-4


def test_without_groups_images_do_not_see_each_other():
    D, x = make(mbstd_group_size=1), torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(D(x), torch.cat([D(one[None]) for one in x]), atol=1e-5, rtol=1e-5)


# -- layers -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [1.0, 0.5**0.5])
@pytest.mark.parametrize("conv_clamp", [None, 0.6])
def test_a_layer_is_convolution_bias_activation_clamp(conv_clamp, gain):
    torch.manual_seed(1)
    layer = Conv2dLayer(3, 5, 3, conv_clamp=conv_clamp).double().requires_grad_(False)
    layer.bias.normal_()
    x = torch.randn(2, 3, 6, 6).double()
    y = F.leaky_relu(F.conv2d(x, layer.weight / 27**0.5, layer.bias, padding=1), 0.2) * 2**0.5 * gain
    if conv_clamp:
        assert y.abs().max() > conv_clamp
        y = y.clamp(-conv_clamp * gain, conv_clamp * gain)
    torch.testing.assert_close(layer(x, gain), y)


def test_a_block_is_residual():
    torch.manual_seed(2)
    block = DiscriminatorBlock(4, 4, 6).requires_grad_(False)
    x = torch.randn(2, 4, 8, 8)
    expected = (block.skip(x) + block.conv1(block.conv0(x))) / 2**0.5
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)
    assert block(x).shape == (2, 6, 4, 4)


def test_clamp_reaches_every_block():
    x = torch.randn(4, 3, 16, 16)
    free, clamped, loose = make(), make(conv_clamp=0.3), make(conv_clamp=1e6)
    assert (free(x) - clamped(x)).abs().max() > 1e-3
    assert torch.equal(free(x), loose(x))


# -- second derivatives ---------------------------------------------------------------------------------------------------------


def test_first_and_second_derivatives():
    D = make(img_resolution=8, channel_base=32, channel_max=4).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(D, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(D, (x,), fast_mode=True)


def test_r1_has_the_right_gradient():
    """Its derivative along a random direction of the weights, against a difference quotient."""
    D = make(img_resolution=8, channel_base=32, channel_max=4).double()
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    parameters = list(D.parameters())
    direction = [torch.randn_like(p) for p in parameters]

    def penalty(t):
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p += t * d
        return r1_penalty(D, x)

    gradients = torch.autograd.grad(penalty(0.0), parameters, allow_unused=True)
    slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True) if g is not None).item()
    h = 1e-6
    above, below = penalty(h).item(), penalty(-2 * h).item()
    assert abs(slope) > 1e-3
    assert slope == pytest.approx((above - below) / (2 * h), rel=1e-4)
