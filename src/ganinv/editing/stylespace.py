r"""StyleSpace: edits by single channels of the style vectors (Wu et al. 2021).

.. math::

    s_{\ell, c} \leftarrow s_{\ell, c} + t\,\sigma_{\ell, c}, \qquad
    \theta_{\ell, c} = \frac{|\operatorname{mean}_e \delta_{\ell, c}|}{\operatorname{std}_e \delta_{\ell, c}}, \quad
    \delta = \frac{s_e - \mu}{\sigma}

Channels are few enough to look at one by one, and many of them do one thing. Two ways find the one that is wanted: :func:`relevance` from a few
examples e that have an attribute (section 5: how far their styles are from the population's, against how much they differ among themselves), and
:func:`local_channels` from where in the image a channel acts (section 4). Those of toRGB layers are left out: they are colour filters.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GanInvError
from .direction import Direction, Styles, affine

if TYPE_CHECKING:
    from ..stylegan2 import Generator
    from ..zoo import Bundle

MAP = 32  # pixels of a gradient map
CHUNK = 32  # channels that are looked at side by side
INSIDE = 0.5  # a channel is within a mask with more than this share of what it does
MOST, LEAD = 0.5, 0.25  # a region is a channel's own in more than half of the images, by a quarter of them


def channels(G: Generator) -> list[tuple[str, int]]:
    """Every channel (layer, number) of the 3x3 layers, coarse to fine."""
    return [(name, c) for name in G.synthesis.conv_names for c in range(G.synthesis.layer(name).weight.shape[1])]


def channel_statistics(gan: Bundle) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and standard deviation of every channel for random codes, ``{layer: ([C], [C])}``.

    The authors draw 100,000 codes; as styles are linear in w, its mean and covariance give the same without.
    """
    mean, cov, found = gan.G.mapping.w_avg.cpu().double(), gan.w_cov.double(), {}
    for name in gan.G.synthesis.layer_ws:
        A, b = affine(gan.G, [name])
        found[name] = ((A @ mean + b).float(), ((A @ cov) * A).sum(dim=1).clamp(min=0).sqrt().float())
    return found


def channel(gan: Bundle, layer: str, number: int, name: str = "") -> Direction:
    """The edit of one channel, with a step of its standard deviation.

    Raises:
        GanInvError: the generator has no such channel, or it is one of toRGB.
    """
    if layer not in gan.G.synthesis.conv_names or not 0 <= number < gan.G.synthesis.layer(layer).weight.shape[1]:
        raise GanInvError(
            f"{gan.name} has no channel {number} of {layer}: layers are {', '.join(gan.G.synthesis.conv_names)}."
        )
    mean, std = (part[number].item() for part in channel_statistics(gan)[layer])
    step = torch.zeros([gan.G.synthesis.layer(layer).weight.shape[1]], device="cpu", dtype=torch.float32)
    step[number] = std
    name = name or f"{layer}:{number}"
    return Direction(name, {layer: step}, offset=mean / std, method="stylespace", generator=gan.sha256)


@dataclass(frozen=True)
class Ranked:
    """A channel's place among all: its relevance for an attribute, and whether it is higher (1) or lower (-1) where the attribute is."""

    layer: str
    number: int
    relevance: float
    sign: int


def relevance(gan: Bundle, examples: Styles) -> list[Ranked]:
    """All channels by their relevance for what the examples have in common, the most relevant first.

    Args:
        examples: style vectors ``{layer: [E, C]}`` of images with the attribute (``G.synthesis.styles``); ten do, a hundred are better.

    Raises:
        GanInvError: there are fewer than two.
    """
    statistics = channel_statistics(gan)
    if len(next(iter(examples.values()), [])) < 2:
        raise GanInvError("the relevance of channels needs at least two examples with the attribute.")
    ranked = []
    for name in gan.G.synthesis.conv_names:
        mean, std = statistics[name]
        delta = (examples[name].cpu() - mean) / std
        shift, spread = delta.mean(dim=0), delta.std(dim=0)
        ratio = (shift.abs() / spread).nan_to_num(0.0, posinf=0.0)
        ranked += [Ranked(name, c, ratio[c].item(), 1 if shift[c] >= 0 else -1) for c in range(len(mean))]
    return sorted(ranked, key=lambda each: -each.relevance)


def attribute_channel(gan: Bundle, examples: Styles, name: str, rank: int = 0) -> Direction:
    """The edit of the channel that is most relevant (or of another ``rank``) for the examples, towards them."""
    best = relevance(gan, examples)[rank]
    direction = channel(gan, best.layer, best.number, name).scaled(best.sign)
    facts = {"found_from": {"channel": f"{best.layer}:{best.number}", "relevance": best.relevance}}
    return Direction(name, direction.step, None, direction.offset, "stylespace", gan.sha256, facts)


