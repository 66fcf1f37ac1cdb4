"""Checkpoints, read without trusting them: ganinv's own, NVIDIA's, rosinality's and the pSp family's."""

from .checkpoint import Checkpoint
from .convert import convert, detect, inspect, load, save
from .native import save_checkpoint as save_native
from .nvlabs import save_nvlabs
from .rosinality import save_rosinality

__all__ = [
    "Checkpoint",
    "convert",
    "detect",
    "inspect",
    "load",
    "save",
    "save_native",
    "save_nvlabs",
    "save_rosinality",
]
