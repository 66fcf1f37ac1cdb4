r"""A direction in W, W+ or S, and the edits that are made of it.

.. math::

    w^+ \leftarrow w^+ + t\,\sigma v \quad\text{(at t)}, \qquad
    w^+ \leftarrow w^+ + (t - c)\,\sigma v, \quad c = \frac{(w - \mu)^\top v}{\sigma} \quad\text{(to t)}

:math:`v` is a unit vector, :math:`\sigma` the standard deviation of random codes along it. The first is InterFaceGAN's and the encoders' way to edit
(Shen et al. 2020), the second GANSpace's, which sets the coordinate (Härkönen et al. 2020). In S, the same is done to the style vectors (StyleSpace,
Wu et al. 2021). However an :class:`Edit` was made, ``inversion.render(edit)`` draws it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import GanInvError

if TYPE_CHECKING:
    from ..stylegan2 import Generator
    from ..zoo import Bundle

W, WPLUS, S = "w", "w+", "s"
Styles = dict[str, Tensor]
StylesOf = Callable[[Tensor], Styles]


@dataclass(frozen=True, eq=False)
class Direction:
    """What one step of a direction changes.

    Attributes:
        name: of the attribute, such as ``"smile"``.
        step: :math:`\\sigma v`: ``[w_dim]`` for W, ``[num_ws, w_dim]`` for W+, ``{layer: [C]}`` for S (other layers keep their styles).
        layers: the rows of w+ that a direction of W moves; all of them for ``None``.
        offset: the coordinate's zero: :math:`c(w) = w^\\top v / \\sigma - \\mathit{offset}`.
        method: how it was found.
        generator: ``sha256`` of the bundle that it was found for; empty where that is not known.
        facts: what was measured of it, JSON values.
    """

    name: str
    step: Tensor | Mapping[str, Tensor]
    layers: tuple[int, ...] | None = None
    offset: float = 0.0
    method: str = ""
    generator: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = list(self.step.values()) if isinstance(self.step, Mapping) else [self.step]
        allowed = (1,) if isinstance(self.step, Mapping) else (1, 2)
        if not parts or not all(part.ndim in allowed and part.isfinite().all() for part in parts) or not self.length:
            raise GanInvError(
                f"the direction {self.name} is no vector of finite numbers, or has no length: find it again."
            )

    def __repr__(self) -> str:
        rows = "" if self.layers is None else f", rows {', '.join(map(str, self.layers))}"
        return f"Direction({self.name!r}, {self.space}{rows}, σ = {self.length:.3g}, {self.method or 'unknown method'})"

    @property
    def space(self) -> str:
        """``"w"``, ``"w+"`` (also a direction of W for some rows) or ``"s"``."""
        if isinstance(self.step, Mapping):
            return S
        return W if self.step.ndim == 1 and self.layers is None else WPLUS

    @property
    def length(self) -> float:
        """:math:`\\sigma`, how long a step is."""
        return self._flat().norm().item()

    # -- edits -----------------------------------------------------------------------------------------------------------

    def at(self, strength: float) -> Edit:
        """Move by ``strength`` standard deviations. At 0 nothing moves, not by one bit.

        Raises:
            GanInvError: it is no finite number.
        """
        strength = self._finite(strength)
        return Edit((Move(self, strength, sets=False),) if strength else ())

    def to(self, strength: float) -> Edit:
        """Move until the coordinate is ``strength``, wherever it was: for a direction of W that of the first row of w+, as GANSpace's edits have it.

        Raises:
            GanInvError: it is no finite number.
        """
        return Edit((Move(self, self._finite(strength), sets=True),))

    def coordinate(self, codes: Tensor | Mapping[str, Tensor]) -> Tensor:
        """:math:`c` ``[N]`` of w+ ``[N, num_ws, w_dim]``, or of style vectors ``{layer: [N, C]}`` for a direction of S."""
        if isinstance(self.step, Mapping):
            assert isinstance(codes, Mapping)
            along = torch.stack([codes[name] @ part.to(codes[name]) for name, part in self.step.items()]).sum(dim=0)
        else:
            assert isinstance(codes, Tensor)
            step = self.step.to(codes)
            along = codes[:, 0] @ step if step.ndim == 1 else (codes * step).sum(dim=(1, 2))
        return along / self.length**2 - self.offset

    def _finite(self, strength: float) -> float:
        try:
            if math.isfinite(strength):
                return float(strength)
        except TypeError:
            pass
        raise GanInvError(f"the strength of {self.name} has to be a finite number, not {strength!r}.")

    # -- directions from directions ----------------------------------------------------------------------------------------

    def conditioned(self, *others: Direction) -> Direction:
        r"""This direction without what it shares with others, so that it leaves their coordinates as they are (Shen et al. 2020, section 3.3):

        .. math:: n - C^\top (C C^\top)^{-1} C\, n

        with the others as rows of C. The step stays as long as it was; :meth:`measured` gives it the new direction's own σ.

        Raises:
            GanInvError: the spaces differ, or nothing is left.
        """
        if not others:
            return self
        if len({direction.space == S for direction in (self, *others)}) > 1:
            raise GanInvError(f"{self.name} and what it is conditioned on have to be in one space: see Direction.in_s.")
        if isinstance(self.step, Mapping):
            sizes = {name: len(part) for each in (self, *others) for name, part in each.step.items()}  # type: ignore[union-attr]
            n, *rest = (each._among(sizes) for each in (self, *others))
        else:
            shape = next((each.step.shape for each in (self, *others) if each.step.ndim == 2), self.step.shape)  # type: ignore[union-attr]
            if any(each.step.shape[-1] != shape[-1] for each in others):  # type: ignore[union-attr]
                raise GanInvError(
                    f"{self.name} and what it is conditioned on are of different widths: find them again."
                )
            n, *rest = (each.step.double().expand(shape).flatten() for each in (self, *others))  # type: ignore[union-attr]
        C = torch.stack(rest)
        left = n - C.T @ torch.linalg.lstsq(C.T, n[:, None]).solution[:, 0]
        if left.norm() < 1e-5 * n.norm():
            raise GanInvError(f"nothing of {self.name} is left without {', '.join(each.name for each in others)}.")
        left = (left * n.norm() / left.norm()).float()
        facts = self.facts | {"conditioned_on": [each.name for each in others]}
        if isinstance(self.step, Mapping):
            parts = left.split(list(sizes.values()))
            return replace(
                self, step={k: part for k, part in zip(sizes, parts, strict=True) if part.any()}, facts=facts
            )
        return replace(self, step=left.reshape(shape), facts=facts)

    def measured(self, gan: Bundle) -> Direction:
        """The same direction with a step of one standard deviation of ``gan``'s random codes, and their mean as the coordinate's zero.

        It is exact, without samples: W's covariance is known, and style vectors are linear in w. In W+ the rows hold one w, and each moves by its own
        standard deviation, in the mean.
        """
        self.check(gan.G)
        cov, mean = gan.w_cov.double(), gan.G.mapping.w_avg.cpu().double()
        v = self._flat() / self.length
        if isinstance(self.step, Mapping):
            A, b = affine(gan.G, self.step)
            spread, centre = (A.T @ v) @ cov @ (A.T @ v), v @ (A @ mean + b)
        else:
            rows = v.reshape(-1, gan.G.w_dim)
            spread, centre = ((rows @ cov) * rows).sum() * rows.any(dim=1).sum(), (rows @ mean).sum()
        sigma = spread.clamp(min=0).sqrt().item()
        if not sigma:
            raise GanInvError(
                f"no random code of {gan.name} moves along {self.name}: use a direction that was found for it."
            )
        return replace(self.scaled(sigma / self.length), offset=centre.item() / sigma)

    def in_s(self, G: Generator) -> Direction:
        """The same direction of W or W+ in S: what a step does to the style vectors of all layers. It is exact, because they are linear in w; and
        in S single layers and channels can be left out (:meth:`only`)."""
        self.check(G)
        if isinstance(self.step, Mapping):
            return self
        step = torch.zeros([G.num_ws, G.w_dim], device="cpu", dtype=torch.float32)
        rows = slice(None) if self.layers is None else list(self.layers)
        step[rows] = self.step if self.step.ndim == 1 else self.step[rows]
        parts = {name: affine(G, [name])[0].float() @ step[i] for name, i in G.synthesis.layer_ws.items()}
        return replace(self, step={name: part for name, part in parts.items() if part.any()}, layers=None)

    def only(self, channels: Mapping[str, Tensor]) -> Direction:
        """A direction of S without what moves other ``channels``, ``{layer: [C] of truth values}``.

        Raises:
            GanInvError: nothing is left, or it is no direction of S.
        """
        if not isinstance(self.step, Mapping):
            raise GanInvError(
                f"{self.name} is a direction of {self.space.upper()}, which has no channels: see Direction.in_s."
            )
        parts = {name: part * channels[name].to(part) for name, part in self.step.items() if name in channels}
        return replace(self, step={name: part for name, part in parts.items() if part.any()})

    def check(self, G: Generator) -> None:
        """Raise :class:`GanInvError` unless it fits the codes of ``G``."""
        synthesis = G.synthesis
        if isinstance(self.step, Mapping):
            sizes = {name: synthesis.layer(name).weight.shape[1] for name in synthesis.layer_ws}
            wrong = [name for name, part in self.step.items() if sizes.get(name) != len(part)]
            if wrong:
                raise GanInvError(
                    f"the direction {self.name} moves {wrong[0]}, which the generator has not, or not of that width: {_CURE}"
                )
        elif self.step.shape[-1] != G.w_dim or (self.step.ndim == 2 and len(self.step) != G.num_ws):
            raise GanInvError(
                f"the direction {self.name} is of width {_shape(self.step)}, and the generator's codes of {G.w_dim}: {_CURE}"
            )
        if self.layers is not None and not all(0 <= i < G.num_ws for i in self.layers):
            raise GanInvError(
                f"the direction {self.name} moves rows {self.layers} of w+, which has {G.num_ws}: {_CURE}"
            )

    def scaled(self, factor: float) -> Direction:
        """The same direction with steps ``factor`` times as long, and the coordinate's zero where it was."""
        scaled = (
            {k: part * factor for k, part in self.step.items()}
            if isinstance(self.step, Mapping)
            else self.step * factor
        )
        return replace(self, step=scaled, offset=self.offset / factor)

    def _among(self, sizes: Mapping[str, int]) -> Tensor:
        """A step of S as one vector over all layers of ``sizes``, float64."""
        assert isinstance(self.step, Mapping)
        parts = [self.step.get(name, torch.zeros([n], device="cpu", dtype=torch.float32)) for name, n in sizes.items()]
        return torch.cat([part.double() for part in parts])

    def _flat(self) -> Tensor:
        """The step as one vector, float64."""
        parts = list(self.step.values()) if isinstance(self.step, Mapping) else [self.step]
        return torch.cat([part.flatten() for part in parts]).double().cpu()


