r"""How good a direction is, and what becomes of it in another generator or for a photo.

The *attribute dependency* of Wu et al. (2021, section 5.1) of an edit with target attribute t is what it does to all others:

.. math::

    \mathrm{AD}_i = \operatorname{E}\frac{|\Delta l_i|}{\sigma(l_i)}, \quad i \neq t, \qquad
    \text{mean-AD} = \operatorname{mean}_i \mathrm{AD}_i, \quad \text{max-AD} = \max_i \mathrm{AD}_i

with :math:`\Delta l_i` the change of attribute i's score by the edit and :math:`\sigma(l_i)` its spread over random images; it is read off at
the same change of the target, here at :data:`GOAL` standard deviations. (What is computed from the target, as anger is partly from a smile, is not
counted: it changes by definition.) *Latent editing consistency* (Tov et al. 2021, section 5) inverts the
edited image, takes the edit back, and asks how far from the start that is:

.. math:: \mathrm{LEC} = \lVert E(\hat x_{+t\sigma v}) - t\,\sigma v - E(\hat x) \rVert
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import GanInvError
from .direction import Direction, Edit
from .gradients import others

if TYPE_CHECKING:
    from ..zoo import Bundle

STRENGTHS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
WALK = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)  # strengths that a direction is scored at
GOAL = (
    1.5  # standard deviations of the target attribute that a good direction reaches before the face is somebody else's
)
MOST_DEPENDENCY = 0.3  # mean attribute dependency there that a good direction has at most
SAMPLES = 128
BATCH = 32
RESOLUTION = 64  # of the faces that :func:`networks` know


class Attributes(Protocol):
    """Scores of images: ``attributes(images [N, 3, R, R]) -> [N, K]`` in standard deviations of random images, of the attributes ``names``."""

    @property
    def names(self) -> Sequence[str]: ...

    def __call__(self, images: Tensor) -> Tensor: ...


class Identity(Protocol):
    """Who it is: ``identity(images [N, 3, R, R]) -> [N, d]``, unit vectors; nearer than ``same`` is the same face."""

    @property
    def same(self) -> float: ...

    def __call__(self, images: Tensor) -> Tensor: ...


def networks() -> tuple[Attributes, Identity]:
    """The networks that measure faces, framed as those of faces64."""
    from ..attributes import load_attributes, load_identity

    return load_attributes(), load_identity()


@dataclass(frozen=True)
class Change:
    """What an edit does, means over images. The lists have an entry a strength.

    Attributes:
        target: name of the attribute that is to change; empty, where none of the measured ones is meant.
        strengths: of the edits.
        shift: change of the target, in standard deviations.
        mean_ad, max_ad: dependency of the other attributes.
        identity: distance between the embeddings before and after.
        changes: mean change of every attribute, ``{name: [...]}``.
    """

    target: str
    strengths: list[float]
    shift: list[float]
    mean_ad: list[float]
    max_ad: list[float]
    identity: list[float]
    changes: dict[str, list[float]]

    def at_goal(self, goal: float = GOAL) -> dict[str, float | None]:
        """Strength, dependencies and identity where the target has changed by ``goal``, interpolated; all ``None`` where it never has."""
        shift = [0.0, *self.shift]
        columns = {
            "strength": self.strengths,
            "mean_ad": self.mean_ad,
            "max_ad": self.max_ad,
            "identity": self.identity,
        }
        reached = next((i for i, value in enumerate(shift) if value >= goal), None)
        if reached is None or not reached:
            return dict.fromkeys(columns)
        t = (goal - shift[reached - 1]) / (shift[reached] - shift[reached - 1])
        return {key: (1 - t) * [0.0, *column][reached - 1] + t * column[reached - 1] for key, column in columns.items()}


@torch.no_grad()
def scores_of(images: Tensor, attributes: Attributes) -> Tensor:
    """The scores ``[N, K]`` of images, a batch at a time, on the CPU."""
    return torch.cat([attributes(part.clamp(-1, 1)).cpu() for part in images.split(BATCH)])


class Looked(NamedTuple):
    """What the networks say of images: scores ``[N, K]``, and embeddings ``[N, d]`` or ``None``."""

    scores: Tensor
    who: Tensor | None


@torch.no_grad()
def look(images: Tensor, attributes: Attributes, identity: Callable[[Tensor], Tensor] | None = None) -> Looked:
    """Score and embed images ``[N, 3, R, R]``, a batch at a time, on the CPU."""
    who = None if identity is None else torch.cat([identity(x.clamp(-1, 1)).cpu() for x in images.split(BATCH)])
    return Looked(scores_of(images, attributes), who)


def change(
    before: Tensor | Looked,
    after: Mapping[float, Tensor],
    target: str,
    attributes: Attributes,
    identity: Callable[[Tensor], Tensor] | None = None,
) -> Change:
    """What edits have done to images.

    Args:
        before: ``[N, 3, R, R]``, or what :func:`look` has found in them, where several edits begin at the same images.
        after: the same, edited, by strength.
        target: the attribute that was to change; of another name, the shift is not a number.
    """
    names = list(attributes.names)
    start = look(before, attributes, identity) if isinstance(before, Tensor) else before
    rest = others(attributes, target)
    rows: dict[str, list[float]] = {key: [] for key in ("shift", "mean_ad", "max_ad", "identity")}
    changes: dict[str, list[float]] = {name: [] for name in names}
    for images in after.values():
        now = look(images, attributes, identity)
        moved = now.scores - start.scores
        dependency = moved.abs().mean(dim=0)[rest]
        rows["shift"].append(moved[:, names.index(target)].mean().item() if target in names else float("nan"))
        rows["mean_ad"].append(dependency.mean().item())
        rows["max_ad"].append(dependency.max().item())
        if start.who is None or now.who is None:
            rows["identity"].append(float("nan"))
        else:
            rows["identity"].append((now.who - start.who).norm(dim=1).mean().item())
        for name, value in zip(names, moved.mean(dim=0).tolist(), strict=True):
            changes[name].append(value)
    return Change(target, list(after), **rows, changes=changes)


def samples_of(gan: Bundle, n: int = SAMPLES, seed: int = 7) -> Tensor:
    """Codes ``[n, num_ws, w_dim]`` of random z."""
    with torch.no_grad():
        return gan.G.mapping(gan.randn([n, gan.G.z_dim], torch.Generator().manual_seed(seed)))


def drawn(gan: Bundle, ws: Tensor, edit: Edit) -> Tensor:
    """Edited images of codes, a batch at a time, on the CPU."""
    return torch.cat([edit.draw(gan.G, part).cpu() for part in ws.split(BATCH)])


def walk(
    gan: Bundle,
    direction: Direction,
    attributes: Attributes,
    identity: Identity | None = None,
    strengths: Sequence[float] = WALK,
    samples: int = SAMPLES,
    seed: int = 7,
) -> Change:
    """What a direction does to random images of the untouched generator; the target is the attribute of its name."""
    ws = samples_of(gan, samples, seed)
    after = {strength: drawn(gan, ws, direction.at(strength)) for strength in strengths}
    return change(drawn(gan, ws, Edit()), after, direction.name, attributes, identity)


@dataclass(frozen=True)
class Score:
    """A direction's quality, measured on random images of its generator; ``None``, where the goal is not reached.

    Attributes:
        passes: it moves its attribute by :data:`GOAL` standard deviations, while the face stays the same, with a mean attribute dependency of
            :data:`MOST_DEPENDENCY` at most.
        strength: where it does.
        mean_ad, max_ad, identity: there.
        shift_at_one: change of the attribute by ``at(1)``.
        reason: why it does not pass.
    """

    passes: bool
    strength: float | None
    mean_ad: float | None
    max_ad: float | None
    identity: float | None
    shift_at_one: float
    reason: str = ""

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


def score(measured: Change, same: float) -> Score:
    """The verdict on a direction from its :func:`walk`; ``same`` is the distance below which a face is the same."""
    goal = measured.at_goal()
    one = float(np.interp(1.0, [0.0, *measured.strengths], [0.0, *measured.shift]))
    reasons = []
    if goal["strength"] is None:
        reasons.append(f"moves by {max(measured.shift):.2f} σ at most")
    else:
        assert goal["identity"] is not None
        assert goal["mean_ad"] is not None
        if goal["identity"] > same:
            reasons.append(f"the face is another before it has moved by {GOAL} σ ({goal['identity']:.2f} > {same:.2f})")
        if goal["mean_ad"] > MOST_DEPENDENCY:
            reasons.append(f"mean attribute dependency {goal['mean_ad']:.2f} > {MOST_DEPENDENCY}")
    return Score(not reasons, **goal, shift_at_one=one, reason="; ".join(reasons))


def editing_consistency(
    encode: Callable[[Tensor], Tensor], before: Tensor, after: Tensor, direction: Direction, strength: float
) -> list[float]:
    """LEC of each image, root mean square over the rows of w+ that the direction moves.

    Args:
        encode: images ``[N, 3, R, R]`` to codes ``[N, num_ws, w_dim]``.
        before, after: reconstructions, and the same edited by ``direction.at(strength)``.

    Raises:
        GanInvError: the direction is one of S, which an encoder says nothing of.
    """
    if isinstance(direction.step, Mapping):
        raise GanInvError(f"{direction.name} is a direction of S: latent editing consistency is of codes.")
    from ..inversion.result import distance  # which imports the edits that it renders

    start, end = encode(before), encode(after)
    back = direction.at(-strength).codes(end, lambda ws: {})[0]
    rows = slice(None) if direction.layers is None else list(direction.layers)
    return distance(back[:, rows], start[:, rows]).tolist()


def cosine(a: Direction, b: Direction) -> float:
    """Between two directions of W, such as those found on the untouched and on the tuned generator."""
    assert isinstance(a.step, Tensor)
    assert isinstance(b.step, Tensor)
    return torch.nn.functional.cosine_similarity(a.step.flatten(), b.step.flatten(), dim=0).item()
