r"""What the trainers of all encoders share: the recipe, the images, the loss between a photo and its reconstruction, and the file that is kept.

An encoder learns with the generator frozen. A batch is part generated images, whose codes are known exactly, and part the bundle's training
images (``reference``), mirrored half of the time. Each trainer is one function that reads top to bottom, in the file of its method:
:mod:`ganinv.training.psp`, ``e4e``, ``restyle``, ``bdinvert``, ``hfgi`` and ``ensemble``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..devices import rand, randint
from ..encoders.weights import save_encoder
from ..errors import GanInvError
from ..files import write_text
from ..inversion.projection import w_statistics
from ..perception.similarity import look, perceptual_distance, similarity_loss
from ..photos import from_uint8
from ..run.schedule import cosine
from ..settings import Checked, Count, Positive, Seed, Several, Share, Switch, Weight
from ..zoo import Bundle

HISTORY_STEPS = 50


@dataclass
class EncoderConfig(Checked):
    """The part of the recipe that all methods have. Pixels and similarity count as in pSp for faces; the perceptual distance, .8 there, counts an
    eighth of that, because distances by EfficientNet-Lite0 are about eight times those by AlexNet.

    Attributes:
        batch: images of a step, of which the part ``real`` comes from the training images (none, where the bundle has none).
        lr: learning rate of Adam, constant after ``warmup`` steps, and from the part ``constant`` of the run on falling to 0 along a cosine. (The
            papers use Ranger at 1e-4 for up to 500,000 steps; a short run wants a larger one.)
        random_noise: draw the noise of every synthesis afresh, as the papers do, so that no encoder reckons with the maps that happen to be
            constant.
        lambda_latent: weight of the squared distance between the code found and the exact one, as a part of the variance of w; generated images
            alone count. Ours, but in Ensemble.
        seen: images of a batch that the perceptual and the similarity loss look at: their network is most of the cost.
    """

    steps: Count = 6000
    batch: Several = 16
    real: Share = 0.5
    random_noise: Switch = True
    lr: Weight = 1e-3
    warmup: Positive = 200
    constant: Share = 0.4
    lambda_l2: Weight = 1.0
    lambda_perceptual: Weight = 0.1
    lambda_similarity: Weight = 0.1
    lambda_latent: Weight = 0.1
    seen: Count = 4
    seed: Seed = 0


class Batches:
    """A stream of images to encode, deterministic from ``seed``; its state can be saved and restored."""

    def __init__(self, gan: Bundle, config: EncoderConfig):
        self.gan = gan
        self.reals = round(config.batch * config.real) if gan.reference is not None else 0
        self.fakes = config.batch - self.reals
        self.random_noise = config.random_noise
        self.random = torch.Generator().manual_seed(config.seed)

    def noise(self, n: int) -> dict[str, Tensor]:
        """The noise of a synthesis of ``n`` images, ``{layer: [n, 1, r, r]}``; nothing, where it is to be the generator's own."""
        return self.gan.G.synthesis.random_noise(n, self.random) if self.random_noise else {}

    def draw(self) -> tuple[Tensor, Tensor]:
        """Images ``[batch, 3, R, R]`` and the codes ``[fakes, num_ws, w_dim]`` of the first of them, which were generated from these."""
        G = self.gan.G
        with torch.no_grad():
            ws = G.mapping(self.gan.randn([self.fakes, G.z_dim], self.random))
            images = G.synthesis(ws, noise=self.noise(self.fakes))
        if self.reals and self.gan.reference is not None:
            index = randint(len(self.gan.reference), [self.reals], self.random)
            mirror = rand([self.reals], self.random) < 0.5
            reals = from_uint8(self.gan.reference[index])
            images = torch.cat([images, self.gan.place(torch.where(mirror[:, None, None, None], reals.flip(3), reals))])
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
            seen = min(self.config.seen, len(images))  # generated and real ones
            chosen = torch.linspace(0, len(images) - 1, seen, device=images.device, dtype=torch.float32).round().long()
            with torch.no_grad():
                target = look(images[chosen])
            found = look(result[chosen])
            terms |= {
                "perceptual": perceptual_distance(found, target).mean(),
                "similarity": similarity_loss(found, target).mean(),
            }
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

    def __init__(
        self, method: str, network: nn.Module, gan: Bundle, config: EncoderConfig, basic_encoder: str | None = None
    ):
        self.method, self.network, self.gan, self.config, self.basic_encoder = (
            method,
            network,
            gan,
            config,
            basic_encoder,
        )
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
        path = save_encoder(
            Path(folder) / f"{self.method}.safetensors",
            self.network,
            self.method,
            self.gan.sha256,
            summary,
            self.basic_encoder,
        )
        try:
            write_text(
                path.with_suffix(".json"),
                json.dumps({"method": self.method, **summary, "history": self.history}) + "\n",
            )
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


@dataclass(frozen=True)
class Recipe:
    """How the encoder of a method is trained; the module that a method names as its ``recipe`` has one for it in ``RECIPES``.

    Attributes:
        train: ``train(gan, config, callback, resume, start) -> Run``, without ``start`` where there is none.
        start: the encoder that training takes: HFGI's basic encoder, which stays as it is, the one whose trunk ReStyle begins with, or the
            one that Ensemble's begins as.
        start_needed: whether there is no training without it.
        trunk: the encoder of which training takes the trunk where one is named; from random weights on otherwise.
    """

    train: Callable[..., Run]
    config: EncoderConfig
    start: str = ""
    start_needed: bool = False
    trunk: str = ""
