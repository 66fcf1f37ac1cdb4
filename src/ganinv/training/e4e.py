r"""Train e4e: reconstruct through the frozen generator, and stay near W (Tov et al. 2021).

Beside pSp's loss: the offsets are unlocked one after the other and kept short, :math:`L_\Delta = \sum_i \lVert \Delta_i \rVert_2`, and a critic tells
the codes from those of the mapping network, as a discriminator does with images: logistic loss, lazy R1, and pools of earlier codes of both
kinds, from which half of what it sees is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..devices import rand, randint
from ..encoders.style import StyleEncoder
from ..inversion.e4e import LatentCritic
from ..losses.adversarial import discriminator_loss, generator_loss, r1_from_logits
from ..run import Callback, Loop, Resume, alone
from ..settings import Count, Divisor, Positive, Share, Weight
from ..zoo import Bundle
from .encoders import Batches, EncoderConfig, Losses, Recipe, Run, learning_rate, warm_start


@dataclass
class E4EConfig(EncoderConfig):
    """e4e's recipe; the schedule keeps its proportions, in parts of the run.

    Attributes:
        progressive_start: when the first offset is unlocked (20,000 of 200,000 steps in the paper), and ``progressive_every`` when another is
            (every 2,000).
        lambda_delta: weight of the offsets' lengths.
        lambda_adv: weight of the critic's opinion.
        lr_critic: its learning rate (2e-5 there, with the encoder's at 1e-4: here, too, a fifth).
        r1_gamma, r1_interval: of the critic.
        pool: codes in each of its pools.
    """

    steps: Count = 4000
    progressive_start: Share = 0.1
    progressive_every: Divisor = 0.01
    lambda_delta: Weight = 2e-4
    lambda_adv: Weight = 0.1
    lr_critic: Weight = 2e-4
    r1_gamma: Weight = 10.0
    r1_interval: Positive = 16
    pool: Positive = 50


class CodePool:
    """The last codes shown to the critic; half of what it is asked for comes from there, in exchange for the new ones (as in CycleGAN)."""

    def __init__(self, size: int, w_dim: int, device: torch.device | str = "cpu"):
        self.codes = torch.zeros(size, w_dim, device=device, dtype=torch.float32)
        self.filled = torch.zeros([], device="cpu", dtype=torch.long)

    def exchange(self, codes: Tensor, random: torch.Generator) -> Tensor:
        """``codes`` ``[N, w_dim]``, about half of them swapped for codes of the pool, which keeps the new ones."""
        result = codes.clone()
        for i, code in enumerate(codes):
            if self.filled < len(self.codes):
                self.codes[self.filled] = code
                self.filled += 1
            elif rand([], random) < 0.5:
                k = randint(len(self.codes), [], random)
                result[i] = self.codes[k]
                self.codes[k] = code
        return result

    @property
    def state(self) -> dict[str, Tensor]:
        return {"codes": self.codes, "filled": self.filled}


class Critic:
    """The latent critic with its optimiser and pools: one step of its training, and its opinion of an encoder's codes."""

    def __init__(self, gan: Bundle, config: E4EConfig):
        self.gan, self.config = gan, config
        self.net = gan.place(LatentCritic(gan.G.w_dim))
        self.adam = torch.optim.Adam(self.net.parameters(), lr=config.lr_critic)
        self.real, self.fake = (CodePool(config.pool, gan.G.w_dim, gan.device) for _ in range(2))
        self.random = torch.Generator().manual_seed(config.seed)
        self.state = {  # for a Loop to keep
            "critic": self.net,
            "adam_critic": self.adam,
            "real_codes": self.real.state,
            "fake_codes": self.fake.state,
            "critic_random": self.random,
        }

    def train(self, codes: Tensor, step: int) -> Tensor:
        """One step: up at codes of the mapping network, down at the encoder's ``[N, w_dim]``; the loss."""
        c = self.config
        with torch.no_grad():
            z = self.gan.randn([len(codes), self.gan.G.z_dim], self.random)
            real = self.real.exchange(self.gan.G.mapping(z)[:, 0], self.random)
            fake = self.fake.exchange(codes.detach(), self.random)
        penalised = step % c.r1_interval == 0
        logits = self.net(real.requires_grad_(penalised))
        loss = total = discriminator_loss(logits, self.net(fake))
        if penalised:
            total = loss + c.r1_gamma / 2 * c.r1_interval * r1_from_logits(logits, real)
        self.adam.zero_grad()
        total.backward()
        self.adam.step()
        return loss.detach()

    def opinion(self, codes: Tensor) -> Tensor:
        """What the encoder is to make small: how sure the critic is that ``[N, w_dim]`` are not from the mapping network."""
        self.net.requires_grad_(False)
        loss = generator_loss(self.net(codes))
        self.net.requires_grad_(True)
        return loss


def unlocked(config: E4EConfig, num_ws: int, step: int) -> int:
    """How many offsets are in use at ``step``: none at first, in the end all ``num_ws - 1``."""
    past = step / config.steps - config.progressive_start
    return 0 if past < 0 else min(num_ws - 1, 1 + int(past / config.progressive_every))


def offsets_length(codes: Tensor) -> Tensor:
    """:math:`L_\\Delta`: the lengths of all layers' offsets from the first, summed over the layers, of codes ``[N, num_ws, w_dim]``: mean."""
    return (codes[:, 1:] - codes[:, :1]).norm(dim=2).sum(dim=1).mean()


@alone()
def train_e4e(
    gan: Bundle,
    config: E4EConfig | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
    start: StyleEncoder | None = None,
) -> Run:
    """Train an encoder for ``gan``; with ``start``, from the trunk of another."""
    config = config or E4EConfig()
    G, w_avg = gan.G, gan.G.mapping.w_avg
    torch.manual_seed(config.seed)
    encoder, critic = (
        gan.place(StyleEncoder(G.img_resolution, G.num_ws, G.w_dim, progressive=True)),
        Critic(gan, config),
    )
    warm_start(encoder, start)
    batches, losses = Batches(gan, config), Losses(gan, config)
    adam = torch.optim.Adam(encoder.parameters(), lr=config.lr, betas=(0.9, 0.99), foreach=True)
    run = Run("e4e", encoder, gan, config)
    loop = Loop(
        "e4e", config.steps, callback, resume, encoder=encoder, adam=adam, batches=batches, **critic.state, **run.state
    )
    for step in loop:
        encoder.stage = unlocked(config, G.num_ws, step)
        adam.param_groups[0]["lr"] = learning_rate(config, step)
        images, ws = batches.draw()
        codes = w_avg + encoder(images)
        active = codes[:, : encoder.stage + 1]
        critic_loss = critic.train(active[:, int(randint(encoder.stage + 1, [], critic.random))], step)

        terms = losses(G.synthesis(codes, noise=batches.noise(len(codes))), images, codes, ws)
        terms |= {"delta": offsets_length(codes), "adv": critic.opinion(active.flatten(0, 1))}
        adam.zero_grad()
        losses.total(terms).backward()
        adam.step()
        run.record(step, terms | {"critic": critic_loss})
        loop.report(**terms, critic=critic_loss)
    return run


RECIPES = {"e4e": Recipe(train_e4e, E4EConfig(), trunk="psp")}
