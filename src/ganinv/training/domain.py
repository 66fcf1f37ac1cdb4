"""A whole domain by training on: faces64 on drawings of its own training images, and what ships of it.

The recipe is that of `ganinv train gan --start faces64`, with other images and a short schedule: those that come with the bundle, redrawn by one of
:data:`ganinv.study.STYLES`. The discriminator goes on as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..checkpoints.differences import load_differences, save_differences
from ..devices import randn
from ..study.domains import styled_reference
from ..stylegan2 import Generator
from .gan import GanConfig, Stage, Start, Trainer, train

if TYPE_CHECKING:
    from ..zoo import Bundle

IMAGES = 5_400  # shown in all: a few minutes of one core, each of 1,024 images about five times


def domain_config(gan: Bundle, images: int = IMAGES) -> GanConfig:
    """The recipe of `ganinv train gan` at the size of ``gan``, short: a smaller learning rate, and an average over fewer images."""
    names = ("z_dim", "w_dim", "num_layers", "channel_base", "channel_max", "conv_clamp")
    config = replace(GanConfig(), **{name: gan.G.config[name] for name in names})
    stage = Stage(gan.resolution, images, config.stages[-1].r1_gamma)
    return replace(config, stages=[stage], lr=2e-3, ema_images=1000, snapshot_images=2000, checkpoint_seconds=60.0)


class Trained(NamedTuple):
    """What :func:`train_domain` found.

    Attributes:
        path: the file of the differences.
        rounding: the mean squared difference between images of the trained generator and of what the file keeps of it.
        change: the same between the trained generator and the one that it was trained from.
    """

    path: Path
    rounding: float
    change: float


def train_domain(
    gan: Bundle,
    style: str,
    folder: str | Path,
    config: GanConfig | None = None,
    progress: Callable[[Trainer, dict[str, float]], None] | None = None,
    device: str | torch.device = "cpu",
) -> Trained:
    """Train ``gan`` on to its training images in a ``style``, and write the differences to ``folder/STYLE.safetensors``.

    A run that was stopped goes on from the checkpoint in ``folder``.

    Raises:
        GanInvError: there is no such style, the bundle lacks a discriminator or training images, or as :func:`ganinv.training.gan.train`.
    """
    images = styled_reference(gan, style).numpy()
    start = replace(Start.of_bundle(gan), history=[], snapshots={})  # its curves begin anew
    config = config or domain_config(gan)
    trainer = train(config, images, folder, progress, start, device)
    path = Path(folder) / f"{style}.safetensors"
    card = {"style": style, "of": gan.name, "images": trainer.seen - trainer.images_before, "config": asdict(config)}
    save_differences(path, gan.G, trainer.G_ema, gan.sha256, card)
    kept = load_differences(path, gan.G, gan.sha256)
    return Trained(path, _apart(kept, trainer.G_ema), _apart(gan.G, trainer.G_ema))


@torch.no_grad()
def _apart(G: Generator, other: Generator, n: int = 32) -> float:
    """The mean squared difference of ``n`` random images, of the same codes and the constant noise."""
    z = randn([n, G.z_dim], torch.Generator().manual_seed(0), G.device)
    return (G(z, noise_mode="const") - other.to(G.device)(z, noise_mode="const")).square().mean().item()
