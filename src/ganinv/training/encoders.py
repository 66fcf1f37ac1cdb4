r"""What the trainers of all encoders share: the recipe, the images, the loss between a photo and its reconstruction, and the file that is kept.

An encoder learns with the generator frozen. A batch is part generated images, whose codes are known exactly, and part the bundle's training
images (``reference``), mirrored half of the time. Each trainer is one function that reads top to bottom, in the file of its method:
:mod:`ganinv.training.psp`, ``e4e``, ``restyle``, ``bdinvert``, ``hfgi`` and ``ensemble``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..encoders.weights import save_encoder
from ..errors import GanInvError
from ..files import atomic_path
from ..inversion.projection import w_statistics
from ..perception.similarity import look, perceptual_distance, similarity_loss
from ..photos import from_uint8
from ..run.schedule import cosine
from ..zoo import Bundle

HISTORY_STEPS = 50


@dataclass
class EncoderConfig:
    """The part of the recipe that all methods have. Pixels and similarity count as in pSp for faces; the perceptual distance, .8 there, counts an
    eighth of that, because distances by EfficientNet-Lite0 are about eight times those by AlexNet.

    Attributes:
        batch: images of a step, of which the part ``real`` comes from the training images (none, where the bundle has none).
        lr: learning rate of Adam, constant after ``warmup`` steps, and from the part ``constant`` of the run on falling to 0 along a cosine. (The
            papers use Ranger at 1e-4 for up to 500,000 steps; a short run wants a larger one.)
        lambda_latent: weight of the squared distance between the code found and the exact one, as a part of the variance of w; generated images
            alone count. Ours, but in Ensemble.
        seen: images of a batch that the perceptual and the similarity loss look at: their network is most of the cost.
    """

    steps: int = 6000
    batch: int = 16
    real: float = 0.5
    lr: float = 1e-3
    warmup: int = 200
    constant: float = 0.4
    lambda_l2: float = 1.0
    lambda_perceptual: float = 0.1
    lambda_similarity: float = 0.1
    lambda_latent: float = 0.1
    seen: int = 4
    seed: int = 0


class Batches:
    """A stream of images to encode, deterministic from ``seed``; its state can be saved and restored."""

    def __init__(self, gan: Bundle, config: EncoderConfig):
        self.gan = gan
        self.reals = round(config.batch * config.real) if gan.reference is not None else 0
        self.fakes = config.batch - self.reals
        self.random = torch.Generator().manual_seed(config.seed)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Images ``[batch, 3, R, R]`` and the codes ``[fakes, num_ws, w_dim]`` of the first of them, which were generated from these."""
        G = self.gan.G
        with torch.no_grad():
            ws = G.mapping(torch.randn(self.fakes, G.z_dim, generator=self.random))
            images = G.synthesis(ws)
        if self.reals and self.gan.reference is not None:
            index = torch.randint(len(self.gan.reference), (self.reals,), generator=self.random)
            mirror = torch.rand(self.reals, generator=self.random) < 0.5
            reals = from_uint8(self.gan.reference[index])
            images = torch.cat([images, torch.where(mirror[:, None, None, None], reals.flip(3), reals)])
        return images.contiguous(memory_format=torch.channels_last), ws

    def get_state(self) -> Tensor:
        return self.random.get_state()

    def set_state(self, state: Tensor) -> None:
        self.random.set_state(state)


class Losses:
    """The terms of pSp's loss for one batch of images, and their weighted sum."""

    def __init__(self, gan: Bundle, config: EncoderConfig):
        self.config = config
        _, self.sigma_w = w_statistics(gan, 10_000)

    def __call__(self, result: Tensor, images: Tensor, codes: Tensor, ws: Tensor) -> dict[str, Tensor]:
        """The terms, by name, without their weights: each a mean over its images.

        Args:
            result: reconstructions ``[N, 3, R, R]`` of ``images``.
            codes: codes found ``[N, num_ws, w_dim]``, and ``ws`` the exact ones of the first of them.
        """
        terms = {"l2": (result - images).square().mean()}
        if self.config.seen:
            chosen = torch.linspace(0, len(images) - 1, min(self.config.seen, len(images))).round().long()  # generated and real ones
            with torch.no_grad():
                target = look(images[chosen])
            seen = look(result[chosen])
            terms |= {"perceptual": perceptual_distance(seen, target).mean(), "similarity": similarity_loss(seen, target).mean()}
        if len(ws):
            terms["latent"] = (codes[: len(ws)] - ws).square().sum(dim=2).mean() / self.sigma_w**2
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The sum of the terms, each times the field ``lambda_<name>`` of the configuration."""
        weights = {name: getattr(self.config, f"lambda_{name}") for name in terms}
        return torch.stack([weights[name] * term for name, term in terms.items() if weights[name]]).sum()


def learning_rate(config: EncoderConfig, step: int) -> float:
    """Adam's, at a step: up over ``warmup`` steps, constant, and down along a cosine."""
    return config.lr * min(1.0, (step + 1) / config.warmup) * cosine(step / config.steps, config.constant)


class Run:
    """A training run: the network, and the means of its losses over every ``HISTORY_STEPS`` steps."""

    def __init__(self, method: str, network: nn.Module, gan: Bundle, config: EncoderConfig):
        self.method, self.network, self.gan, self.config = method, network, gan, config
        self.history: list[dict[str, float]] = []
        self.pending: list[dict[str, float]] = []
        self.state = {"history": self.history, "pending": self.pending}  # for a :class:`ganinv.run.Loop` to keep

    def record(self, step: int, terms: dict[str, Tensor]) -> None:
        """Note the ``terms`` of a step."""
        self.pending.append({name: float(term.detach()) for name, term in terms.items()})
        if len(self.pending) == HISTORY_STEPS or step + 1 == self.config.steps:
            means = {name: sum(row[name] for row in self.pending) / len(self.pending) for name in terms}
            self.history.append({"step": step + 1, **{name: float(f"{mean:.4g}") for name, mean in means.items()}})
            self.pending.clear()

    def save(self, folder: str | Path, seconds: float) -> Path:
        """Write ``<method>.safetensors`` and the curves ``<method>.json`` into ``folder``; returns the first.

        Raises:
            GanInvError: they cannot be written.
        """
        summary = {"config": asdict(self.config), "seconds": round(seconds), "threads": torch.get_num_threads()}
        path = save_encoder(Path(folder) / f"{self.method}.safetensors", self.network, self.method, self.gan.sha256, summary)
        try:
            with atomic_path(path.with_suffix(".json")) as temporary:
                temporary.write_text(json.dumps({"method": self.method, **summary, "history": self.history}) + "\n")
        except OSError as error:
            raise GanInvError(f"{folder} cannot be written ({error.strerror}): choose another folder.") from error
        return path


def warm_start(encoder: nn.Module, start: nn.Module | None) -> None:
    """Take over the trunk of another encoder, as the papers do with a face recognition network; new input channels begin at random."""
    if start is None:
        return
    own, given = encoder.trunk.state_dict(), start.trunk.state_dict()  # type: ignore[union-attr,operator]
    for name, tensor in given.items():
        if own[name].shape == tensor.shape:
            own[name] = tensor
        else:  # the stem, which may have more channels to look at
            own[name][:, : tensor.shape[1]] = tensor
    encoder.trunk.load_state_dict(own)  # type: ignore[union-attr,operator]
