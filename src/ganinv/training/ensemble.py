"""Train Ensemble's masked encoder: the code of a generated image of which a part is hidden (Chai et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import rand, randn
from ..encoders.masked import MaskedEncoder
from ..encoders.style import StyleEncoder
from ..run import Callback, Loop, Resume, alone
from ..settings import Count, Share, Weight
from ..zoo import Bundle
from .encoders import Batches, EncoderConfig, Losses, Recipe, Run, learning_rate


@dataclass
class EnsembleConfig(EncoderConfig):
    """pSp's weights and images, from pSp's encoder on. The authors weigh pixels, perceptual distance, latent and similarity (a face recognition
    network's) 1 each, and train at 1e-4 on 1,500 times 1,600 generated images alone: an encoder that has to fill in and has seen no photo is weaker
    than pSp where nothing is hidden. All losses compare with the whole image, so the encoder learns to fill in what it does not see.

    Attributes:
        unmasked: part of the images that nothing is hidden of. Ours, as is the form of the masks: see :func:`random_masks`.
        travelled: how far along the straight line from pSp's weights to those at the end of the training the encoder is taken. A little short of the
            end (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models") it is better where nothing is hidden, and hardly worse at filling in.
    """

    steps: Count = 3000
    lr: Weight = 5e-4
    unmasked: Share = 0.5
    travelled: Share = 0.8


@alone()
def train_ensemble(
    gan: Bundle,
    config: EnsembleConfig | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
    start: StyleEncoder | None = None,
) -> Run:
    """Train an encoder for ``gan``; with ``start``, from pSp's on."""
    config = config or EnsembleConfig()
    G, w_avg = gan.G, gan.G.mapping.w_avg
    torch.manual_seed(config.seed)
    encoder = gan.place(MaskedEncoder(G.img_resolution, G.num_ws, G.w_dim))
    if start is not None:
        encoder.begin_as(start)
    batches, losses = Batches(gan, config), Losses(gan, config)
    random = torch.Generator().manual_seed(config.seed + 1)
    adam = torch.optim.Adam(encoder.parameters(), lr=config.lr, foreach=True)
    run = Run("ensemble", encoder, gan, config)
    loop = Loop(
        "ensemble",
        config.steps,
        callback,
        resume,
        encoder=encoder,
        adam=adam,
        batches=batches,
        random=random,
        **run.state,
    )
    for step in loop:
        adam.param_groups[0]["lr"] = learning_rate(config, step)
        images, ws = batches.draw()
        masks = gan.place(random_masks(len(images), G.img_resolution, config.unmasked, random))
        codes = w_avg + encoder(images, masks)
        terms = losses(G.synthesis(codes, noise=batches.noise(len(codes))), images, codes, ws)
        adam.zero_grad()
        losses.total(terms).backward()
        adam.step()
        run.record(step, terms)
        loop.report(**terms)
    if start is not None:
        fall_short(encoder, start, config.travelled)
    return run


@torch.no_grad()
def fall_short(encoder: MaskedEncoder, start: StyleEncoder, travelled: float) -> None:
    """Move the weights of ``encoder`` to the point ``travelled`` of the line from ``start`` to where they are."""
    end = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    encoder.begin_as(start)
    for name, tensor in encoder.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(end[name], travelled)
        else:
            tensor.copy_(end[name])


def random_masks(n: int, size: int, unmasked: float, random: torch.Generator) -> Tensor:
    """Masks ``[n, 1, size, size]`` of zeros and ones, one where the image is known.

    By chance a mask is all ones (the part ``unmasked``), hides a rectangle, leaves only a rectangle, or hides soft blobs of a random amount.
    Rectangles have sides from a quarter to three quarters of the image.
    """
    kind = rand([n], random)
    part = (kind - unmasked) / (1 - unmasked)  # below 0: unmasked; then a third each
    sides = rand([n, 2], random) * 0.5 + 0.25
    corner = rand([n, 2], random) * (1 - sides)
    pixel = (torch.arange(size, device=kind.device, dtype=kind.dtype) + 0.5) / size
    inside = (pixel >= corner[..., None]) & (pixel < (corner + sides)[..., None])  # [n, 2, size]: rows, columns
    rectangle = inside[:, 0, :, None] & inside[:, 1, None, :]
    noise = F.interpolate(randn([n, 1, 5, 5], random), size=(size, size), mode="bicubic")[:, 0]
    blobs = noise > randn([n, 1, 1], random) * 0.5
    part = part[:, None, None]
    known = torch.where(part < 1 / 3, ~rectangle, torch.where(part < 2 / 3, rectangle, blobs)) | (part < 0)
    return known[:, None].float()


RECIPES = {"ensemble": Recipe(train_ensemble, EnsembleConfig(), "psp")}
