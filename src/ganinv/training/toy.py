"""GANs of points in the plane: trained in seconds, and small enough to be seen whole.

Several games are played side by side, one a seed, because a single run of a GAN proves nothing: every tensor has a first axis ``runs``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import rand, randint, randn
from ..losses.adversarial import discriminator_loss, generator_loss, r1_from_logits
from ..run import alone
from ..settings import Checked, Count, Positive, Weight

MODES, STD = 8, 0.02
Data = Callable[[int, torch.Generator], Tensor]


def ring_centres() -> Tensor:
    """The centres ``[8, 2]`` of :func:`ring`."""
    angles = torch.arange(MODES, device="cpu", dtype=torch.float32) * (2 * math.pi / MODES)
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def ring(n: int, random: torch.Generator) -> Tensor:
    """``n`` points ``[n, 2]`` of eight equally likely Gaussians on the unit circle, of standard deviation ``STD``."""
    return ring_centres()[randint(MODES, [n], random)] + STD * randn([n, 2], random)


def moons(n: int, random: torch.Generator) -> Tensor:
    """``n`` points ``[n, 2]`` of two interleaved half circles, blurred with standard deviation ``STD``; within about [-1, 1]."""
    angle = math.pi * rand([n], random)
    arc = torch.stack([0.6 * angle.cos() - 0.3, 0.6 * angle.sin() - 0.15], dim=1)
    upper = rand([n, 1], random) < 0.5
    return torch.where(upper, arc, -arc) + STD * randn([n, 2], random)


def coverage(points: Tensor, centres: Tensor, radius: float = 5 * STD) -> tuple[Tensor, Tensor]:
    """How many modes the points ``[runs, N, 2]`` of each run reach, and what share of the points is on a mode: ``[runs]`` each.

    A point is on a mode within ``radius`` of its centre. A mode is reached by at least a quarter of its fair share of all points.
    """
    distance, nearest = torch.cdist(points, centres).min(dim=2)
    on_mode = distance < radius
    counts = F.one_hot(nearest, len(centres)).mul(on_mode[:, :, None]).sum(dim=1)
    return (counts >= points.shape[1] / len(centres) / 4).sum(dim=1), on_mode.float().mean(dim=1)


class MLP(nn.Module):
    """Independent multilayer perceptrons of one shape, one a generator in ``randoms``, which draws its initial weights.

    Takes ``[runs, N, inputs]`` to ``[runs, N, outputs]``.
    """

    def __init__(self, inputs: int, outputs: int, width: int, layers: int, randoms: Sequence[torch.Generator]):
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for a, b in zip([inputs, *[width] * layers], [*[width] * layers, outputs], strict=True):
            bound = 1 / math.sqrt(a)  # as nn.Linear does
            for parameters, rows in ((self.weights, a), (self.biases, 1)):
                empty = torch.empty(len(randoms), rows, b, device="cpu", dtype=torch.float32)
                parameters.append(
                    torch.stack(
                        [
                            one.uniform_(-bound, bound, generator=random)
                            for one, random in zip(empty, randoms, strict=True)
                        ]
                    )
                )

    def __getitem__(self, run: int) -> MLP:
        """A copy of one run's network, with ``runs`` = 1."""
        one = copy.deepcopy(self)
        for parameter in one.parameters():
            parameter.data = parameter.data[run : run + 1].clone()
        return one

    def forward(self, x: Tensor) -> Tensor:
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, F.leaky_relu(x, 0.2) if i else x, weight)
        return x


@dataclass
class ToyConfig(Checked):
    """The recipe; the defaults, found by trying, cover the ring.

    The discriminator learns faster than the generator (Heusel et al. 2017). Both learning rates fall to zero along a cosine over the last 30 %
    of the steps.
    """

    steps: Count = 2000
    batch: Positive = 64
    z_dim: Positive = 2
    width: Positive = 64
    layers: Positive = 3
    lr_G: Weight = 2e-3
    lr_D: Weight = 6e-3
    betas: tuple[float, float] = (0.0, 0.99)
    r1_gamma: Weight = 0.05


@dataclass
class Snapshot:
    """Both players after ``step`` steps, frozen, and the ``losses`` of that step (means over the runs)."""

    step: int
    G: MLP
    D: MLP
    losses: dict[str, float]


def step(
    G: nn.Module,
    D: nn.Module,
    opt_G: torch.optim.Optimizer,
    opt_D: torch.optim.Optimizer,
    real: Tensor,
    z: Tensor,
    r1_gamma: float,
) -> dict[str, Tensor]:
    """One move of each player, for data [runs, N, 2] and codes [runs, N, z_dim]."""
    runs = len(real)
    fake = G(z)

    # The discriminator: up at the data, down at the fakes, and not too steep.
    real = real.detach().requires_grad_()
    logits_real = D(real)
    loss_D = discriminator_loss(logits_real, D(fake.detach()))
    r1 = r1_from_logits(logits_real, real)
    opt_D.zero_grad()
    # A loss is a mean over the runs; times runs, each learns as if it were alone.
    (runs * (loss_D + r1_gamma / 2 * r1)).backward()
    opt_D.step()

    # The generator: up at its fakes. The gradient comes through the discriminator.
    loss_G = generator_loss(D(fake))
    opt_G.zero_grad()
    (runs * loss_G).backward()
    opt_G.step()
    return {"loss_G": loss_G.detach(), "loss_D": loss_D.detach(), "r1": r1.detach()}


@alone()
def train(data: Data, config: ToyConfig | None = None, seeds: Sequence[int] = (0,), every: int = 50) -> list[Snapshot]:
    """Train one GAN a seed on ``data``; returns a snapshot at the start, after every ``every`` steps and at the end.

    A run depends on its own seed alone (up to rounding), not on the runs beside it.
    """
    c = config or ToyConfig()
    randoms = [torch.Generator().manual_seed(seed) for seed in seeds]
    G, D = MLP(c.z_dim, 2, c.width, c.layers, randoms), MLP(2, 1, c.width, c.layers, randoms)
    opt_G = torch.optim.Adam(G.parameters(), betas=c.betas, foreach=True)
    opt_D = torch.optim.Adam(D.parameters(), betas=c.betas, foreach=True)
    snapshots = [_snapshot(0, G, D, {})]
    for i in range(1, c.steps + 1):
        decay = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - (i - 1) / c.steps) / 0.3))
        opt_G.param_groups[0]["lr"], opt_D.param_groups[0]["lr"] = c.lr_G * decay, c.lr_D * decay
        real = torch.stack([data(c.batch, random) for random in randoms])
        z = torch.stack([randn([c.batch, c.z_dim], random) for random in randoms])
        losses = step(G, D, opt_G, opt_D, real, z, c.r1_gamma)
        if i % every == 0 or i == c.steps:
            snapshots.append(_snapshot(i, G, D, {name: loss.item() for name, loss in losses.items()}))
    return snapshots


def _snapshot(i: int, G: MLP, D: MLP, losses: dict[str, float]) -> Snapshot:
    return Snapshot(i, copy.deepcopy(G).requires_grad_(False), copy.deepcopy(D).requires_grad_(False), losses)
