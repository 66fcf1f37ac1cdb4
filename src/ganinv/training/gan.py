"""Train a StyleGAN2 on a CPU by growing it: the script behind ``faces64``, and ``ganinv train gan``.

Reads top to bottom: the recipe (:class:`GanConfig`), the state that a checkpoint holds (:class:`Trainer`), one step, the loop.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import choose, rand, randint, randn
from ..errors import GanInvError
from ..files import atomic_path, write_text
from ..losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from ..photos import unpack_images
from ..run import Interrupt, alone
from ..run.loop import on_cpu
from ..run.schedule import cosine
from ..settings import Batch, Checked, Count, Divisor, Positive, Probability, Resolution, Seed, Share, Switch, Weight
from ..stylegan2 import Discriminator, Generator
from .growing import FadingDiscriminator, grow_discriminator, grow_generator, wider_discriminator, wider_generator

if TYPE_CHECKING:
    from ..zoo import Bundle

HISTORY_STEPS = 50


@dataclass
class Stage(Checked):
    """Train at ``resolution`` until ``images`` training images have been shown, with R1 weight ``r1_gamma``."""

    resolution: Resolution
    images: Positive
    r1_gamma: Weight


@dataclass
class GanConfig(Checked):
    """The recipe. The defaults are those of ``faces64``, whose last stage was trained in two runs (its model card records them).

    The learning rate is constant, then falls to zero along a cosine over the last ``decay`` of the last stage.
    """

    z_dim: Positive = 128
    w_dim: Positive = 128
    num_layers: Positive = 4
    channel_base: Positive = 1024
    channel_max: Positive = 128
    stages: list[Stage] = field(
        default_factory=lambda: [Stage(16, 40_000, 0.05), Stage(32, 60_000, 0.1), Stage(64, 350_000, 0.2)]
    )
    fade: Divisor = 0.25  # part of a stage over which its new blocks are faded in
    batch: Batch = 16
    lr: Weight = 2.5e-3
    decay: Share = 0.3
    r1_interval: Positive = 16
    style_mixing: Probability = 0.5
    ema_images: Count = 10_000  # half-life of the average weights, at most; early on, 5 % of the images seen
    conv_clamp: Divisor | None = None
    bf16: Switch = False  # bfloat16 convolutions (worth it only on processors with AMX or AVX512-BF16)
    seed: Seed = 0
    checkpoint_seconds: Weight = 180.0
    snapshot_images: Positive = 10_000

    @property
    def total_images(self) -> int:
        return sum(stage.images for stage in self.stages)


@dataclass
class Start:
    """Trained networks to go on from, with the record of their training as far as it is known.

    Attributes:
        training: the summary in their model card (``{"images": ..., "seconds": ..., "config": ...}``).
        history: rows of their loss curves.
        snapshots: what they drew on the way, uint8 ``[n, 3, r, r]`` by the number of images seen.
    """

    G: Generator
    D: Discriminator
    training: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    snapshots: dict[int, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of_bundle(cls, gan: Bundle) -> Start:
        """Go on from a bundle: its ``training.json`` and snapshot sheets are carried along where it has them.

        Raises:
            GanInvError: the bundle has no discriminator.
        """
        if gan.D is None:
            raise GanInvError(
                f"{gan.name} comes without a discriminator, which training needs: start from a file that holds both networks."
            )
        start = cls(gan.G, gan.D, gan.card.get("training", {}))
        if gan.folder is not None and (gan.folder / "training.json").is_file():
            record = json.loads((gan.folder / "training.json").read_text(encoding="utf-8"))
            sheets = {
                row["resolution"]: unpack_images(gan.folder / f"snapshots-{row['resolution']}.webp")
                for row in record["snapshots"]
            }
            strips = {
                size: len(sheet) // sum(row["resolution"] == size for row in record["snapshots"])
                for size, sheet in sheets.items()
            }
            start.history = record["history"]
            for row in record["snapshots"]:
                strip, sheet = strips[row["resolution"]], sheets[row["resolution"]]
                start.snapshots[row["images"]] = sheet[row["row"] * strip : (row["row"] + 1) * strip].numpy()
        return start


class Trainer:
    """Everything a checkpoint holds: networks, average weights, optimisers, counters and random state; the networks are on ``device``."""

    @alone()
    def __init__(self, config: GanConfig, images: np.ndarray, folder: str | Path, device: str | torch.device = "cpu"):
        width, resolutions = images.shape[-1], [stage.resolution for stage in config.stages]
        if any(width % resolution for resolution in resolutions):
            raise GanInvError(
                f"The training images are {width} pixels wide, which cannot be averaged down to stages of {resolutions} pixels."
            )
        if not resolutions or resolutions != sorted(set(resolutions)):
            raise GanInvError(
                f"Training needs stages, each of a higher resolution than the one before, not {resolutions}."
            )
        self.config, self.images, self.folder, self.device = config, images, Path(folder), choose(device)
        self.rng = torch.Generator().manual_seed(config.seed)
        self.z_snapshot = randn([64, config.z_dim], torch.Generator().manual_seed(config.seed + 1))
        self.stage_index, self.stage_seen, self.seen, self.steps, self.seconds = 0, 0, 0, 0, 0.0
        self.history: list[dict[str, float]] = []
        self.before: dict[str, Any] = {}  # training summary of the networks that this run went on from
        self.sums: dict[str, float] = {}  # of the losses since the last row of the history
        torch.manual_seed(config.seed)
        width = config.channel_base, config.channel_max, config.conv_clamp
        self.G = Generator(config.z_dim, config.w_dim, self.stage.resolution, config.num_layers, *width)
        self.D = FadingDiscriminator(Discriminator(self.stage.resolution, *width))
        self.G_ema = self._clone(self.G)
        self._make_optimisers()

    @alone()
    def begin(self, start: Start) -> None:
        """Take over the networks of ``start``, made wider where ``config`` has more channels, and the record of their training.

        Raises:
            GanInvError: the sizes that widening cannot change do not fit.
        """
        c = self.config
        wanted = {
            "z_dim": c.z_dim,
            "w_dim": c.w_dim,
            "num_layers": c.num_layers,
            "img_resolution": self.stage.resolution,
            "conv_clamp": c.conv_clamp,
        }
        for name, value in wanted.items():
            if (found := start.G.config[name]) != value:
                raise GanInvError(
                    f"The network to start from has {name}={found}, the configuration asks for {value}: only channels can be added."
                )
        torch.manual_seed(c.seed)  # the new channels' weights
        self.G = wider_generator(start.G, c.channel_base, c.channel_max)
        self.D = FadingDiscriminator(wider_discriminator(start.D, c.channel_base, c.channel_max))
        self.G_ema = self._clone(self.G)
        self._make_optimisers()
        self.before, self.history = start.training, list(start.history)
        self.seen, self.seconds = self.images_before, float(start.training.get("seconds", 0))
        for seen, images in start.snapshots.items():
            with atomic_path(self.folder / "snapshots" / f"{seen:07d}.npy") as temporary:
                np.save(temporary, images)

    @property
    def images_before(self) -> int:
        """Images that the networks had been shown before this run."""
        return int(self.before.get("images", 0))

    @property
    def summary(self) -> dict[str, Any]:
        """What a model card says of the training: images, seconds, recipe, and as ``before`` that of the networks it went on from."""
        facts = {"images": self.seen, "seconds": round(self.seconds), "config": asdict(self.config)}
        return {**facts, "before": self.before} if self.before else facts

    # -- stages ------------------------------------------------------------------------------------------------------

    @property
    def stage(self) -> Stage:
        return self.config.stages[self.stage_index]

    @property
    def done(self) -> bool:
        return self.stage_index == len(self.config.stages) - 1 and self.stage_seen >= self.stage.images

    def _clone(self, G: Generator) -> Generator:
        clone = Generator(**G.config).requires_grad_(False).eval()
        clone.load_state_dict(G.state_dict())
        return clone

    def _make_optimisers(self) -> None:
        for net in (self.G, self.G_ema, self.D):
            # the layout in which CPU convolutions run fastest
            net.to(self.device, torch.float32).to(memory_format=torch.channels_last)
        self.opt_G = torch.optim.Adam(self.G.parameters(), lr=self.config.lr, betas=(0.0, 0.99), foreach=True)
        self.opt_D = torch.optim.Adam(self.D.parameters(), lr=self.config.lr, betas=(0.0, 0.99), foreach=True)

    @alone()
    def next_stage(self) -> None:
        """Grow both networks to the next resolution; Adam starts afresh."""
        self.stage_index, self.stage_seen = self.stage_index + 1, 0
        res = self.stage.resolution
        torch.manual_seed(self.config.seed + self.stage_index)  # the new blocks' weights: the same after a resume
        self.G, self.G_ema = grow_generator(self.G, res), grow_generator(self.G_ema, res).requires_grad_(False).eval()
        new = {key: value for key, value in self.G.state_dict().items() if f".b{res}." in key}
        self.G_ema.load_state_dict({**self.G_ema.state_dict(), **new})
        self.D = FadingDiscriminator(*grow_discriminator(self.D.D, res))
        self._make_optimisers()

    # -- one step ----------------------------------------------------------------------------------------------------

    def reals(self) -> Tensor:
        """A batch of training images at the stage's resolution (box-filtered), each mirrored with probability 1/2."""
        index = randint(len(self.images), [self.config.batch], self.rng)
        x = torch.from_numpy(self.images[np.sort(index.numpy())]).float().div(127.5).sub(1)
        mirror = rand([len(x)], self.rng) < 0.5
        x[mirror] = x[mirror].flip(3)
        x = F.avg_pool2d(x, x.shape[-1] // self.stage.resolution).contiguous(memory_format=torch.channels_last)
        return x.to(self.device)

    def fakes(self, alpha: float) -> Tensor:
        """A batch of generated images with style mixing; also moves ``w_avg`` towards the batch's mean w."""
        z = randn([2, self.config.batch, self.config.z_dim], self.rng, self.device)
        ws = self.G.mapping(z[0])
        with torch.no_grad():
            self.G.mapping.w_avg.lerp_(ws[:, 0].mean(dim=0), 0.005)
        if rand([], self.rng) < self.config.style_mixing:
            cutoff = int(torch.randint(1, self.G.num_ws, [], generator=self.rng, device="cpu", dtype=torch.long))
            ws = torch.cat([ws[:, :cutoff], self.G.mapping(z[1])[:, cutoff:]], dim=1)
        # mapping and styles stay in float32; only convolutions may run in bfloat16
        styles = self.G.synthesis.styles(ws)
        with self.autocast():
            return self.G.synthesis(None, noise_mode="random", styles=styles, rgb_gain=alpha)

    def autocast(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16) if self.config.bf16 else nullcontext()

    @alone()
    def step(self) -> dict[str, float]:
        """One discriminator and one generator step on the same batch of fakes (non-saturating loss, lazy R1)."""
        c = self.config
        alpha = 1.0 if self.stage_index == 0 else min(1.0, self.stage_seen / (c.fade * self.stage.images))
        self.D.alpha = alpha
        self.set_learning_rate()
        torch.manual_seed(int(randint(2**31, [], self.rng)))  # the noise inside synthesis: resumable as well
        fake = self.fakes(alpha)

        real = self.reals()
        self.D.requires_grad_(True)
        with self.autocast():
            logits_real, logits_fake = self.D(real), self.D(fake.detach())
        loss_D = discriminator_loss(logits_real.float(), logits_fake.float())
        loss = loss_D
        if self.steps % c.r1_interval == 0:
            loss = loss + r1_penalty(self.D, real) * (self.stage.r1_gamma / 2 * c.r1_interval)
        self.opt_D.zero_grad(set_to_none=True)
        loss.backward()
        self.opt_D.step()

        self.D.requires_grad_(False)
        with self.autocast():
            logits = self.D(fake)
        loss_G = generator_loss(logits.float())
        self.opt_G.zero_grad(set_to_none=True)
        loss_G.backward()
        self.opt_G.step()

        self.steps += 1
        self.seen += c.batch
        self.stage_seen += c.batch
        self.update_average()
        return {
            "loss_G": loss_G.item(),
            "loss_D": loss_D.item(),
            "logit_real": logits_real.mean().item(),
            "logit_fake": logits_fake.mean().item(),
            "alpha": alpha,
        }

    def record(self, losses: dict[str, float]) -> None:
        """Add a row of means to the history every ``HISTORY_STEPS`` steps.

        Raises:
            GanInvError: a loss is not finite.
        """
        if not all(map(math.isfinite, losses.values())):
            raise GanInvError(
                f"Training diverged after {self.seen} images: lower the learning rate and go on from the checkpoint in {self.folder}."
            )
        self.sums = {key: self.sums.get(key, 0.0) + value for key, value in losses.items()}
        if self.steps % HISTORY_STEPS == 0:
            means = {key: value / HISTORY_STEPS for key, value in self.sums.items()}
            self.history.append(
                {"images": self.seen, "resolution": self.stage.resolution, "seconds": round(self.seconds, 1), **means}
            )
            self.sums = {}

    def set_learning_rate(self) -> None:
        lr = self.config.lr
        if self.stage_index == len(self.config.stages) - 1:
            lr *= cosine(self.stage_seen / self.stage.images, 1 - self.config.decay)
        for optimiser in (self.opt_G, self.opt_D):
            optimiser.param_groups[0]["lr"] = lr

    @torch.no_grad()
    def update_average(self) -> None:
        """Exponential moving average of G's weights; buffers are copied."""
        half_life = min(self.config.ema_images, 0.05 * self.seen)
        beta = 0.5 ** (self.config.batch / max(half_life, 1e-8))
        torch._foreach_lerp_(list(self.G_ema.parameters()), list(self.G.parameters()), 1 - beta)
        for a, b in zip(self.G_ema.buffers(), self.G.buffers(), strict=True):
            a.copy_(b)

    # -- checkpoints, snapshots ------------------------------------------------------------------------------------------

    def save(self) -> None:
        state = {
            "config": asdict(self.config),
            "counters": [self.stage_index, self.stage_seen, self.seen, self.steps, self.seconds],
            "G": self.G.state_dict(),
            "D": self.D.state_dict(),
            "G_ema": self.G_ema.state_dict(),
            "opt_G": self.opt_G.state_dict(),
            "opt_D": self.opt_D.state_dict(),
            "rng": self.rng.get_state(),
            "history": self.history,
            "before": self.before,
            "sums": self.sums,
        }
        with atomic_path(self.folder / "checkpoint.pt") as temporary:
            torch.save(on_cpu(state), temporary)
        write_text(self.folder / "history.json", json.dumps(self.history))

    def restore(self) -> bool:
        """Continue from the folder's checkpoint, if there is one."""
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return False
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if self._sizes(state["config"]) != self._sizes(asdict(self.config)):
                raise GanInvError(
                    f"{path} was written with other network sizes or stages: give its options, or train into another folder."
                )
            while self.stage_index < state["counters"][0]:
                self.next_stage()
            for name in ("G", "D", "G_ema", "opt_G", "opt_D"):
                getattr(self, name).load_state_dict(state[name])
            self.stage_index, self.stage_seen, self.seen, self.steps, self.seconds = state["counters"]
            self.rng.set_state(state["rng"])
            self.history, self.sums, self.before = state["history"], state.get("sums", {}), state.get("before", {})
        except GanInvError:
            raise
        except Exception as error:  # the file decides what goes wrong
            raise GanInvError(
                f"{path} is not a training checkpoint: delete it to start afresh. ({type(error).__name__})"
            ) from error
        return True

    @staticmethod
    def _sizes(config: dict[str, Any]) -> list[int]:
        """What a checkpoint and a configuration have to share."""
        names = ("z_dim", "w_dim", "num_layers", "channel_base", "channel_max")
        return [config[name] for name in names] + [stage["resolution"] for stage in config["stages"]]

    @torch.no_grad()
    def snapshot(self) -> None:
        """Keep what G_ema draws for 64 fixed z (uint8 ``.npy``): the filmstrip of the chapter on progressive growing."""
        alpha = self.D.alpha if self.stage_index else 1.0
        images = self.G_ema.synthesis(
            self.G_ema.mapping(self.z_snapshot.to(self.device)), noise_mode="const", rgb_gain=alpha
        )
        images = (images * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
        with atomic_path(self.folder / "snapshots" / f"{self.seen:07d}.npy") as temporary:
            np.save(temporary, images.cpu().numpy())


@alone()
def train(
    config: GanConfig,
    images: np.ndarray,
    folder: str | Path,
    progress: Callable[[Trainer, dict[str, float]], None] | None = None,
    start: Start | None = None,
    device: str | torch.device = "cpu",
) -> Trainer:
    """Train, or go on from the checkpoint in ``folder``, until every stage is done. A new run may ``start`` from trained networks, and go on on
    another ``device`` than it began on.

    Writes ``checkpoint.pt`` every few minutes (atomically: a killed run loses minutes, never the file), ``history.json`` and ``snapshots/``.
    ``progress(trainer, losses)`` is called after every step. Ctrl-C lets the step finish, saves, and
    raises ``KeyboardInterrupt``. An interrupted run ends with the same weights, bit for bit, as one that was left alone.

    Raises:
        GanInvError: a damaged checkpoint or one of another configuration, unfit images, or losses that are no longer finite.
    """
    trainer = Trainer(config, images, folder, device)
    if not trainer.restore() and start is not None:
        trainer.begin(start)
    last_save = last = time.monotonic()
    with Interrupt() as interrupt:
        while not trainer.done:
            if trainer.stage_seen >= trainer.stage.images:
                trainer.next_stage()
            losses = trainer.step()
            now = time.monotonic()
            trainer.seconds, last = trainer.seconds + now - last, now
            trainer.record(losses)
            if trainer.seen // config.snapshot_images != (trainer.seen - config.batch) // config.snapshot_images:
                trainer.snapshot()
            if progress:
                progress(trainer, losses)
            if interrupt.pending or now - last_save > config.checkpoint_seconds:
                trainer.save()
                last_save = now
            if interrupt.pending:
                raise KeyboardInterrupt
        trainer.snapshot()
        trainer.save()
    return trainer
