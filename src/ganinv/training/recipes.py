"""The recipes of all encoders, by method: what `ganinv train encoder` runs, and what the encoders of ``faces64`` were trained with."""

from __future__ import annotations

from importlib import import_module

from ..inversion import METHODS
from .encoders import Recipe

RECIPES: dict[str, Recipe] = {
    name: import_module(f".{entry.recipe}", __package__).RECIPES[name]
    for name, entry in METHODS.items()
    if entry.recipe
}
