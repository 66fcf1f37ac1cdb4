"""Train BDInvert's base code encoder: draw a generated image again from its base code and its own w (Kang et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..encoders.base_code import BaseCodeEncoder, base_size
from ..run import Callback, Loop, Resume, alone
from ..settings import Count, Number, Share, Weight
from ..stylegan2.generator import SynthesisLayer
from ..zoo import Bundle
from .encoders import EncoderConfig, Losses, Recipe, Run

TRUNCATED = 8 / 18  # the paper truncates the codes of 8 layers of 18


@dataclass
class BDInvertConfig(EncoderConfig):
    """The authors' recipe, on generated images alone: Adam at 1e-3, squared error, and a perceptual distance that counts 10 (by VGG16; an eighth of
    it here, as everywhere). They take 10,000 steps and divide the learning rate by 10 every 2,000; a short run cannot afford to stand still
    for the last 6,000, so it does so twice, late. Of the shared recipe, ``real``, ``warmup``, ``constant`` and ``lambda_latent`` are not used.

    Attributes:
        decays: parts of the run after which the learning rate is divided by 10.
        psi: truncation of the codes drawn, on the coarse layers.
    """

    steps: Count = 600
    real: Share = 0.0
    decays: tuple[float, ...] = (0.6, 0.85)
    psi: Number = 0.7
    lambda_perceptual: Weight = 1.25
    lambda_similarity: Weight = 0.0


@alone()
def train_bdinvert(
    gan: Bundle, config: BDInvertConfig | None = None, callback: Callback | None = None, resume: Resume | None = None
) -> Run:
    """Train an encoder for ``gan``."""
    config = config or BDInvertConfig()
    G = gan.G
    torch.manual_seed(config.seed)
    size = base_size(G.img_resolution)
    layer = G.synthesis.layer(f"b{size}.conv0")
    assert isinstance(layer, SynthesisLayer)
    encoder = gan.place(BaseCodeEncoder(size, layer.weight.shape[0]))
    random = torch.Generator().manual_seed(config.seed)
    losses = Losses(gan, config)
    adam = torch.optim.Adam(encoder.parameters(), lr=config.lr, foreach=True)
    run = Run("bdinvert", encoder, gan, config)
    loop = Loop("bdinvert", config.steps, callback, resume, encoder=encoder, adam=adam, random=random, **run.state)
    for step in loop:
        adam.param_groups[0]["lr"] = config.lr * 0.1 ** sum(step >= part * config.steps for part in config.decays)
        with torch.no_grad():
            z = gan.randn([config.batch, G.z_dim], random)
            ws = G.mapping(z, config.psi, round(TRUNCATED * G.num_ws))
            first, second = (G.synthesis.random_noise(len(ws), random) if config.random_noise else {} for _ in range(2))
            images = G.synthesis(ws, noise=first)
        result = G.synthesis(ws, noise=second, base={encoder.layer: encoder(images)})
        terms = losses(result, images, ws[:0], ws[:0])  # w is given, not found
        adam.zero_grad()
        losses.total(terms).backward()
        adam.step()
        run.record(step, terms)
        loop.report(**terms)
    return run


RECIPES = {"bdinvert": Recipe(train_bdinvert, BDInvertConfig())}
