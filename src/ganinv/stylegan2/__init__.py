"""StyleGAN2 in plain PyTorch: exact to the official network, fast on a CPU, readable."""

from .discriminator import Discriminator
from .generator import Generator, truncate

__all__ = ["Discriminator", "Generator", "truncate"]
