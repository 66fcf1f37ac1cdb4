r"""Deep image prior (Ulyanov, Vedaldi and Lempitsky 2018): no generator was trained at all.

.. math::

    \hat x = f_{\hat\theta}(u), \qquad \hat\theta = \arg\min_\theta \lVert y - A f_\theta(u) \rVert^2

for a convolutional network f with random weights and a fixed random input u. That it draws natural images sooner than noise is all the prior there
is, so it is stopped early.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..inversion.result import config_dict
from ..run import Callback, Loop, Resume
from ..settings import Checked, Count, Positive, Seed, Weight
from .operators import Operator
from .recovery import Recovery
from .register import solver

if TYPE_CHECKING:
    from ..zoo import Bundle


@dataclass(frozen=True)
class DeepImagePrior(Checked):
    """Learning rate, the input and its jitter are the authors'; the network is a quarter as wide, for images of 64 pixels.

    Attributes:
        channels, levels: width of the hourglass, and how often it halves the image.
        jitter: standard deviation of what is added to the input at every step.
    """

    steps: Count = 1000
    lr: Weight = 0.01
    channels: Positive = 32
    levels: Positive = 4
    jitter: Weight = 1 / 30
    seed: Seed = 0


class Hourglass(nn.Module):
    """Down and up again with skip connections: noise ``[1, C, R, R]`` to an image ``[1, 3, R, R]`` in [-1, 1]."""

    def __init__(self, channels: int, levels: int):
        super().__init__()
        self.down = nn.ModuleList([_block(channels, channels, 2) for _ in range(levels)])
        self.up = nn.ModuleList([_block(2 * channels, channels, 1) for _ in range(levels)])
        self.to_rgb = nn.Conv2d(channels, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(x)
        for block in self.up:
            skip = skips.pop()
            x = block(torch.cat([F.interpolate(x, skip.shape[2:], mode="bilinear"), skip], dim=1))
        return self.to_rgb(x).tanh()


def _block(channels: int, out: int, stride: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inside, step in ((channels, stride), (out, 1)):
        layers += [nn.Conv2d(inside, out, 3, step, 1, padding_mode="reflect"), nn.BatchNorm2d(out), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


@solver("deep-image-prior", DeepImagePrior(), "fit an untrained network (Ulyanov et al. 2018)", "an untrained network")
def deep_image_prior(
    gan: Bundle,
    y: Tensor,
    operator: Operator,
    config: DeepImagePrior | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Recovery:
    """Recover images from measurements ``[N, *operator.shape]``, each by a network of its own. Of ``gan`` only the device is used."""
    config = config or DeepImagePrior()
    began = time.perf_counter() - (resume.seconds if resume else 0.0)
    history: list[dict[str, float]] = []
    images = []
    for i in range(len(y)):
        torch.manual_seed(config.seed)
        network = gan.place(Hourglass(config.channels, config.levels))
        random = torch.Generator().manual_seed(config.seed)
        u = 0.1 * gan.randn([1, config.channels, operator.resolution, operator.resolution], random)
        adam = torch.optim.Adam(network.parameters(), lr=config.lr)
        rows: list[dict[str, float]] = []
        loop = Loop(
            f"deep image prior {i + 1}",
            config.steps,
            callback,
            resume,
            network=network,
            adam=adam,
            random=random,
            rows=rows,
        )
        for step in loop:
            misfit = operator.misfit(network(u + config.jitter * gan.randn(u.shape, random)), y[i : i + 1]).sum()
            adam.zero_grad()
            misfit.backward()
            adam.step()
            rows.append({"photo": i, "step": step, "misfit": misfit.item()})
            loop.report(misfit=misfit)
        with torch.no_grad():
            images.append(network(u))
        history += rows
    return Recovery(
        "deep-image-prior",
        gan,
        operator,
        y,
        torch.cat(images),
        history=history,
        seconds=time.perf_counter() - began,
        config=config_dict(config),
    )
