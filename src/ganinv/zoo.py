"""Bundles: a generator together with all that was made for it (discriminator, statistics, reference images, photos, model card)."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from . import checkpoints, devices
from .checkpoints.differences import load_differences
from .encoders.weights import load_encoder
from .errors import GanInvError
from .perception.frechet import FrechetStatistics
from .photos import unpack_images
from .run import alone
from .stylegan2 import Discriminator, Generator
from .stylegan2.generator import PRECISIONS

ASSETS = Path(str(resources.files("ganinv"))) / "assets"
Placed = TypeVar("Placed", bound=Tensor | nn.Module)


@dataclass
class Bundle:
    """A generator and what belongs to it. Its networks are on one device (:attr:`device`), its images and statistics on the CPU.

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
        notes: what was left out or made up when the file was read, a sentence each.
        domains: files of what the generator became when it was trained on to other images, by name; :meth:`domain` reads them.
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
    notes: list[str] = field(default_factory=list)
    domains: dict[str, Path] = field(default_factory=dict)
    _encoders: dict[str, nn.Module] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for net in (self.G, self.D):
            if net is not None:
                # the layout in which CPU convolutions run fastest
                net.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def __repr__(self) -> str:
        images = ", ".join(
            f"{len(x)} {name} images"
            for name, x in (("reference", self.reference), ("held-out", self.heldout))
            if x is not None
        )
        networks = "G and D" if self.D is not None else "G without D"
        return (
            f"Bundle({self.name!r}, {self.resolution} x {self.resolution}, {networks}{', ' if images else ''}{images})"
        )

    @property
    def resolution(self) -> int:
        return self.G.img_resolution

    def shipped(self, photo: str | os.PathLike[str]) -> Path | None:
        """The file of the photo of that name that ships with the bundle, or ``None``. A file of that name comes first, a folder hides nothing."""
        return None if os.path.isfile(photo) else self.photos.get(os.fspath(photo))

    @property
    def device(self) -> torch.device:
        """Where the networks are, and everything is computed that needs them."""
        return self.G.device

    @property
    def precision(self) -> str:
        """What the synthesis is computed in: ``"fp32"``, ``"bf16"`` or ``"fp16"``, see :class:`~ganinv.stylegan2.generator.SynthesisNetwork`."""
        return self.G.synthesis.precision

    def to(self, device: str | torch.device | None = None, precision: str | None = None) -> Bundle:
        """The bundle with copies of its networks on another device, or with another precision; itself, if it is so already.

        What was inverted with this one goes on being drawn with this one.

        Raises:
            GanInvError: there is no such device or precision.
        """
        device = self.device if device is None else devices.choose(device)
        precision = self.precision if precision is None else precision
        if precision not in PRECISIONS:
            raise GanInvError(f"there is no precision {precision!r}: choose from {', '.join(PRECISIONS)}.")
        if (device, precision) == (self.device, self.precision):
            return self
        G, D, encoders = copy.deepcopy((self.G, self.D, self._encoders))
        G.synthesis.precision = precision
        moved = replace(self, G=G.to(device), D=None if D is None else D.to(device))
        moved._encoders.update({name: network.to(device) for name, network in encoders.items()})
        return moved

    def place(self, what: Placed) -> Placed:
        """A tensor, or a network, on the bundle's device, with its floats in float32. (A network is moved itself.)"""
        floats = not isinstance(what, Tensor) or what.is_floating_point()
        return cast("Placed", what.to(self.device, torch.float32) if floats else what.to(self.device))

    def randn(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Standard normal numbers of ``shape``, drawn on the CPU by ``generator`` and moved to the bundle's device: the same on all."""
        return devices.randn(shape, generator, self.device)

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of the generator's weights and buffers, and of the clamp that it may have: what a clone was made from."""
        digest = hashlib.sha256()
        if (clamp := self.G.config["conv_clamp"]) is not None:
            digest.update(f"conv_clamp {clamp:g}".encode())
        for name, tensor in sorted(self.G.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @alone()
    def encoder(self, name: str) -> nn.Module:
        """A trained encoder for this generator, frozen, in evaluation mode, with the description in its file as ``card``; read once.

        Args:
            name: one of ``encoders``, or the file of another (from ``ganinv train encoder``).

        Raises:
            GanInvError: there is none, or it was trained for another generator.
        """
        if name not in self._encoders:
            if name not in self.encoders and Path(name).suffix != ".safetensors":
                raise GanInvError(
                    f"{self.name} comes without the encoder {name!r}: train it with `ganinv train encoder {name}`, and give its file."
                )
            self._encoders[name] = self.place(load_encoder(self.encoders.get(name, Path(name)), self.sha256))
        return self._encoders[name]

    def domain(self, name: str) -> Generator:
        """The generator as it became when it was trained on to another domain, frozen: a copy of its own at every call.

        Args:
            name: one of ``domains``, or a file (from ``ganinv train domain``).

        Raises:
            GanInvError: there is none, or it was made from another generator.
        """
        if name not in self.domains and Path(name).suffix != ".safetensors":
            raise GanInvError(
                f"{self.name} comes without the domain {name!r}: train it with `ganinv train domain {name}`, and give its file."
            )
        return load_differences(self.domains.get(name, Path(name)), self.G, self.sha256)

    @cached_property
    def sigma_w(self) -> float:
        """Root of the mean squared distance of a random w from ``w_avg``: the unit in which a code's way is measured."""
        return self.w_cov.trace().sqrt().item()

    @cached_property
    def w_cov(self) -> Tensor:
        if self.folder is not None and (self.folder / "w_statistics.npz").is_file():
            with np.load(self.folder / "w_statistics.npz", allow_pickle=False) as data:
                return torch.from_numpy(data["cov"])
        z = self.randn([10_000, self.G.z_dim], torch.Generator().manual_seed(123))
        with torch.no_grad():
            return torch.cov(self.G.mapping(z)[:, 0].cpu().t())


def models() -> list[str]:
    """Names of the bundles that ship with the package."""
    return sorted(path.parent.name for path in ASSETS.glob("*/model.safetensors"))


@alone()
def load(model: str | Path = "faces64", device: str | torch.device = "cpu", precision: str = "fp32") -> Bundle:
    """Load a bundle that ships, the folder of another, or any StyleGAN2 checkpoint (NVIDIA ``.pkl``, rosinality or pSp ``.pt``, ``.safetensors``).

    A bundle's folder is what :func:`ganinv.training.release.release` writes; besides ``model.safetensors``, any of its files may be missing.

    Args:
        device: where to compute: ``"cpu"``, ``"cuda"``, ``"mps"``, or ``"auto"`` for the first that there is of CUDA, MPS and the CPU. Results are on
            the CPU whatever it is, and up to rounding the same.
        precision: of the synthesis: ``"fp32"``; ``"bf16"`` or ``"fp16"`` for wide networks on a GPU.

    Raises:
        GanInvError: no such model or file, a file that is not a StyleGAN2 checkpoint, or no such device or precision.
    """
    device = devices.choose(device)  # before the work
    return _read(model).to(device, precision)


def _read(model: str | Path) -> Bundle:
    if str(model) in models():
        return _bundle(ASSETS / str(model))
    path = Path(model)
    if (path / "model.safetensors").is_file():
        return _bundle(path)
    if not path.exists():
        raise GanInvError(f"{model} is neither a file nor a model that ships: those are {', '.join(models())}.")
    checkpoint = checkpoints.load(path)
    return Bundle(path.stem, checkpoint.G, checkpoint.D, card=checkpoint.metadata, notes=checkpoint.notes)


def _bundle(folder: Path) -> Bundle:
    """The bundle in a folder: the networks, and whatever else lies beside them."""
    checkpoint = checkpoints.load(folder / "model.safetensors")
    images = {
        name: unpack_images(file) if (file := folder / f"{name}.webp").is_file() else None
        for name in ("reference", "heldout")
    }
    return Bundle(
        folder.name,
        checkpoint.G,
        checkpoint.D,
        **images,
        photos={path.stem: path for path in sorted((folder / "real").glob("*.png"))},
        statistics=FrechetStatistics.load(folder / "frechet.npz") if (folder / "frechet.npz").is_file() else None,
        folder=folder,
        card=json.loads((folder / "card.json").read_text(encoding="utf-8"))
        if (folder / "card.json").is_file()
        else checkpoint.metadata,
        encoders={path.stem: path for path in sorted((folder / "encoders").glob("*.safetensors"))},
        notes=checkpoint.notes,
        domains={path.stem: path for path in sorted((folder / "domains").glob("*.safetensors"))},
    )