# -- where a channel acts --------------------------------------------------------------------------------------------------


@torch.no_grad()
def gradient_maps(gan: Bundle, ws: Tensor, chosen: Sequence[tuple[str, int]]) -> Tensor:
    """How strongly the pixels follow each channel, ``[channels, N, MAP, MAP]``: the mean over the colours of the image's change
    with it, without its sign, for one standard deviation.

    Args:
        ws: ``[N, num_ws, w_dim]``.
        chosen: of :func:`channels`. Each costs a forward-mode derivative an image (the authors take backward passes, one a pixel).
    """
    synthesis, statistics, maps = gan.G.synthesis, channel_statistics(gan), []
    for w in gan.place(ws):
        rows = []
        for i in range(0, len(chosen), CHUNK):
            some = chosen[i : i + CHUNK]
            styles = {name: style.repeat(len(some), 1) for name, style in synthesis.styles(w[None]).items()}
            tangents = {name: torch.zeros_like(style) for name, style in styles.items()}
            for row, (layer, number) in enumerate(some):
                tangents[layer][row, number] = statistics[layer][1][number].item()
            with warnings.catch_warnings():  # PyTorch's own, at the first derivative of a process
                warnings.simplefilter("ignore", FutureWarning)
                change = torch.func.jvp(lambda s: synthesis(None, styles=s), (styles,), (tangents,))[1]
            rows.append(_cells(change.abs().mean(dim=1)).cpu())
        maps.append(torch.cat(rows))
    return torch.stack(maps, dim=1)


def local_channels(maps: Tensor, regions: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """Which channels act in which region, ``{region: positions in maps}``; most act everywhere, and are in none.

    In each image a channel's map is cut at the percentile that leaves as many pixels as the region has; the channel goes to the region of the
    largest overlap / area². It is local to one that it goes to in more than half of the images, by a quarter of them more than to any other.

    Args:
        maps: ``[channels, N, MAP, MAP]`` of :func:`gradient_maps`.
        regions: ``{name: [H, W] or [N, H, W] of truth values}``, two at least.
    """
    order = maps.flatten(2).argsort(dim=2, descending=True).argsort(dim=2)  # each pixel's place among all
    scores = []
    for region in regions.values():
        mask = (_cells(region.float().reshape(-1, *region.shape[-2:])) >= 0.5).expand(maps.shape[1], -1, -1).flatten(1)
        area = mask.sum(dim=1)
        scores.append(((order < area[:, None]) & mask).sum(dim=2) / area.clamp(min=1).float() ** 2)
    score, region_of = torch.stack(scores).max(dim=0)
    shares = (F.one_hot(region_of, len(regions)) * (score > 0)[..., None]).float().mean(dim=1)  # [channels, regions]
    best, second = shares.topk(2, dim=1).values.unbind(dim=1)
    local = (best > MOST) & (best - second > LEAD)
    return {name: (local & (shares.argmax(dim=1) == r)).nonzero()[:, 0].tolist() for r, name in enumerate(regions)}


def within(gan: Bundle, direction: Direction, mask: Tensor, ws: Tensor) -> Direction:
    """A direction of any space in S, with those channels alone that do most of what they do within a region: a local edit.

    Args:
        mask: ``[H, W]`` or ``[N, H, W]`` of truth values.
        ws: the images' codes ``[N, num_ws, w_dim]``; of one photo for an edit of its own.

    Raises:
        GanInvError: the mask is empty or full, or the direction moves no channel that acts mainly there.
    """
    if not mask.any() or mask.all():
        raise GanInvError(
            "the mask is all black or all white: paint the region that is to change white, and the rest black."
        )
    in_s = direction.in_s(gan.G)
    assert isinstance(in_s.step, Mapping)
    moved = [(layer, c) for layer, c in channels(gan.G) if layer in in_s.step and in_s.step[layer][c]]
    maps = gradient_maps(gan, ws, moved) if moved else torch.zeros([0, 1, MAP, MAP], device="cpu", dtype=torch.float32)
    share = (maps * _cells(mask.float().reshape(-1, *mask.shape[-2:]))).sum(dim=(1, 2, 3)) / maps.sum(dim=(1, 2, 3))
    if not (share > INSIDE).any():
        raise GanInvError(f"{direction.name} moves no channel that acts mainly in the mask: make the mask larger.")
    kept = {layer: torch.zeros_like(part, dtype=torch.bool) for layer, part in in_s.step.items()}
    for position in (share > INSIDE).nonzero()[:, 0].tolist():
        layer, number = moved[position]
        kept[layer][number] = True
    return in_s.only(kept)


def _cells(maps: Tensor) -> Tensor:
    """Maps ``[N, H, W]`` at the size of gradient maps."""
    return F.adaptive_avg_pool2d(maps[:, None], MAP)[:, 0]
