"""What a history can hold beside the losses: how hard each term pulls at the weights, and what becomes of the rest of the manifold.

Neither draws from a random generator of the run, so looking changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import GanInvError
from ..perception.frechet import FrechetStatistics, frechet_distance, generator_statistics
from ..stylegan2 import Generator

if TYPE_CHECKING:
    from ..zoo import Bundle


def due(step: int, interval: int) -> bool:
    """Whether ``step`` is one at which to look; ``interval`` 0 is never."""
    return interval > 0 and step % interval == 0


def gradient_norms(terms: Mapping[str, Tensor], weights: Sequence[Tensor]) -> dict[str, float]:
    """``grad_<term>``: the length of the gradient of each term (of its mean over the photos) in all the ``weights``; the graphs are kept."""
    norms = {}
    for name, term in terms.items():
        gradients = torch.autograd.grad(term.mean(), weights, retain_graph=True, materialize_grads=True)
        norms[f"grad_{name}"] = torch.stack([g.norm() for g in gradients]).norm().item()
    return norms


def frechet(gan: Bundle, G: Generator, samples: int) -> float:
    """Fréchet distance of ``samples`` random images of ``G`` to the bundle's training images, with the same codes and random noise at every call.

    Raises:
        GanInvError: the bundle has no statistics of training images.
    """
    real = training_statistics(gan)
    return frechet_distance(generator_statistics(G, samples, seed=0, features=real.features), real)


def training_statistics(gan: Bundle) -> FrechetStatistics:
    """What Fréchet distances are measured from; a run that will need it asks before it begins.

    Raises:
        GanInvError: the bundle has none.
    """
    if gan.statistics is None:
        raise GanInvError(
            f"{gan.name} comes without statistics of training images to measure a Fréchet distance from: set history_frechet=0."
        )
    return gan.statistics
