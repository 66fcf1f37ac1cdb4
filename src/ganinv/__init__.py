"""GAN inversion: find a photo inside a generator, tune the generator until the reconstruction is nearly perfect, and edit it.

.. code-block:: python

    gan = ganinv.load("faces64")                # a generator that ships, with its discriminator
    result = ganinv.invert("photo.jpg", gan)    # method="near-perfect" by default
    result.image, result.ws, result.generator, result.scores, result.history
    result.save("clone/")
    ganinv.Inversion.load("clone/", gan)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import GanInvError

if TYPE_CHECKING:
    from .api import invert
    from .inversion import METHODS, Inversion
    from .zoo import Bundle, load, models

__version__ = "0.1.0"
__all__ = ["METHODS", "Bundle", "GanInvError", "Inversion", "invert", "load", "models"]

# PyTorch takes seconds to import, so whatever needs it is imported when it is first asked for: the command's help does not.
_HOMES = {
    "METHODS": "inversion",
    "Inversion": "inversion",
    "invert": "api",
    "Bundle": "zoo",
    "load": "zoo",
    "models": "zoo",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if not name.startswith("_"):
        try:
            return import_module(f".{name}", __name__)  # ganinv.plots and the like, without an import of their own
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
