"""What every inversion method returns, and how it is kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save_file
from torch import Tensor

from ..editing.direction import Edit
from ..errors import GanInvError
from ..files import atomic_path
from ..perception.features import EFFICIENTNET
from ..photos import save_png
from ..stylegan2 import Generator
from ..stylegan2.controls import NOISE, WEIGHTS, Controls, controlled
from ..stylegan2.generator import Fusion
from .register import METHODS

if TYPE_CHECKING:
    from ..zoo import Bundle

FORMAT = 2  # of a clone on disk

Deltas = dict[str, Tensor]


@dataclass
class Inversion:
    """N photos found in a generator. All its tensors are on the CPU, its :attr:`generators` where the bundle is.

    Attributes:
        method: name of the method.
        gan: the bundle whose generator was inverted; never changed.
        target: the photos ``[N, 3, R, R]`` in [-1, 1].
        ws: latents ``[N, num_ws, w_dim]``.
        controls: whatever else the method found: noise maps, feature maps, changes of the weights; nothing, where the code is all. See
            :class:`~ganinv.stylegan2.controls.Controls`.
        initial: the image of the estimate that the method started from ``[N, 3, R, R]``.
        initial_ws: the code of that estimate ``[N, num_ws, w_dim]``, where the method moved on from one.
        history: one dict of floats a recorded step.
        seconds: wall time of the whole method.
        config: the method's configuration as a plain dict.
        warnings: a sentence for each photo that says what went wrong, empty if nothing did.
    """

    method: str
    gan: Bundle
    target: Tensor
    ws: Tensor
    controls: Controls = field(default_factory=Controls)
    initial: Tensor | None = None
    initial_ws: Tensor | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    config: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        photos = f"{len(self)} photo{'s' if len(self) != 1 else ''}"
        return f"Inversion({self.method!r}, {photos}, {self.gan.name!r}, {'tuned' if self.tuned else 'untouched'} generator, {self.seconds:.1f} s)"

    def __len__(self) -> int:
        return len(self.ws)

    def __getitem__(self, i: int) -> Inversion:
        """The inversion of photo ``i`` alone."""
        i = range(len(self))[i]
        return replace(
            self,
            target=self.target[i : i + 1],
            ws=self.ws[i : i + 1],
            controls=self.controls.row(i),
            initial=None if self.initial is None else self.initial[i : i + 1],
            initial_ws=None if self.initial_ws is None else self.initial_ws[i : i + 1],
            history=[row | {"photo": 0} for row in self.history if row.get("photo", i) == i],
            seconds=self.seconds / len(self),
            warnings=self.warnings[i : i + 1],
        )

    def to(self, device: torch.device | str) -> Inversion:
        """The same with all tensors on a device. What a method returns is on the CPU; what it draws, it draws where the bundle is."""
        names = ("target", "ws", "controls", "initial", "initial_ws")
        return replace(self, **{name: value.to(device) for name in names if (value := getattr(self, name)) is not None})

    def render(self, codes: Edit | Tensor | Mapping[str, Tensor]) -> Tensor:
        """The photos with other codes, each by its own generator and controls: ``[N, 3, R, R]``. This is how an edit is drawn, whatever the method.

        With ``self.ws``, and with an edit of strength 0, it is :attr:`image`, bit for bit.

        Args:
            codes: an edit, ``direction.at(2)``; or ``ws`` ``[N, num_ws, w_dim]``; or style vectors ``{layer: [N, C]}`` for some layers
                (the others keep those of ``self.ws``) or all.

        Raises:
            GanInvError: the method needs a network for it that the bundle does not have (HFGI's consultation); or the edit is of another generator.
        """
        if isinstance(codes, Edit):
            codes.check(self.gan.G)
            ws, styles = codes.codes(self.ws, self.styles)
        else:
            ws, styles = (codes, {}) if isinstance(codes, Tensor) else (self.ws, dict(codes))
        adapt = METHODS[self.method].adapt if self.method in METHODS else None
        if adapt is None or (not styles and torch.equal(ws, self.ws)):
            return self.draw(ws, styles)
        place = self.gan.place
        return self.draw(
            ws,
            styles,
            adapt(self.to(self.gan.device), place(ws), {name: place(style) for name, style in styles.items()}),
        )

    def styles(self, ws: Tensor) -> dict[str, Tensor]:
        """The style vectors ``{layer: [N, C]}`` of codes ``[N, num_ws, w_dim]``, each photo's by its own generator."""
        with torch.no_grad():
            rows = [G.synthesis.styles(self.gan.place(ws[i : i + 1])) for i, G in enumerate(self.generators)]
        return {name: torch.cat([row[name] for row in rows]).cpu() for name in rows[0]}

    def draw(self, ws: Tensor, styles: Mapping[str, Tensor] | None = None, controls: Controls | None = None) -> Tensor:
        """The plain synthesis by each photo's generator, with codes and controls as they are (by default the photo's own): ``[N, 3, R, R]``.

        It is computed on the bundle's device; codes and controls may be anywhere, and the images are on the CPU.
        """
        controls = self.controls if controls is None else controls
        networks = self.generators if self.tuned else [self.gan.G] * len(self)
        told = Controls(
            {**Controls.of(noise=self.gan.G.synthesis.noise()), **controls, **Controls.of(styles=styles)}
        ).to(self.gan.device)
        ws = self.gan.place(ws)
        with torch.no_grad():
            return torch.cat(
                [G.synthesis(ws[i : i + 1], **told.row(i).arguments()) for i, G in enumerate(networks)]
            ).cpu()

    @property
    def tuned(self) -> bool:
        """Whether the method changed the generator's weights."""
        return bool(self.controls.kind(WEIGHTS))

    @property
    def travel(self) -> list[float] | None:
        """How far each code is from :attr:`initial_ws`, in units of :attr:`Bundle.sigma_w`, root mean square over its rows; ``None`` without one.

        Directions of edits are learned where the mapping network's codes are: the farther a code has gone, the less they mean there
        (the distortion-editability trade-off of Tov et al. 2021).
        """
        if self.initial_ws is None:
            return None
        return (distance(self.ws, self.initial_ws) / self.gan.sigma_w).tolist()

    @property
    def noise(self) -> dict[str, Tensor] | None:
        """Optimised noise maps ``{"b4.conv1": [N or 1, 1, 4, 4], ...}``, or ``None`` for the generator's own."""
        return self.controls.kind(NOISE) or None

    @property
    def base(self) -> dict[str, Tensor] | None:
        """Base codes of BDInvert ``{"b8.conv0": [N, C, 8, 8]}``, or ``None``; see :meth:`SynthesisNetwork.forward`."""
        return self.controls.arguments()["base"] or None

    @property
    def fusion(self) -> dict[str, Fusion] | None:
        """Gains and shifts of HFGI ``{"b16.conv0": ([N, C, 16, 16], the same)}``, or ``None``."""
        return self.controls.arguments()["fusion"] or None

    @cached_property
    def deltas(self) -> list[Deltas]:
        """What was added to the generator's weights, a ``{parameter: float16 tensor}`` for each photo (one object, where photos share a
        generator), with what did not change left out."""
        weights = self.controls.kind(WEIGHTS)
        own = [
            {name: rows[i] for name, rows in weights.items() if rows[i].any()}
            for i in range(max(map(len, weights.values()), default=1))
        ]
        return own * len(self) if len(own) == 1 else own

    @cached_property
    def generators(self) -> list[Generator]:
        """The generator of each photo: a copy with the weights added and the optimised noise as ``noise_const``, or where nothing was, the
        bundle's own."""
        if not (self.tuned or self.noise):
            return [self.gan.G] * len(self)
        return [controlled(self.gan.G, self.controls.row(i)) for i in range(len(self))]

    @property
    def generator(self) -> Generator:
        """The clone, when one photo was inverted."""
        if len(self) != 1:
            raise ValueError(f"{len(self)} photos were inverted, each with a generator of its own: use `generators[i]`")
        return self.generators[0]

    @cached_property
    def image(self) -> Tensor:
        """The reconstructions ``[N, 3, R, R]``."""
        return self.draw(self.ws)

    @cached_property
    def image_own_noise(self) -> Tensor:
        """The reconstructions ``[N, 3, R, R]`` with the generator's own noise maps swapped back for tuned ones: without what of the photo lies in
        the maps, which no edit moves. :attr:`image` itself, where the maps were left alone."""
        return self.image if self.noise is None else self.draw(self.ws, controls=self.controls.without(NOISE))

    @cached_property
    def scores(self) -> dict[str, Any]:
        """MSE ([-1, 1]), the same of :attr:`image_own_noise` (``mse_own_noise``: equal to ``mse`` where no noise was tuned), PSNR, SSIM and
        perceptual distance (trunk named), means over the photos."""
        rows = self.scores_each
        mean = {key: sum(row[key] for row in rows) / len(rows) for key in ("mse", "mse_own_noise", "psnr", "ssim")}
        trunks = rows[0]["perceptual"]
        return {
            **mean,
            "perceptual": {trunk: sum(row["perceptual"][trunk] for row in rows) / len(rows) for trunk in trunks},
        }

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
        tensors |= {name: value for name in ("initial", "initial_ws") if (value := getattr(self, name)) is not None}
        tensors |= self.controls
        facts = {key: getattr(self, key) for key in ("method", "seconds", "config", "history", "scores", "warnings")}
        facts |= {"model": self.gan.name, "model_sha256": self.gan.sha256, "photos": len(self), "format": FORMAT}
        try:
            with atomic_path(folder / "clone.safetensors") as temporary:
                # copies, because two of them may be one tensor, which the format refuses
                save_file(
                    {
                        key: value.detach().clone(memory_format=torch.contiguous_format)
                        for key, value in tensors.items()
                    },
                    temporary,
                )
                facts["sha256"] = hashlib.sha256(temporary.read_bytes()).hexdigest()
            for i, image in enumerate(self.image):
                save_png(folder / ("reconstruction.png" if len(self) == 1 else f"reconstruction-{i}.png"), image[None])
            with atomic_path(folder / "clone.json") as temporary:
                temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        except (OSError, SafetensorError) as error:
            raise GanInvError(
                f"{folder} cannot be written ({getattr(error, 'strerror', error)}): choose another folder."
            ) from error
        return folder

    @classmethod
    def load(cls, folder: str | Path, gan: Bundle) -> Inversion:
        """Read what :meth:`save` wrote; the reconstruction is the same bit for bit.

        Raises:
            GanInvError: the folder holds no clone, or one of another generator.
        """
        folder = Path(folder)
        try:
            facts = json.loads((folder / "clone.json").read_text(encoding="utf-8"))
            content = (folder / "clone.safetensors").read_bytes()
            if hashlib.sha256(content).hexdigest() != facts["sha256"]:
                raise ValueError("clone.safetensors is not the file that clone.json was written with")
            tensors = read_tensors(content)
            if facts["format"] != FORMAT:
                raise GanInvError(
                    f"the clone in {folder} has format {facts['format']!r}, and this version of ganinv reads format {FORMAT}: invert the photo again."
                )
            if facts["model_sha256"] != gan.sha256:
                raise GanInvError(
                    f"{folder} holds a clone of the generator {facts['model']!r} with other weights than {gan.name!r}: load that one."
                )
            controls = Controls({key: tensor for key, tensor in tensors.items() if "/" in key})
            controls.check(gan.G, len(tensors["ws"]))
            return cls(
                facts["method"],
                gan,
                tensors["target"],
                tensors["ws"],
                controls,
                tensors.get("initial"),
                tensors.get("initial_ws"),
                facts["history"],
                facts["seconds"],
                facts["config"],
                facts.get("warnings", []),
            )
        except FileNotFoundError as error:
            raise GanInvError(
                f"{folder} holds no clone ({Path(error.filename).name} is missing): give a folder that `save` wrote."
            ) from error
        except OSError as error:
            raise GanInvError(
                f"{folder} cannot be read ({error.strerror}): give a folder that `save` wrote."
            ) from error
        except (SafetensorError, json.JSONDecodeError, KeyError, ValueError, IndexError, TypeError) as error:
            raise GanInvError(f"the clone in {folder} is damaged ({error}): invert the photo again.") from error


def apply_clone(G: Generator, deltas: Deltas) -> Generator:
    """A frozen copy of ``G`` with ``deltas`` added to its parameters."""
    return controlled(G, Controls.of(weights={name: delta[None] for name, delta in deltas.items()}))


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


def distance(ws: Tensor, others: Tensor) -> Tensor:
    """From code to code ``[N, num_ws, w_dim]``, root mean square over their rows, ``[N]``."""
    return (ws - others).square().sum(dim=2).mean(dim=1).sqrt()


def config_dict(config: Any) -> dict[str, Any]:
    """A configuration dataclass as a plain dict."""
    return asdict(config)
