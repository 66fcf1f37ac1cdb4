"""Growing changes the networks' size, and nothing they compute, until the new blocks are faded in."""

import pytest
import torch

from ganinv import GanInvError
from ganinv.stylegan2 import Discriminator, Generator
from ganinv.stylegan2.ops import downsample2d, upsample2d
from ganinv.training.growing import (
    FadingDiscriminator,
    grow_discriminator,
    grow_generator,
    wider_discriminator,
    wider_generator,
)

SIZES = dict(channel_base=128, channel_max=16)


@pytest.fixture
def G():  # noqa: N802
    torch.manual_seed(0)
    return Generator(z_dim=8, w_dim=8, img_resolution=16, num_layers=2, **SIZES).requires_grad_(False)


@pytest.fixture
def D():  # noqa: N802
    torch.manual_seed(1)
    D = Discriminator(img_resolution=16, **SIZES).requires_grad_(False)
    for name, p in D.named_parameters():
        if name.endswith("bias"):
            p.normal_()
    return D


def test_the_grown_generator_draws_the_old_image_at_first(G):
    grown = grow_generator(G, 32)
    z = torch.randn(3, 8)
    assert grown.img_resolution == 32
    assert torch.equal(grown.mapping(z)[:, : G.num_ws], G.mapping(z))
    old = G.synthesis(G.mapping(z))
    new = grown.synthesis(grown.mapping(z), rgb_gain=0.0)
    torch.testing.assert_close(new, upsample2d(old, grown.synthesis.b32.resample_filter))
    assert (grown.synthesis(grown.mapping(z)) - new).abs().max() > 0.01  # and another one, once it is faded in


def test_the_grown_generator_keeps_every_weight(G):
    grown = grow_generator(G, 32)
    for name, tensor in G.state_dict().items():
        assert torch.equal(grown.state_dict()[name], tensor)
    grown.synthesis.b4.const.data.zero_()
    assert G.synthesis.b4.const.abs().max() > 0  # but shares none


def test_the_grown_discriminator_judges_the_halved_image_at_first(D):
    fading = FadingDiscriminator(*grow_discriminator(D, 32))
    x = torch.randn(4, 3, 32, 32)
    fading.alpha = 0.0
    torch.testing.assert_close(fading(x), D(downsample2d(x, D.b16.resample_filter)))
    fading.alpha = 1.0
    assert torch.equal(fading(x), fading.D(x))
    assert (fading(x) - D(downsample2d(x, D.b16.resample_filter))).abs().max() > 1e-3


def test_in_between_the_features_are_blended(D):
    fading = FadingDiscriminator(*grow_discriminator(D, 32)).requires_grad_(False)
    x = torch.randn(4, 3, 32, 32)
    old = fading.old_fromrgb(downsample2d(x, D.b16.resample_filter))
    new = fading.D.b32(x)
    fading.alpha = 0.3
    expected = fading.D.b4(fading.D.b8(fading.D.b16(0.7 * old + 0.3 * new)))
    torch.testing.assert_close(fading(x), expected)


def test_the_grown_discriminator_keeps_every_weight_but_from_rgb(D):
    grown, fromrgb = grow_discriminator(D, 32)
    for name, tensor in D.state_dict().items():
        if "fromrgb" not in name:
            assert torch.equal(grown.state_dict()[name], tensor)
    assert torch.equal(fromrgb.weight, D.b16.fromrgb.weight)
    assert fromrgb.weight is not D.b16.fromrgb.weight
    assert not hasattr(grown.b16, "fromrgb")


def test_without_an_old_way_in_there_is_nothing_to_fade(D):
    x = torch.randn(4, 3, 16, 16)
    fading = FadingDiscriminator(D)
    fading.alpha = 0.0
    assert torch.equal(fading(x), D(x))


def test_both_ways_in_are_trained_while_fading(D):
    fading = FadingDiscriminator(*grow_discriminator(D, 32)).requires_grad_(True)
    fading.alpha = 0.5
    fading(torch.randn(4, 3, 32, 32)).sum().backward()
    for p in (fading.old_fromrgb.weight, fading.D.b32.fromrgb.weight, fading.D.b16.conv0.weight):
        assert p.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("channel_base", "channel_max"), [(256, 32), (128, 24), (128, 16)], ids=["all layers", "coarse layers", "none"]
)
def test_a_wider_generator_draws_the_same_images(G, channel_base, channel_max):
    wide = wider_generator(G, channel_base, channel_max)
    z = torch.randn(3, 8)
    assert wide.config == {**G.config, "channel_base": channel_base, "channel_max": channel_max}
    torch.testing.assert_close(wide(z, noise_mode="const"), G(z, noise_mode="const"), atol=1e-5, rtol=1e-4)


def test_training_finds_a_use_for_the_new_channels(G):
    """Nothing listens to them yet, but the weights that would do receive a gradient."""
    wide = wider_generator(G, 256, 32)
    listening = wide.synthesis.b16.conv1.weight
    assert not listening[:8, 8:].any()
    assert listening[8:].std() > 0.5
    wide(torch.randn(3, 8), noise_mode="const").square().mean().backward()
    assert (listening.grad[:8, 8:] != 0).all()


def test_a_wider_discriminator_judges_alike(D):
    """Exactly so without the minibatch standard deviation, which is the mean over all channels."""
    D.b4.conv.weight[:, -1] = 0
    wide = wider_discriminator(D, 256, 32)
    x = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(wide(x), D(x), atol=1e-5, rtol=1e-4)


def test_the_minibatch_standard_deviation_stays_the_last_input(D):
    wide = wider_discriminator(D, 256, 32)
    old, new = D.b4.conv, wide.b4.conv
    torch.testing.assert_close(new.weight[:16, -1] * new.weight_gain, old.weight[:, -1] * old.weight_gain)
    torch.testing.assert_close(new.weight[:16, :16] * new.weight_gain, old.weight[:, :16] * old.weight_gain)
    assert not new.weight[:16, 16:-1].any()


def test_no_layer_can_shrink(G, D):
    with pytest.raises(GanInvError, match=r"would shrink from .* a network can only be made wider"):
        wider_generator(G, 64, 16)
    with pytest.raises(GanInvError, match="would shrink"):
        wider_discriminator(D, 128, 8)
