"""What every inversion method returns, and how it is kept on disk."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save_file
from torch import Tensor

from ..errors import GanInvError
from ..files import atomic_path
from ..perception.features import EFFICIENTNET
from ..photos import save_png
from ..stylegan2 import Generator
from ..stylegan2.generator import Fusion

if TYPE_CHECKING:
    from ..zoo import Bundle

Deltas = dict[str, Tensor]


@dataclass
class Inversion:
    """N photos found in a generator.

    Attributes:
        method: name of the method.
        gan: the bundle whose generator was inverted; never changed.
        target: the photos ``[N, 3, R, R]`` in [-1, 1].
        ws: latents ``[N, num_ws, w_dim]``.
        noise: optimised noise maps ``{"b4.conv1": [N, 1, 4, 4], ...}``, or ``None`` for the generator's own.
        deltas: what was added to the generator's weights, one ``{parameter: float16 tensor}`` per photo (the same object, where photos
            share a generator); empty if it was not tuned.
        initial: the image of the estimate that the method started from ``[N, 3, R, R]``.
        history: one dict of floats a recorded step.
        seconds: wall time of the whole method.
        config: the method's configuration as a plain dict.
        warnings: a sentence for each photo that says what went wrong, empty if nothing did.
        base: base codes of BDInvert ``{"b8.conv0": [N, C, 8, 8]}``, or ``None``; see :meth:`SynthesisNetwork.forward`.
        fusion: gains and shifts of HFGI ``{"b16.conv0": ([N, C, 16, 16], the same)}``, or ``None``.
    """

    method: str
    gan: Bundle
    target: Tensor
    ws: Tensor
    noise: dict[str, Tensor] | None = None
    deltas: list[Deltas] = field(default_factory=list)
    initial: Tensor | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    config: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    base: dict[str, Tensor] | None = None
    fusion: dict[str, Fusion] | None = None

    def __repr__(self) -> str:
        photos = f"{len(self)} photo{'s' if len(self) != 1 else ''}"
        return f"Inversion({self.method!r}, {photos}, {self.gan.name!r}, {'tuned' if self.tuned else 'untouched'} generator, {self.seconds:.1f} s)"

    def __len__(self) -> int:
        return len(self.ws)

    def __getitem__(self, i: int) -> Inversion:
        """The inversion of photo ``i`` alone."""
        i = range(len(self))[i]
        return Inversion(
            self.method,
            self.gan,
            self.target[i : i + 1],
            self.ws[i : i + 1],
            None if self.noise is None else {name: maps[i : i + 1] for name, maps in self.noise.items()},
            self.deltas[i : i + 1],
            None if self.initial is None else self.initial[i : i + 1],
            [row | {"photo": 0} for row in self.history if row.get("photo", i) == i],
            self.seconds / len(self),
            self.config,
            self.warnings[i : i + 1],
            **self._features(i),
        )

    def _features(self, i: int) -> dict[str, Any]:
        """The base code and the fusion of photo ``i``, as arguments of a synthesis."""
        base = None if self.base is None else {name: f[i : i + 1] for name, f in self.base.items()}
        fusion = None if self.fusion is None else {name: (gain[i : i + 1], shift[i : i + 1]) for name, (gain, shift) in self.fusion.items()}
        return {"base": base, "fusion": fusion}

    def render(self, ws: Tensor) -> Tensor:
        """The photos with other codes ``[N, num_ws, w_dim]``, each by its own generator, noise, base code and fusion: ``[N, 3, R, R]``.

        This is how an edit is drawn; with ``self.ws`` it gives :attr:`image`. (HFGI's fusion belongs to one image: :func:`hfgi.edit` aligns it.)
        """
        with torch.no_grad():
            return torch.cat([G.synthesis(ws[i : i + 1], **self._features(i)) for i, G in enumerate(self.generators)])

    @property
    def tuned(self) -> bool:
        """Whether the method changed the generator's weights."""
        return bool(self.deltas)

    @cached_property
    def generators(self) -> list[Generator]:
        """The clone of each photo: a copy of the generator with the deltas added and the optimised noise as ``noise_const``."""
        return [apply_clone(self.gan.G, self.deltas[i] if self.tuned else {}, self.noise, i) for i in range(len(self))]

    @property
    def generator(self) -> Generator:
        """The clone, when one photo was inverted."""
        if len(self) != 1:
            raise ValueError(f"{len(self)} photos were inverted, each with a generator of its own: use `generators[i]`")
        return self.generators[0]

    @cached_property
    def image(self) -> Tensor:
        """The reconstructions ``[N, 3, R, R]``."""
        return self.render(self.ws)

    @cached_property
    def image_own_noise(self) -> Tensor:
        """The reconstructions ``[N, 3, R, R]`` with the generator's own noise maps swapped back for tuned ones: without what of the photo lies in
        the maps, which no edit moves. :attr:`image` itself, where the maps were left alone."""
        return self.image if self.noise is None else replace(self, noise=None).image

    @cached_property
    def scores(self) -> dict[str, Any]:
        """MSE ([-1, 1]), the same of :attr:`image_own_noise` (``mse_own_noise``: equal to ``mse`` where no noise was tuned), PSNR, SSIM and
        perceptual distance (trunk named), means over the photos."""
        rows = self.scores_each
        mean = {key: sum(row[key] for row in rows) / len(rows) for key in ("mse", "mse_own_noise", "psnr", "ssim")}
        trunks = rows[0]["perceptual"]
        return {**mean, "perceptual": {trunk: sum(row["perceptual"][trunk] for row in rows) / len(rows) for trunk in trunks}}

    @cached_property
    def scores_each(self) -> list[dict[str, Any]]:
        """The scores of each photo."""
        return self.scores_by((EFFICIENTNET,))

    def scores_by(self, trunks: Sequence[str]) -> list[dict[str, Any]]:
        """The scores of each photo, with the perceptual distances of ``trunks``."""
        from ..perception.scores import batch_scores, mse

        own = mse(self.image_own_noise.clamp(-1, 1), self.target).tolist()
        rows = batch_scores(self.image, self.target, trunks)
        return [{"mse": row.pop("mse"), "mse_own_noise": value, **row} for row, value in zip(rows, own, strict=True)]

    # -- on disk ---------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Keep what changed: latents, noise and weight deltas (``clone.safetensors``), the rest (``clone.json``) and the image.

        Raises:
            GanInvError: the folder cannot be written.
        """
        folder = Path(folder)
        tensors = {"ws": self.ws, "target": self.target}
        if self.initial is not None:
            tensors["initial"] = self.initial
        tensors |= {f"noise/{name}": maps for name, maps in (self.noise or {}).items()}
        owners = [next(j for j, other in enumerate(self.deltas) if other is deltas) for deltas in self.deltas]  # shared deltas are kept once
        tensors |= {f"deltas/{i}/{name}": delta for i in set(owners) for name, delta in self.deltas[i].items()}
        tensors |= {f"base/{name}": features for name, features in (self.base or {}).items()}
        for name, (gain, shift) in (self.fusion or {}).items():
            tensors |= {f"fusion-gain/{name}": gain, f"fusion-shift/{name}": shift}
        facts = {key: getattr(self, key) for key in ("method", "seconds", "config", "history", "scores", "warnings")}
        facts |= {"model": self.gan.name, "model_sha256": self.gan.sha256, "photos": len(self), "generators": owners, "format": 1}
        try:
            with atomic_path(folder / "clone.safetensors") as temporary:
                save_file({key: value.detach().contiguous() for key, value in tensors.items()}, temporary)
                facts["sha256"] = hashlib.sha256(temporary.read_bytes()).hexdigest()
            for i, image in enumerate(self.image):
                save_png(folder / ("reconstruction.png" if len(self) == 1 else f"reconstruction-{i}.png"), image[None])
            with atomic_path(folder / "clone.json") as temporary:
                temporary.write_text(json.dumps(facts, indent=1) + "\n")
        except (OSError, SafetensorError) as error:
            raise GanInvError(f"{folder} cannot be written ({getattr(error, 'strerror', error)}): choose another folder.") from error
        return folder

    @classmethod
    def load(cls, folder: str | Path, gan: Bundle) -> Inversion:
        """Read what :meth:`save` wrote; the reconstruction is the same bit for bit.

        Raises:
            GanInvError: the folder holds no clone, or one of another generator.
        """
        folder = Path(folder)
        try:
            facts = json.loads((folder / "clone.json").read_text())
            content = (folder / "clone.safetensors").read_bytes()
            if hashlib.sha256(content).hexdigest() != facts["sha256"]:
                raise ValueError("clone.safetensors is not the file that clone.json was written with")
            tensors = read_tensors(content)
            if facts["model_sha256"] != gan.sha256:
                raise GanInvError(f"{folder} holds a clone of the generator {facts['model']!r} with other weights than {gan.name!r}: load that one.")
            noise, base, gains, shifts = (
                {key.removeprefix(f"{kind}/"): value for key, value in tensors.items() if key.startswith(f"{kind}/")}
                for kind in ("noise", "base", "fusion-gain", "fusion-shift")
            )
            deltas: list[Deltas] = [{} for _ in tensors["ws"]]
            for key, value in tensors.items():
                if key.startswith("deltas/"):
                    _, i, name = key.split("/", 2)
                    deltas[int(i)][name] = value
            tuned = any(deltas)
            return cls(
                facts["method"],
                gan,
                tensors["target"],
                tensors["ws"],
                noise or None,
                [deltas[i] for i in facts.get("generators", range(len(deltas)))] if tuned else [],
                tensors.get("initial"),
                facts["history"],
                facts["seconds"],
                facts["config"],
                facts.get("warnings", []),
                base or None,
                {name: (gain, shifts[name]) for name, gain in gains.items()} or None,
            )
        except FileNotFoundError as error:
            raise GanInvError(f"{folder} holds no clone ({Path(error.filename).name} is missing): give a folder that `save` wrote.") from error
        except OSError as error:
            raise GanInvError(f"{folder} cannot be read ({error.strerror}): give a folder that `save` wrote.") from error
        except (SafetensorError, json.JSONDecodeError, KeyError, ValueError, IndexError, TypeError) as error:
            raise GanInvError(f"the clone in {folder} is damaged ({error}): invert the photo again.") from error


def apply_clone(G: Generator, deltas: Deltas, noise: dict[str, Tensor] | None = None, i: int = 0) -> Generator:
    """A frozen copy of ``G`` with ``deltas`` added to its parameters and the noise maps of photo ``i`` as its constant noise."""
    clone = copy.deepcopy(G).eval().requires_grad_(False)
    parameters = dict(clone.named_parameters())
    with torch.no_grad():
        for name, delta in deltas.items():
            parameters[name].add_(delta.to(parameters[name].dtype))
        for name, maps in (noise or {}).items():
            clone.synthesis.noise()[name].copy_(maps[i : i + 1])
    return clone


def make_deltas(G: Generator, tuned: Generator) -> Deltas:
    """What ``tuned`` adds to the parameters of ``G``, rounded to float16; :func:`apply_clone` with it is the clone, exactly.

    Raises:
        GanInvError: the weights are not finite, or farther away than float16 reaches.
    """
    old = dict(G.named_parameters())
    deltas = {name: (new.detach() - old[name].detach()).half() for name, new in tuned.named_parameters()}
    if not all(delta.isfinite().all() for delta in deltas.values()):
        raise GanInvError("tuning diverged, so that the weights left every range: lower its learning rate.")
    return {name: delta for name, delta in deltas.items() if delta.any()}


def config_dict(config: Any) -> dict[str, Any]:
    """A configuration dataclass as a plain dict."""
    return asdict(config)
