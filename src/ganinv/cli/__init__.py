"""The command ``ganinv``, a file a command.

Everything heavy is imported inside the commands, so that help and wrong usage answer at once.
"""

from __future__ import annotations

# In the order in which help lists the commands.
from . import invert, edit, recover, compare, ablate, study_edits, study_recovery, methods, models, inspect  # isort: skip
from . import convert, train_data, train_gan, train_domain, train_encoder  # isort: skip
from . import train_labels, train_attributes, train_directions  # isort: skip
from .app import app, main

__all__ = [
    "ablate",
    "app",
    "compare",
    "convert",
    "edit",
    "inspect",
    "invert",
    "main",
    "methods",
    "models",
    "recover",
    "study_edits",
    "study_recovery",
    "train_attributes",
    "train_data",
    "train_directions",
    "train_domain",
    "train_encoder",
    "train_gan",
    "train_labels",
]
