r"""Where a method stands: in which space its code lies, what else of a photo it leaves, and what it cannot do without.

Nothing of this is written down for a method, so it holds for one that was registered a moment ago, too. Every method is run for a few steps on a
random generator of 32 pixels with untrained encoders, once with all there is, and again without the encoders, without the discriminator, and without
the training images: :func:`places`. What a finished inversion of a real generator is made of is told by :func:`space_of`, :func:`unknowns` and
:func:`from_home`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from ..errors import GanInvError
from ..inversion import METHODS, Inversion
from ..inversion.result import distance
from ..photos import to_uint8
from ..run import alone
from ..settings import shortened
from ..stylegan2 import Discriminator, Generator
from ..stylegan2.controls import BASE, GAIN, NOISE, SHIFT, STYLES, WEIGHTS
from ..zoo import Bundle
from .profiles import suited

STEPS = 3  # one is too few: searches begin with a learning rate of 0
NO, STAND_IN, YES = "no", "or a stand-in", "yes"
WITHOUT: dict[str, dict[str, Any]] = {"encoder": {"encoders": {}}, "D": {"D": None}, "images": {"reference": None}}
WORDS = {
    NOISE: "noise maps",
    BASE: "feature maps",
    GAIN: "gains and shifts",
    SHIFT: "gains and shifts",
    STYLES: "styles",
    WEIGHTS: "weights",
}


@dataclass(frozen=True)
class Place:
    """A method's place.

    Attributes:
        method, kind: as registered.
        space: of the code: ``"Z"``, ``"W"`` or ``"W+"``, or ``"F/W+"`` where feature maps take the place of the coarse rows.
        besides: what of a photo is kept besides its code, in words; empty, where the code is all.
        encoder, D, images: whether it needs an encoder, the discriminator, training images: ``"no"``, ``"yes"``, or ``"or a stand-in"`` where
            :func:`ganinv.study.profiles.suited` finds one for a bundle that has none.
    """

    method: str
    kind: str
    space: str
    besides: tuple[str, ...]
    encoder: str
    D: str
    images: str


def places(configs: Mapping[str, Any] | None = None) -> list[Place]:
    """The place of every registered method, in their order, found by running it (some seconds in all).

    Args:
        configs: configurations by method, in the place of its own; of these methods alone.
    """
    chosen = {name: entry.config for name, entry in METHODS.items()} if configs is None else configs
    with laboratory() as (gan, target):
        return [_place(gan, target, name, config) for name, config in chosen.items()]


def _place(gan: Bundle, target: Tensor, name: str, config: Any) -> Place:
    found = METHODS[name].function(gan, target, shortened(config, STEPS))
    nothing = {key: value for part in WITHOUT.values() for key, value in part.items()}
    if _works(dataclasses.replace(gan, **nothing), target, name, config):
        needs = dict.fromkeys(WITHOUT, NO)
    else:
        needs = {part: _need(dataclasses.replace(gan, **left), target, name, config) for part, left in WITHOUT.items()}
    return Place(name, METHODS[name].kind, space_of(found), besides(found), **needs)


def _need(gan: Bundle, target: Tensor, name: str, config: Any) -> str:
    """How much a method needs what ``gan`` comes without."""
    if _works(gan, target, name, config):
        return NO
    return STAND_IN if _works(gan, target, name, suited(config, gan)) else YES


def _works(gan: Bundle, target: Tensor, name: str, config: Any) -> bool:
    try:
        METHODS[name].function(gan, target, shortened(config, STEPS))
    except GanInvError:
        return False
    return True


@contextmanager
def laboratory() -> Iterator[tuple[Bundle, Tensor]]:
    """A random StyleGAN2 of 32 pixels with its discriminator, training images and untrained encoders of all kinds, and a photo
    ``[1, 3, 32, 32]``."""
    from ..training.recipes import RECIPES  # training is needed by nobody else here

    size = dict(img_resolution=32, channel_base=256, channel_max=16)
    with TemporaryDirectory() as folder:
        with alone(), torch.no_grad():
            torch.manual_seed(0)
            G, D = Generator(z_dim=16, w_dim=16, num_layers=2, **size), Discriminator(**size)
            images = G.synthesis(G.mapping(torch.randn(9, G.z_dim))).clamp(-1, 1)
        gan = Bundle("laboratory", G, D, reference=to_uint8(images[1:]))
        for name, recipe in RECIPES.items():
            config = dataclasses.replace(recipe.config, steps=0, batch=4, seen=0, warmup=1, lambda_latent=0.0)
            start = {"start": gan.encoder(recipe.start)} if recipe.start else {}
            gan.encoders[name] = recipe.train(gan, config, **start).save(folder, 0.0)
        yield gan, images[:1]


# -- of a finished inversion -------------------------------------------------------------------------------------------


def space_of(inversion: Inversion) -> str:
    """The space that a code lies in, see :class:`Place`: by its rows, which are all the same in W; a code of Z is told by the configuration."""
    alike = torch.equal(inversion.ws, inversion.ws[:, :1].expand_as(inversion.ws))
    code = "W" if alike else "W+"
    if inversion.config.get("space") == "z":
        code = "Z"
    return f"F/{code}" if inversion.base else code


def besides(inversion: Inversion) -> tuple[str, ...]:
    """What an inversion consists of besides its code, in words, each once."""
    kinds = [key.split("/")[0] for key in inversion.controls]
    return tuple(dict.fromkeys(WORDS[kind] for kind in kinds))


def unknowns(inversion: Inversion) -> int:
    """How many numbers say all about one photo: its code, and a row of each of its controls (noise maps, feature maps, changes of the weights)."""
    G = inversion.gan.G
    code = {"Z": G.z_dim, "W": G.w_dim}.get(space_of(inversion), G.num_ws * G.w_dim)
    return code + sum(tensor[0].numel() for tensor in inversion.controls.values())


def from_home(inversion: Inversion) -> list[float]:
    """How far each code is from ``w_avg``, in units of :attr:`Bundle.sigma_w`, root mean square over its rows.

    The mapping network's own codes are at 1 in the root mean square, and edits are learned from them: the farther away, the less the edits are known
    to mean (Tov et al. 2021).
    """
    gan = inversion.gan
    return (distance(inversion.ws, gan.G.mapping.w_avg.to(inversion.ws)) / gan.sigma_w).tolist()
