"""Train HFGI's consultation: bring back what the frozen basic encoder's image lacks (Wang et al. 2022, section 3; weights of the authors' code).

The distortion map is what the photo has and the reconstruction has not, where it belongs. It is warped by a random perspective first, and ADA
learns, supervised by the map itself, to undo that. The paper's adversarial term is switched off in the authors' released code, and not here either.
Kept: the weights, the perspective, the batch of 8. Scaled: the steps, 100,000 there, with Adam in Ranger's place. Ours: half of the images are
generated, each image gets a perspective of its own (one a batch there), and the constant noise is on (random noise there).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import RandomPerspective

from ..devices import randint
from ..encoders.consultation import Consultation
from ..encoders.style import StyleEncoder
from ..encoders.weights import identity
from ..inversion.hfgi import low_fidelity
from ..run import Callback, Loop, Resume, alone
from ..settings import Count, Several, Share, Weight
from ..zoo import Bundle
from .encoders import Batches, EncoderConfig, Losses, Recipe, Run, learning_rate


@dataclass
class HFGIConfig(EncoderConfig):
    """HFGI's recipe: pixels, perceptual distance and similarity as for pSp. The code is not trained, so ``lambda_latent`` has nothing to weigh.

    Attributes:
        lambda_alignment: weight of the mean absolute difference between the aligned map and the one before the perspective.
        distortion_scale: how far the perspective may move a corner, as a part of half the image's size.
        misaligned: the part of the maps that gets a perspective at all.
    """

    steps: Count = 1000
    batch: Several = 8
    lambda_latent: Weight = 0.0
    lambda_alignment: Weight = 0.1
    distortion_scale: Share = 0.15
    misaligned: Share = 0.9


@alone()
def train_hfgi(
    gan: Bundle,
    config: HFGIConfig | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
    *,
    start: StyleEncoder,
) -> Run:
    """Train a consultation for ``gan`` and the trained encoder ``start`` (e4e's), which both stay as they are."""
    config = config or HFGIConfig()
    G, w_avg = gan.G, gan.G.mapping.w_avg
    torch.manual_seed(config.seed)
    consultation, start = gan.place(Consultation.for_generator(G)), gan.place(start).eval()
    batches, losses = Batches(gan, config), Losses(gan, config)
    perspective = RandomPerspective(config.distortion_scale, p=config.misaligned)
    adam = torch.optim.Adam(consultation.parameters(), lr=config.lr, betas=(0.9, 0.99), foreach=True)
    run = Run("hfgi", consultation, gan, config, basic_encoder=identity(start))
    loop = Loop(
        "hfgi", config.steps, callback, resume, consultation=consultation, adam=adam, batches=batches, **run.state
    )
    for step in loop:
        adam.param_groups[0]["lr"] = learning_rate(config, step)
        images, ws = batches.draw()
        with torch.no_grad():
            codes = w_avg + start(images)
        reconstruction = low_fidelity(G, codes)
        distortion = consultation.scaled(images - reconstruction)
        fusion, aligned = consultation(
            misalign(distortion, perspective, batches.random), consultation.scaled(reconstruction)
        )
        terms = losses(G.synthesis(codes, fusion=fusion, noise=batches.noise(len(codes))), images, codes, ws[:0])
        terms["alignment"] = F.l1_loss(aligned, distortion)
        adam.zero_grad()
        losses.total(terms).backward()
        adam.step()
        run.record(step, terms)
        loop.report(**terms)
    return run


def misalign(distortion: Tensor, perspective: RandomPerspective, random: torch.Generator) -> Tensor:
    """Every map ``[N, 3, S, S]`` by a perspective of its own, drawn with ``random`` (torchvision itself draws from the global state)."""
    seed = int(randint(2**31, [1], random))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.stack([perspective(one) for one in distortion]).contiguous(memory_format=torch.channels_last)


RECIPES = {"hfgi": Recipe(train_hfgi, HFGIConfig(), "e4e", start_needed=True)}
