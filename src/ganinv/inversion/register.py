"""The register of methods: what each says of itself where it is written.

The command and its help, ``compare``, the claims and the training recipes read :data:`METHODS`; a method is added by writing its file::

    @method("mean", Mean(), "draw the average face", ENCODER)
    def mean(gan, target, config=None, callback=None, resume=None) -> Inversion: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from torch import Tensor

from ..photos import check_images
from ..run import alone

if TYPE_CHECKING:
    from ..stylegan2.controls import Controls
    from ..zoo import Bundle
    from .result import Inversion

ENCODER, PASSES, SEARCH, TUNING = "one pass of an encoder", "a few passes", "search", "tunes the generator"

Adapt = Callable[["Inversion", Tensor, Mapping[str, Tensor]], "Controls"]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Method:
    """A named method.

    Attributes:
        function: ``function(gan, target, config, callback, resume) -> Inversion``.
        config: its default configuration.
        summary: a line that says what it is.
        kind: how it works, :data:`ENCODER`, :data:`PASSES`, :data:`SEARCH` or :data:`TUNING`.
        recipe: the module of ``ganinv.training`` that trains its encoder; empty where it has none of its own.
        adapt: ``adapt(inversion, ws, styles) -> Controls``, where other codes are not drawn with the controls of the photo's own
            (HFGI aligns what it fuses with the edited image).
    """

    function: Callable[..., Inversion]
    config: Any
    summary: str
    kind: str = SEARCH
    recipe: str = ""
    adapt: Adapt | None = None


METHODS: dict[str, Method] = {}


def method(
    name: str, config: Any, summary: str, kind: str, recipe: str = "", adapt: Adapt | None = None
) -> Callable[[F], F]:
    """Register the function below under ``name``; see :class:`Method`. Whoever calls it, it receives its photos as
    :func:`~ganinv.photos.check_images` returns them, on the bundle's device, and runs :func:`~ganinv.run.alone`; its :class:`Inversion` comes back on
    the CPU.

    Raises:
        ValueError: the name is taken.
    """

    def register(function: F) -> F:
        if name in METHODS:
            raise ValueError(f"there already is a method {name!r}")
        called = function if hasattr(function, "registered") else _called(function)  # a function may have several names
        METHODS[name] = Method(called, config, summary, kind, recipe, adapt)
        return called

    return register


def _called(function: F) -> F:
    """``function`` with what happens around every call of a method."""

    @wraps(function)
    def run(gan: Bundle, target: Tensor, *args: Any, **kwargs: Any) -> Inversion:
        with alone():
            found: Inversion = function(gan, gan.place(check_images(target, gan.resolution)), *args, **kwargs)
            return found.to("cpu")

    run.registered = True  # type: ignore[attr-defined]
    return cast("F", run)


def of_kind(*kinds: str) -> tuple[str, ...]:
    """The names of the methods of some kinds, in their order."""
    return tuple(name for name, entry in METHODS.items() if entry.kind in kinds)
