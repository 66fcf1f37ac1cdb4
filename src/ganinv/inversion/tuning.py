"""What PTI and near-perfect inversion share: a copy of the generator whose synthesis network is tuned to one photo."""

from __future__ import annotations

import copy

from torch import nn

from ..stylegan2 import Generator


def trainable_copy(G: Generator) -> tuple[Generator, list[nn.Parameter]]:
    """A copy of ``G`` and the parameters that tuning moves: all of the synthesis network but ``noise_strength``.

    The mapping network stays as it is, so directions in W keep their meaning; noise strengths stay, because raising them would change
    every other image of the generator.
    """
    clone = copy.deepcopy(G).requires_grad_(False)
    parameters = [p for name, p in clone.synthesis.named_parameters() if not name.endswith("noise_strength")]
    for p in parameters:
        p.requires_grad_(True)
    return clone, parameters
