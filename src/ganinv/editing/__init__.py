"""Editing: directions in W, W+ and S, one file a way to find them, and one way to draw whatever they change.

.. code-block:: python

    from ganinv.editing import directions

    known = directions(gan)                                  # those that ship, by name
    inversion.render(known["smile"].at(1.5) + known["glasses"].at(1))

:mod:`ganinv.editing.measure` says how good a direction is, and what an inversion method leaves of it.
"""

from __future__ import annotations

from .dci import DCI, dci
from .direction import Direction, Edit, Move
from .files import directions, load_direction, save_direction
from .ganspace import PCA
from .gradients import Gradients, gradients, isolated
from .interfacegan import boundary, interfacegan
from .sefa import sefa
from .stylespace import attribute_channel, channel, channel_statistics, gradient_maps, local_channels, relevance, within

__all__ = [
    "DCI",
    "PCA",
    "Direction",
    "Edit",
    "Gradients",
    "Move",
    "attribute_channel",
    "boundary",
    "channel",
    "channel_statistics",
    "dci",
    "directions",
    "gradient_maps",
    "gradients",
    "interfacegan",
    "isolated",
    "load_direction",
    "local_channels",
    "relevance",
    "save_direction",
    "sefa",
    "within",
]
