"""A copy of the generator that is tuned to its photos: what PTI and near-perfect inversion move, and how its images are drawn."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..devices import randn
from ..stylegan2 import Generator
from .result import Deltas, distance, make_deltas


def trainable_copy(G: Generator) -> tuple[Generator, list[nn.Parameter]]:
    """A copy of ``G`` and the parameters that tuning moves: all of the synthesis network but ``noise_strength``.

    The mapping network stays as it is, so directions in W keep their meaning; noise strengths stay, because raising them would change
    every other image of the generator.
    """
    clone = copy.deepcopy(G).requires_grad_(False)
    parameters = [p for name, p in clone.synthesis.named_parameters() if not name.endswith("noise_strength")]
    for p in parameters:
        p.requires_grad_(True)
    return clone, parameters


@dataclass
class Fakes:
    """What a clone drew in one pass.

    Attributes:
        images: ``[pinned + fresh, 3, R, R]``: the reconstructions of the photos first, then random images.
        pinned: how many of them are reconstructions.
        ws, noise: the codes and noise maps of the random images.
    """

    images: Tensor
    pinned: int
    ws: Tensor | None
    noise: dict[str, Tensor]

    @property
    def photos(self) -> Tensor:
        return self.images[: self.pinned]

    @property
    def others(self) -> Tensor:
        return self.images[self.pinned :]


class Clone:
    r"""The generator :math:`G_\theta` of ``n`` photos, pinned at their codes :math:`w^*`.

    Args:
        G: the generator to copy; never changed.
        ws: starting codes ``[n, num_ws, w_dim]``.
        lr_G, lr_latent, lr_noise: Adam's learning rates for the weights, the codes and what is added to the noise maps; 0 leaves the codes alone.
        tune_noise: whether the photos' constant noise maps are tuned.
        betas: of Adam.
        max_travel: how far a code may get from its start, as :func:`distance` measures it; ``None`` sets no limit.

    Attributes:
        G, weights: the copy, and its parameters that move.
        ws: the codes, ``ws_start`` those at the start.
        offsets: what is added to the photos' activations through their noise maps, ``{layer: [n, 1, r, r]}``. This is what is tuned, and not
            the maps: their strengths differ by orders of magnitude from layer to layer, and stay fixed.
    """

    def __init__(
        self,
        G: Generator,
        ws: Tensor,
        lr_G: float,
        lr_latent: float = 0.0,
        lr_noise: float = 0.0,
        tune_noise: bool = False,
        betas: tuple[float, float] = (0.9, 0.999),
        max_travel: float | None = None,
    ):
        self.original = G
        self.G, self.weights = trainable_copy(G)
        self.ws, self.ws_start, self.max_travel = ws.clone().requires_grad_(lr_latent > 0), ws, max_travel
        self.own, self.units = G.synthesis.noise(), noise_units(G)
        self.offsets = {
            name: maps.new_zeros(len(ws), *maps.shape[1:]).requires_grad_()
            for name, maps in self.own.items()
            if tune_noise
        }
        moved: list[tuple[list[Tensor], float]] = [
            ([*self.weights], lr_G),
            ([*self.offsets.values()], lr_noise),
            ([self.ws], lr_latent),
        ]
        self.adam = torch.optim.Adam(
            [{"params": tensors, "lr": lr} for tensors, lr in moved if tensors and lr], betas=betas, fused=True
        )
        self._rates = [group["lr"] for group in self.adam.param_groups]

    @property
    def tensors(self) -> Sequence[Tensor]:
        """All that may move."""
        return [*self.weights, *self.offsets.values(), self.ws]

    @property
    def state(self) -> dict[str, Any]:
        """What an interrupted run keeps."""
        return {"G": self.G, "ws": self.ws, "offsets": self.offsets, "adam_G": self.adam}

    @property
    def noise(self) -> dict[str, Tensor]:
        """The noise maps of the photos, ``[n or 1, 1, r, r]`` by layer."""
        return pinned_noise(self.own, self.units, self.offsets)

    def reconstruct(self) -> Tensor:
        """The photos as the clone draws them, ``[n, 3, R, R]``."""
        return self.G.synthesis(self.ws, noise=self.noise)

    def draw(self, pinned: bool, fresh: int, random: torch.Generator) -> Fakes:
        """Where ``pinned``, the photos with their own noise; and ``fresh`` random images with fresh noise: all in one synthesis."""
        n = len(self.ws) if pinned else 0
        codes, noise, ws, drawn = ([self.ws], self.noise, None, {}) if pinned else ([], {}, None, {})
        if fresh:
            ws = self.G.mapping(randn([fresh, self.G.z_dim], random, self.G.device))
            drawn = self.original.synthesis.random_noise(fresh, random)
            noise = {
                name: torch.cat([noise[name].expand(n, -1, -1, -1), maps]) if pinned else maps
                for name, maps in drawn.items()
            }
            codes = [*codes, ws]
        return Fakes(self.G.synthesis(torch.cat(codes), noise=noise), n, ws, drawn)

    def untouched(self, fake: Fakes) -> Tensor:
        """What the generator drew of the random images' codes and noise before it was tuned, ``[fresh, 3, R, R]``."""
        with torch.no_grad():
            return self.original.synthesis(fake.ws, noise=fake.noise)

    def step(self, loss: Tensor, rate: float = 1.0) -> None:
        """One step of Adam down ``loss``, at ``rate`` times the learning rates; codes that got too far are pulled back to the limit."""
        for group, lr in zip(self.adam.param_groups, self._rates, strict=True):
            group["lr"] = lr * rate
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        if self.max_travel is not None:
            with torch.no_grad():
                allowed = (self.max_travel / self.travel.clamp(min=1e-12)).clamp(max=1)[:, None, None]
                self.ws.copy_(self.ws_start + (self.ws - self.ws_start) * allowed)

    @property
    def travel(self) -> Tensor:
        """How far the codes are from their starts, ``[n]``."""
        return distance(self.ws.detach(), self.ws_start)

    def deltas(self) -> Deltas:
        """What was added to the weights, rounded to float16."""
        return make_deltas(self.original, self.G)


def noise_units(G: Generator) -> dict[str, Tensor]:
    """What a noise map is multiplied with before it joins the activations, by layer, kept away from zero."""
    strengths = {name: G.synthesis.get_parameter(f"{name}.noise_strength").detach() for name in G.synthesis.conv_names}
    return {name: strength.abs().clamp(min=1e-6).copysign(strength) for name, strength in strengths.items()}


def pinned_noise(own: dict[str, Tensor], units: dict[str, Tensor], offsets: dict[str, Tensor]) -> dict[str, Tensor]:
    """The noise maps of the photos: the generator's ``own`` plus what the ``offsets`` add to the activations, in ``units`` of the maps."""
    return own | {name: own[name] + offset / units[name] for name, offset in offsets.items()}
