"""The perceptual distance against its formula on the untouched network in float64, and the library's own trunks with stand-in weights."""

import urllib.error

import lpips
import numpy as np
import pytest
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet

from ganinv.errors import GanInvError
from ganinv.perception.features import _read_weights
from ganinv.perception.perceptual import TRUNKS, Perceptual, load_perceptual, perceptual


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return (
        torch.nn.functional.interpolate(torch.rand(4, 3, 9, 9) * 2 - 1, size=64, mode="bicubic").clamp(-1, 1).chunk(2)
    )


@pytest.fixture(scope="module")
def library_network():
    """The network as its package builds it, batch norm and all, in float64."""
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(_read_weights())
    return net.double().eval().requires_grad_(False)


def reference(net, x, y):
    """The formula, image by image: float64, no help from lpips."""

    def feature_maps(image):
        pixels = (image.double() + 1) * 127.5
        h = (pixels - 127) / 128
        h = torch.nn.functional.interpolate(h[None], size=(128, 128), mode="bilinear", align_corners=False)
        h = net._swish(net._bn0(net._conv_stem(h)))
        maps = []
        for i, block in enumerate(net._blocks):
            h = block(h)
            if i in (0, 2, 4, 10):  # the last blocks of stages 0, 1, 2 and 4
                maps.append(h[0].numpy())
        return maps

    values = []
    for a, b in zip(x, y, strict=True):
        value = 0.0
        for f, g in zip(feature_maps(a), feature_maps(b), strict=True):
            f, g = (m / np.linalg.norm(m, axis=0, keepdims=True) for m in (f, g))
            value += np.mean(np.sum((f - g) ** 2, axis=0))
        values.append(value)
    return np.array(values)


def test_value_is_the_formulas(pair, library_network):
    np.testing.assert_allclose(perceptual(*pair).numpy(), reference(library_network, *pair), rtol=1e-4)
    double = Perceptual().double()  # batch norm is folded in float32
    np.testing.assert_allclose(
        double(*(x.double() for x in pair)).numpy(), reference(library_network, *pair), rtol=2e-7
    )  # batch norm is folded in float32


def test_gradient_is_the_formulas(pair, library_network):
    x, y = (t[:1].double() for t in pair)
    x.requires_grad_()
    Perceptual().double()(x, y).sum().backward()
    # small, for the network is piecewise linear with very many pieces
    step = 1e-8 * torch.randn(x.shape, dtype=torch.float64)
    slope = (
        reference(library_network, x.detach() + step, y) - reference(library_network, x.detach() - step, y)
    ).item() / 2
    assert slope == pytest.approx((x.grad * step).sum().item(), rel=1e-5)


def test_it_is_the_librarys_forward():
    assert issubclass(Perceptual, lpips.LPIPS)
    assert "efficientnet-lite0" in TRUNKS
    assert load_perceptual().name == "efficientnet-lite0"


def test_basic_properties(pair):
    x, y = pair
    d = perceptual(x, y)
    assert d.shape == (2,)
    assert (d > 0).all()
    torch.testing.assert_close(perceptual(x, x), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(perceptual(y, x), d)
    nearer = perceptual(x + 0.1 * (y - x), x)
    assert (nearer < d).all()
    torch.testing.assert_close(perceptual(x[1:], y[1:]), d[1:], rtol=1e-4, atol=1e-5)


def test_features_of_a_fixed_target_can_be_kept(pair):
    x, y = pair
    net = load_perceptual()
    target = net.features(y)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    net(a, y).sum().backward()
    net(b, target).sum().backward()
    torch.testing.assert_close(net(x, target), net(x, y))
    torch.testing.assert_close(a.grad, b.grad)
    one = net.features(y[:1])
    torch.testing.assert_close(net(x, one)[1], net(x[1:], y[:1])[0], rtol=1e-4, atol=1e-5)


def test_larger_images_are_seen_as_they_are():
    torch.manual_seed(0)
    x, y = torch.rand(2, 1, 3, 160, 192) * 2 - 1
    maps = load_perceptual().features(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 80, 96), (24, 40, 48), (40, 20, 24), (112, 10, 12)]
    assert perceptual(x, y).isfinite().all()
    assert [tuple(m.shape[2:]) for m in load_perceptual().features(x[..., :64, :64])] == [
        (64, 64),
        (32, 32),
        (16, 16),
        (8, 8),
    ]


def test_frozen_in_evaluation_mode_and_cached(pair):
    assert load_perceptual() is load_perceptual()
    parent = torch.nn.Sequential(Perceptual())
    parent.train()
    assert not any(m.training for m in parent[0].modules())
    assert not any(p.requires_grad for p in parent.parameters())


def test_loading_leaves_the_random_numbers_alone():
    before = torch.get_rng_state()
    Perceptual()
    assert torch.equal(torch.get_rng_state(), before)


def test_usable_after_a_first_use_in_inference_mode(pair):
    load_perceptual.cache_clear()
    with torch.inference_mode():
        perceptual(*pair)
    x = pair[0].clone().requires_grad_()
    perceptual(x, pair[1]).sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.filterwarnings("ignore:.*weight:UserWarning")  # of the plain library
def test_the_librarys_trunk_with_its_heads(monkeypatch, pair):
    """SqueezeNet's own weights need a download; random ones show that the rest of the way is the library's."""
    weights = torchvision.models.squeezenet1_1(weights=None).state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *args, **kwargs: weights)
    x, y = pair
    before = torch.get_rng_state()
    net = Perceptual("squeeze")
    assert torch.equal(torch.get_rng_state(), before)
    assert net.name == "squeeze"
    library = lpips.LPIPS(net="squeeze", verbose=False)
    torch.testing.assert_close(net(x, y), library(x, y).flatten())
    torch.testing.assert_close(net(x, net.features(y)), library(x, y).flatten())


def test_without_a_network_one_clear_sentence(monkeypatch):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(GanInvError, match=r"'alex'.*could not be downloaded.*'efficientnet-lite0', which ships"):
        perceptual(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64), trunk="alex")


def test_damaged_weights_of_a_library_trunk_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth").write_bytes(b"half a download")
    with pytest.raises(GanInvError, match=r"'alex' in .*checkpoints are damaged .*: delete them"):
        Perceptual("alex")


def test_unknown_trunk():
    with pytest.raises(GanInvError, match=r"'resnet'.*efficientnet-lite0, alex, vgg, squeeze"):
        Perceptual("resnet")
