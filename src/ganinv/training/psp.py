"""Train pSp: reconstruct through the frozen generator (Richardson et al. 2021, section 3; weights of its FFHQ recipe)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..encoders.style import StyleEncoder
from ..run import Callback, Loop, Resume, alone
from ..settings import Weight
from ..zoo import Bundle
from .encoders import Batches, EncoderConfig, Losses, Recipe, Run, learning_rate, warm_start


@dataclass
class PSPConfig(EncoderConfig):
    """pSp's recipe; its norm of w+ - w_avg (.005 in its other tasks) is off for inversion, and off here."""

    lambda_norm: Weight = 0.0


@alone()
def train_psp(
    gan: Bundle,
    config: PSPConfig | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
    start: StyleEncoder | None = None,
) -> Run:
    """Train an encoder for ``gan``; with ``start``, from the trunk of another."""
    config = config or PSPConfig()
    G, w_avg = gan.G, gan.G.mapping.w_avg
    torch.manual_seed(config.seed)
    encoder = gan.place(StyleEncoder(G.img_resolution, G.num_ws, G.w_dim))
    warm_start(encoder, start)
    batches, losses = Batches(gan, config), Losses(gan, config)
    adam = torch.optim.Adam(encoder.parameters(), lr=config.lr, betas=(0.9, 0.99), foreach=True)
    run = Run("psp", encoder, gan, config)
    loop = Loop("psp", config.steps, callback, resume, encoder=encoder, adam=adam, batches=batches, **run.state)
    for step in loop:
        adam.param_groups[0]["lr"] = learning_rate(config, step)
        images, ws = batches.draw()
        codes = w_avg + encoder(images)
        terms = losses(G.synthesis(codes, noise=batches.noise(len(codes))), images, codes, ws)
        terms["norm"] = (codes - w_avg).norm(dim=(1, 2)).mean()
        adam.zero_grad()
        losses.total(terms).backward()
        adam.step()
        run.record(step, terms)
        loop.report(**terms)
    return run


RECIPES = {"psp": Recipe(train_psp, PSPConfig(), trunk="psp")}
