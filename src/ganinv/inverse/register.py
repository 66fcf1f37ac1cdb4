"""The register of solvers: what each says of itself where it is written, as :mod:`ganinv.inversion.register` does for methods.

The command, the study and the recommended settings read :data:`SOLVERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from torch import Tensor

from ..devices import randn
from ..errors import GanInvError
from ..photos import check_images
from ..run import Callback, Resume, alone
from .operators import Operator, operator, stream

if TYPE_CHECKING:
    from ..zoo import Bundle
    from .recovery import Recovery

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Solver:
    """A named solver.

    Attributes:
        function: ``function(gan, y, operator, config, callback, resume) -> Recovery``.
        config: its default configuration.
        summary: a line that says what it is.
        prior: ``"generator"``, or what a baseline assumes instead.
    """

    function: Callable[..., Recovery]
    config: Any
    summary: str
    prior: str = "generator"


SOLVERS: dict[str, Solver] = {}


def solver(name: str, config: Any, summary: str, prior: str = "generator") -> Callable[[F], F]:
    """Register the function below under ``name``, see :class:`Solver`. Whoever calls it, its measurements are checked and on the bundle's device, it
    runs :func:`~ganinv.run.alone`, and its :class:`Recovery` comes back on the CPU under the name.

    Raises:
        ValueError: the name is taken.
    """

    def register(function: F) -> F:
        if name in SOLVERS:
            raise ValueError(f"there already is a solver {name!r}")
        called = function if hasattr(function, "registered") else _called(function)  # a function may have several names
        SOLVERS[name] = Solver(called, config, summary, prior)
        return called

    return register


def _called(function: F) -> F:
    @wraps(function)
    def run(gan: Bundle, y: Tensor, operator: Operator, *args: Any, **kwargs: Any) -> Recovery:
        check_measurements(y, operator, gan)
        with alone():
            found: Recovery = function(gan, gan.place(y.detach()), operator, *args, **kwargs)
            return found.to("cpu")

    run.registered = True  # type: ignore[attr-defined]
    return cast("F", run)


def check_measurements(y: Tensor, operator: Operator, gan: Bundle) -> None:
    """Raise :class:`GanInvError` for what is no ``[N, *operator.shape]`` of finite numbers, or of images that the generator does not draw."""
    if operator.resolution != gan.resolution:
        raise GanInvError(
            f"{operator.name} measures images of {operator.resolution} x {operator.resolution}, but the generator makes "
            f"{gan.resolution} x {gan.resolution}: make the operator for that."
        )
    if y.ndim == 0 or not len(y) or tuple(y.shape[1:]) != operator.shape:
        raise GanInvError(
            f"measurements by {operator.name} have the shape [N, {', '.join(map(str, operator.shape))}], not {list(y.shape)}."
        )
    if not (y.is_floating_point() and y.isfinite().all()):
        raise GanInvError("measurements hold NaN or infinite values, or no floats: measure again.")


def measure(x: Tensor, operator: Operator, noise: float = 0.0, seed: int = 0) -> Tensor:
    r""":math:`y = Ax + \eta` of images ``[N, 3, R, R]``, ``[N, *operator.shape]``.

    Args:
        noise: standard deviation of the independent Gaussian :math:`\eta` on every measurement. With Gaussian measurements each is of about the
            length of the image over :math:`\sqrt m`, so that :math:`\lVert \eta \rVert^2 / n` is ``noise**2 * m / n`` on the scale of the MSE.

    Raises:
        GanInvError: images that are not of the operator's resolution, or not finite.
    """
    x = check_images(x, operator.resolution)
    y = operator.A(x)
    return y + noise * randn(y.shape, stream(seed + 1), y.device) if noise else y


def recover(
    gan: Bundle,
    x: Tensor,
    problem: str | Operator,
    solver: str = "csgm",
    config: Any = None,
    noise: float = 0.0,
    seed: int = 0,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Recovery:
    """Measure images ``[N, 3, R, R]`` in [-1, 1], and recover them from the measurements: a whole experiment, whose scores are known.

    Args:
        problem: an operator, or the name of one (:data:`PROBLEMS`).
        solver: a name in :data:`SOLVERS`.
        config: its configuration; its default for ``None``.
        noise: see :func:`measure`.
        seed: of the operator's and of the noise's random numbers (a solver has a seed of its own).

    Raises:
        GanInvError: there is no such problem or solver, or another solver's configuration, or the images do not fit.
    """
    entry = find(solver)
    if config is not None and not isinstance(config, type(entry.config)):
        raise GanInvError(
            f"The solver {solver!r} takes a {type(entry.config).__name__} as its config, not a {type(config).__name__}."
        )
    op = operator(problem, gan.resolution, seed) if isinstance(problem, str) else problem
    y = measure(x, op, noise, seed)
    found = entry.function(gan, y, op, config or entry.config, callback, resume)
    found.solver, found.target = solver, x.detach().float().cpu()
    return found


def find(name: str) -> Solver:
    """The solver of that name.

    Raises:
        GanInvError: there is none.
    """
    if name not in SOLVERS:
        raise GanInvError(f"There is no solver {name!r}: choose from {', '.join(SOLVERS)}.")
    return SOLVERS[name]