_CURE = "use one that was found for it."


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape))


def affine(G: Generator, layers: Iterable[str]) -> tuple[Tensor, Tensor]:
    """The map :math:`s = A w + b` from w to the styles of some layers, one below the other: ``A`` ``[C, w_dim]`` and ``b`` ``[C]``, float64."""
    maps = [G.synthesis.layer(name).affine for name in layers]
    A = torch.cat([(each.weight * each.weight_gain).detach().cpu().double() for each in maps])
    return A, torch.cat([(each.bias * each.bias_gain).detach().cpu().double() for each in maps])


@dataclass(frozen=True, eq=False)
class Move:
    """A direction and how far: by ``strength`` standard deviations, or until the coordinate is ``strength``."""

    direction: Direction
    strength: float
    sets: bool

    def amount(self, codes: Tensor | Styles) -> Tensor:
        """Steps to go from ``codes``, ``[N]``."""
        coordinate = self.direction.coordinate(codes)
        return self.strength - coordinate if self.sets else torch.full_like(coordinate, self.strength)


@dataclass(frozen=True, eq=False)
class Edit:
    """Moves, one after the other, first those of W and W+ and then those of S. ``smile.at(1) + glasses.at(2)`` is one.

    ``inversion.render(edit)`` draws it for photos, :meth:`draw` for codes of a generator.
    """

    moves: tuple[Move, ...] = ()

    def __add__(self, other: Edit) -> Edit:
        return Edit(self.moves + other.moves)

    def __mul__(self, factor: float) -> Edit:
        """Every move with ``factor`` times its strength."""
        parts = (move.direction.to if move.sets else move.direction.at for move in self.moves)
        return reduce(add, (part(move.strength * factor) for part, move in zip(parts, self.moves, strict=True)), Edit())

    __rmul__ = __mul__

    def codes(self, ws: Tensor, styles_of: StylesOf) -> tuple[Tensor, Styles]:
        """What is drawn instead of ``ws``.

        Args:
            ws: ``[N, num_ws, w_dim]``.
            styles_of: gives the style vectors ``{layer: [N, C]}`` of such codes: each photo's generator has its own.

        Returns:
            codes ``[N, num_ws, w_dim]``, and the style vectors of the layers that moves of S change.
        """
        moves = [(move, move.direction.step) for move in self.moves]
        for move, step in moves:
            if isinstance(step, Tensor):
                rows = list(range(ws.shape[1]) if move.direction.layers is None else move.direction.layers)
                moved = ws.clone()
                moved[:, rows] += move.amount(ws)[:, None, None] * (step if step.ndim == 1 else step[rows]).to(ws)
                ws = moved
        changed: Styles = {}
        if any(isinstance(step, Mapping) for _, step in moves):
            styles = dict(styles_of(ws))
            for move, step in moves:
                if isinstance(step, Mapping):
                    amount = move.amount(styles)[:, None]
                    changed |= {name: styles[name] + amount * part.to(styles[name]) for name, part in step.items()}
                    styles |= changed
        return ws, changed

    def check(self, G: Generator) -> None:
        """Raise :class:`GanInvError` unless every direction fits the codes of ``G``."""
        for move in self.moves:
            move.direction.check(G)

    @torch.no_grad()
    def draw(self, G: Generator, ws: Tensor) -> Tensor:
        """The images ``[N, 3, R, R]`` of ``G``'s codes ``ws``, edited, where ``G`` is."""
        self.check(G)
        ws, styles = self.codes(ws.to(G.device), G.synthesis.styles)
        return G.synthesis(ws, styles=styles)
