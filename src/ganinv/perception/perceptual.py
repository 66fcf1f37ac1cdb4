r"""Perceptual distance: how far apart a network trained on ImageNet sees two images (LPIPS, Zhang et al. 2018).

With :math:`\hat f_l(x)` the trunk's feature map at stage :math:`l`, scaled to unit length over its channels at every position,

.. math::

    d(x, y) = \sum_l \frac{1}{H_l W_l} \sum_{h,w} \big\lVert u_l \odot (\hat f_l(x)_{hw} - \hat f_l(y)_{hw}) \big\rVert^2

computed by the ``lpips`` library's own ``forward``. Its trunks ``alex``, ``vgg`` and ``squeeze`` have learned channel weights :math:`u_l` (its
"heads"); the default trunk, EfficientNet-Lite0, has none (:math:`u_l = 1`), so its values are larger and on another scale. Distances of
different trunks cannot be compared: always name the trunk.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import lpips
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import once_per_device
from ..errors import GanInvError
from .features import EFFICIENTNET, FEATURE_SIZE, EfficientNetLite0, efficientnet_input

LIBRARY_TRUNKS = ("alex", "vgg", "squeeze")
TRUNKS = (EFFICIENTNET, *LIBRARY_TRUNKS)


class Features(tuple[Tensor, ...]):
    """A trunk's feature maps of images seen earlier, which :class:`Perceptual` takes in place of the images."""


class _Lite0Scaling(nn.Module):
    """In place of the library's scaling layer, which has ImageNet's mean and deviation: this network was trained with others."""

    def forward(self, x: Tensor) -> Tensor:
        return efficientnet_input(x)


class _Lite0Trunk(nn.Module):
    """EfficientNet-Lite0 with the interface of the library's trunks: scaled images in, feature maps out."""

    stages = (0, 1, 2, 4)  # 16, 24, 40 and 112 channels at 1/2, 1/4, 1/8 and 1/16 of the size

    def __init__(self) -> None:
        super().__init__()
        self.net = EfficientNetLite0()

    def forward(self, x: Tensor, stages: Sequence[int] = stages) -> Sequence[Tensor]:
        if min(x.shape[-2:]) < FEATURE_SIZE:
            height, width = (max(size, FEATURE_SIZE) for size in x.shape[-2:])
            x = F.interpolate(x, size=(height, width), mode="bilinear")
        return self.net(x, stages)


class _SkipFeatures(nn.Module):
    """Let :class:`Features` through: they have passed ``module`` before."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor | Features) -> Tensor | Features:
        return x if isinstance(x, Features) else self.module(x)


class Perceptual(lpips.LPIPS):
    """Perceptual distance of images in [-1, 1] by the ``lpips`` library's forward, frozen; gradients flow to the images.

    Args:
        trunk: ``"efficientnet-lite0"``, whose weights come with a dependency: four stages, no learned heads, images smaller than 128 px
            enlarged to it bilinearly and larger ones seen as they are; or the library's ``"alex"``, ``"vgg"`` or ``"squeeze"`` with their
            heads, at the images' own size, whose weights torchvision downloads on first use.

    Raises:
        GanInvError: no such trunk, or its weights cannot be had.
    """

    def __init__(self, trunk: str = EFFICIENTNET):
        if trunk == EFFICIENTNET:
            # LPIPS.__init__ knows only its own trunks. What its forward reads is set here instead.
            nn.Module.__init__(self)
            self.version, self.lpips, self.spatial = "0.1", False, False
            self.scaling_layer: nn.Module = _Lite0Scaling()
            self.net: nn.Module = _Lite0Trunk()
            self.L = len(self.net.stages)
        elif trunk in LIBRARY_TRUNKS:
            self._init_library_trunk(trunk)
        else:
            raise GanInvError(f"there is no perceptual trunk {trunk!r}; choose from {', '.join(TRUNKS)}")
        self.name = trunk
        self.scaling_layer, self.net = _SkipFeatures(self.scaling_layer), _SkipFeatures(self.net)
        self.eval().requires_grad_(False)

    def _init_library_trunk(self, trunk: str) -> None:
        try:
            # torchvision draws weights before it reads them
            with (
                warnings.catch_warnings(),
                torch.random.fork_rng(devices=[]),
            ):
                warnings.simplefilter("ignore", UserWarning)  # lpips uses torchvision's old argument ``pretrained``
                # by itself it looks beside a subclass's file
                heads = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{trunk}.pth"
                super().__init__(net=trunk, model_path=str(heads), verbose=False)
        except OSError as error:  # URLError, when there is no network, is one
            raise GanInvError(
                f"the weights of the perceptual trunk {trunk!r} are not on this machine and could not be downloaded ({error}): "
                f"connect to the network once, or use {EFFICIENTNET!r}, which ships"
            ) from None
        except Exception as error:  # a broken file decides what goes wrong
            raise GanInvError(
                f"the weights of the perceptual trunk {trunk!r} in {torch.hub.get_dir()}/checkpoints are damaged ({type(error).__name__}): "
                f"delete them, and they are downloaded again, or use {EFFICIENTNET!r}, which ships"
            ) from error

    def train(self, mode: bool = True) -> Perceptual:
        """Stay in evaluation mode, whatever module this one is part of: the library's heads have dropout."""
        return super().train(False)

    def features(self, x: Tensor) -> Features:
        """The feature maps of images ``[N, 3, H, W]``, to be given as ``y`` when a fixed target is compared again and again."""
        return Features(self.net(self.scaling_layer(x)))

    def features_and_embedding(self, x: Tensor) -> tuple[Features, Tensor]:
        """:meth:`features`, and from the same pass the mean over the image of the last stage ``[N, 320]`` (EfficientNet-Lite0 only)."""
        assert self.name == EFFICIENTNET
        assert isinstance(self.net, _SkipFeatures)
        *maps, last = self.net.module(self.scaling_layer(x), (*_Lite0Trunk.stages, len(EfficientNetLite0.channels) - 1))
        return Features(maps), last.mean(dim=(2, 3))

    def forward(self, x: Tensor | Features, y: Tensor | Features) -> Tensor:
        """Distances ``[N]`` between images ``[N, 3, H, W]`` in [-1, 1] (or their :meth:`features`); one of the two may be a single image."""
        return super().forward(x, y).flatten()


@once_per_device
def load_perceptual(trunk: str = EFFICIENTNET, device: torch.device | str = "cpu") -> Perceptual:
    """The distance for ``trunk``, loaded once per process and device."""
    with torch.inference_mode(False):  # the cache outlives the mode of its first caller
        return Perceptual(trunk).to(device, torch.float32)


def perceptual(x: Tensor, y: Tensor, trunk: str = EFFICIENTNET) -> Tensor:
    """Perceptual distance ``[N]`` of images ``[N, 3, H, W]`` in [-1, 1] as ``trunk`` sees it; see :class:`Perceptual`."""
    return load_perceptual(trunk, x.device)(x, y)
