"""The command ``ganinv``, a file a command.

Everything heavy is imported inside the commands, so that help and wrong usage answer at once.
"""

from __future__ import annotations

# In the order in which help lists the commands.
from . import invert, compare, ablate, models, inspect, convert, train_data, train_gan, train_encoder  # isort: skip
from .app import app, main

__all__ = ["ablate", "app", "compare", "convert", "inspect", "invert", "main", "models", "train_data", "train_encoder", "train_gan"]
