"""The recipes of all encoders, by method: what `ganinv train encoder` runs, and what the encoders of ``faces64`` were trained with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .bdinvert import BDInvertConfig, train_bdinvert
from .e4e import E4EConfig, train_e4e
from .encoders import EncoderConfig, Run
from .ensemble import EnsembleConfig, train_ensemble
from .hfgi import HFGIConfig, train_hfgi
from .psp import PSPConfig, train_psp
from .restyle import ReStyleConfig, train_restyle


@dataclass(frozen=True)
class Recipe:
    """How the encoder of a method is trained.

    Attributes:
        train: ``train(gan, config, callback, resume, start) -> Run``, without ``start`` where there is none.
        start: the encoder that training takes: HFGI's basic encoder, which stays as it is, or the one whose trunk ReStyle and Ensemble
            begin with.
        start_needed: whether there is no training without it.
    """

    train: Callable[..., Run]
    config: EncoderConfig
    start: str = ""
    start_needed: bool = False


RECIPES = {
    "psp": Recipe(train_psp, PSPConfig()),
    "e4e": Recipe(train_e4e, E4EConfig()),
    "restyle-psp": Recipe(train_restyle, ReStyleConfig(over="psp"), "psp"),
    "restyle-e4e": Recipe(train_restyle, ReStyleConfig(over="e4e", steps=2400), "e4e"),
    "bdinvert": Recipe(train_bdinvert, BDInvertConfig()),
    "hfgi": Recipe(train_hfgi, HFGIConfig(), "e4e", start_needed=True),
    "ensemble": Recipe(train_ensemble, EnsembleConfig(), "psp"),
}
