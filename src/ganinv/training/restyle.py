"""Train ReStyle over pSp or e4e: several passes a batch, a loss after each (Alaluf et al. 2021).

Every pass is followed by its own losses and ``backward``; the code and the image that it hands on are detached, so that gradients do not flow
from one pass to the one before but add up, and one step of the optimiser ends the batch. As in the authors' code, e4e's critic sees the codes
of the first pass alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from ..devices import randint
from ..encoders.style import StyleEncoder
from ..run import Callback, Loop, Resume, alone
from ..settings import Count, Positive, Several, one_of
from ..zoo import Bundle
from .e4e import Critic, E4EConfig, offsets_length, unlocked
from .encoders import Batches, Losses, Recipe, Run, learning_rate, warm_start


@dataclass
class ReStyleConfig(E4EConfig):
    """ReStyle's recipe, with its batch of 8.

    Attributes:
        over: ``"psp"`` or ``"e4e"``: whose losses (and, for e4e, whose vector with offsets).
        iterations: passes a batch (5 in the paper).
    """

    over: Annotated[str, one_of("psp", "e4e")] = "psp"
    iterations: Positive = 3
    steps: Count = 3600
    batch: Several = 8
    seen: Count = 2


@alone()
def train_restyle(
    gan: Bundle,
    config: ReStyleConfig | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
    start: StyleEncoder | None = None,
) -> Run:
    """Train an encoder for ``gan``; with ``start``, from the trunk of another."""
    config = config or ReStyleConfig()
    G, w_avg = gan.G, gan.G.mapping.w_avg
    torch.manual_seed(config.seed)
    near_w = config.over == "e4e"
    encoder = gan.place(
        StyleEncoder(G.img_resolution, G.num_ws, G.w_dim, in_channels=6, pyramid=False, progressive=near_w)
    )
    warm_start(encoder, start)
    critic = Critic(gan, config) if near_w else None
    batches, losses = Batches(gan, config), Losses(gan, config)
    adam = torch.optim.Adam(encoder.parameters(), lr=config.lr, betas=(0.9, 0.99), foreach=True)
    run = Run(f"restyle-{config.over}", encoder, gan, config)
    state = critic.state if critic else {}
    loop = Loop(
        run.method, config.steps, callback, resume, encoder=encoder, adam=adam, batches=batches, **state, **run.state
    )
    with torch.no_grad():
        average = G.synthesis(w_avg.expand(1, G.num_ws, -1))
    for step in loop:
        encoder.stage = unlocked(config, G.num_ws, step) if near_w else G.num_ws - 1
        adam.param_groups[0]["lr"] = learning_rate(config, step)
        images, exact = batches.draw()
        ws, image = w_avg.expand(len(images), G.num_ws, -1), average.expand(len(images), -1, -1, -1)
        recorded = {}
        adam.zero_grad()
        for t in range(config.iterations):
            ws = ws + encoder(torch.cat([images, image], dim=1))
            image = G.synthesis(ws, noise=batches.noise(len(ws)))
            terms = losses(image, images, ws, exact)
            if critic:
                terms["delta"] = offsets_length(ws)
                if t == 0:
                    active = ws[:, : encoder.stage + 1]
                    recorded["critic"] = critic.train(
                        active[:, int(randint(encoder.stage + 1, [], critic.random))], step
                    )
                    terms["adv"] = critic.opinion(active.flatten(0, 1))
            losses.total(terms).backward()
            ws, image = ws.detach(), image.detach()
            recorded |= {f"l2_{t + 1}": terms["l2"]}
        adam.step()
        run.record(step, recorded | terms)
        loop.report(**recorded, **terms)
    return run


RECIPES = {
    "restyle-psp": Recipe(train_restyle, ReStyleConfig(over="psp"), "psp"),
    "restyle-e4e": Recipe(train_restyle, ReStyleConfig(over="e4e", steps=1000), "e4e"),
}
