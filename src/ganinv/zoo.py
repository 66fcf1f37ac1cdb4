"""Bundles: a generator together with all that was made for it (discriminator, statistics, reference images, photos, model card)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import checkpoints
from .encoders.weights import load_encoder
from .errors import GanInvError
from .perception.frechet import FrechetStatistics
from .photos import unpack_images
from .stylegan2 import Discriminator, Generator

ASSETS = Path(str(resources.files("ganinv"))) / "assets"


@dataclass
class Bundle:
    """A generator and what belongs to it.

    Attributes:
        name: ``"faces64"``, or the file it was read from.
        G: the generator (``G_ema``), frozen, in evaluation mode.
        D: its discriminator, or ``None`` where the file held none (near-perfect inversion needs it).
        reference: training images uint8 ``[M, 3, R, R]`` that stand for "real", or ``None``.
        heldout: images uint8 ``[K, 3, R, R]`` from the same source that were never trained on, or ``None``.
        photos: file names of the real photos that ship with it, by name.
        w_cov: covariance of w for random z, ``[w_dim, w_dim]`` (the mean is ``G.mapping.w_avg``); estimated where the file has none.
        statistics: feature statistics of training images, what Fréchet distances are measured against, or ``None``.
        folder: where the bundle's further files lie (training curves, snapshots), or ``None``.
        card: the model card: provenance, licence, training, quality, failings.
        encoders: files of trained encoders by name; :meth:`encoder` reads them.
    """

    name: str
    G: Generator
    D: Discriminator | None = None
    reference: Tensor | None = None
    heldout: Tensor | None = None
    photos: dict[str, Path] = field(default_factory=dict)
    statistics: FrechetStatistics | None = None
    folder: Path | None = None
    card: dict[str, Any] = field(default_factory=dict)
    encoders: dict[str, Path] = field(default_factory=dict)
    _encoders: dict[str, nn.Module] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for net in (self.G, self.D):
            if net is not None:
                net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # the layout in which CPU convolutions run fastest

    def __repr__(self) -> str:
        images = ", ".join(f"{len(x)} {name} images" for name, x in (("reference", self.reference), ("held-out", self.heldout)) if x is not None)
        networks = "G and D" if self.D is not None else "G without D"
        return f"Bundle({self.name!r}, {self.resolution} x {self.resolution}, {networks}{', ' if images else ''}{images})"

    @property
    def resolution(self) -> int:
        return self.G.img_resolution

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of the generator's weights and buffers: what a clone was made from."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.G.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def encoder(self, name: str) -> nn.Module:
        """A trained encoder for this generator, frozen, in evaluation mode, with the description in its file as ``card``; read once.

        Args:
            name: one of ``encoders``, or the file of another (from ``ganinv train encoder``).

        Raises:
            GanInvError: there is none, or it was trained for another generator.
        """
        if name not in self._encoders:
            if name not in self.encoders and Path(name).suffix != ".safetensors":
                raise GanInvError(f"{self.name} comes without the encoder {name!r}: train it with `ganinv train encoder {name}`, and give its file.")
            self._encoders[name] = load_encoder(self.encoders.get(name, Path(name)), self.sha256)
        return self._encoders[name]

    @cached_property
    def w_cov(self) -> Tensor:
        if self.folder is not None:
            with np.load(self.folder / "w_statistics.npz", allow_pickle=False) as data:
                return torch.from_numpy(data["cov"])
        z = torch.randn(10_000, self.G.z_dim, generator=torch.Generator().manual_seed(123))
        with torch.no_grad():
            return torch.cov(self.G.mapping(z)[:, 0].t())


def models() -> list[str]:
    """Names of the bundles that ship with the package."""
    return sorted(path.parent.name for path in ASSETS.glob("*/model.safetensors"))


def load(model: str | Path = "faces64") -> Bundle:
    """Load a bundle that ships, or any StyleGAN2 checkpoint (NVIDIA ``.pkl``, rosinality or pSp ``.pt``, ``.safetensors``).

    Raises:
        GanInvError: no such model or file, or a file that is not a StyleGAN2 checkpoint.
    """
    folder = ASSETS / str(model)
    if str(model) in models():
        checkpoint = checkpoints.load(folder / "model.safetensors")
        return Bundle(
            str(model),
            checkpoint.G,
            checkpoint.D,
            reference=unpack_images(folder / "reference.webp"),
            heldout=unpack_images(folder / "heldout.webp"),
            photos={path.stem: path for path in sorted((folder / "real").glob("*.png"))},
            statistics=FrechetStatistics.load(folder / "frechet.npz"),
            folder=folder,
            card=json.loads((folder / "card.json").read_text()),
            encoders={path.stem: path for path in sorted((folder / "encoders").glob("*.safetensors"))},
        )
    path = Path(model)
    if not path.exists():
        raise GanInvError(f"{model} is neither a file nor a model that ships: those are {', '.join(models())}.")
    checkpoint = checkpoints.load(path)
    return Bundle(path.stem, checkpoint.G, checkpoint.D, card=checkpoint.metadata)
