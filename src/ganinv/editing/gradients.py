r"""Gradients: the direction of S that changes one attribute and, to first order, nothing else.

A move u of the style vectors (in standard deviations of each channel) changes the scores of an image by :math:`J_i\,u`, with :math:`J_i` the gradient
of attribute i through the generator and the network that judges it. Over random codes,

.. math::

    u = \arg\min_u \sum_{i \neq t} \operatorname{E}\,(J_i u)^2 + \lambda \operatorname{E}\,\lVert J_{\mathrm{id}}\,u \rVert^2 + \mu \lVert u \rVert^2
    \quad \text{with} \quad \operatorname{E}\,J_t u = 1, \qquad u = \frac{M^{-1} j}{j^\top M^{-1} j}

where M is the sum of the second moments and j the mean gradient of the target: the edit of one standard deviation that does least to the other
attributes and to who it is. Attributes that come together in the data part here, because no labels are compared, only what channels do. Zhu et al.
(2021, LowRankGAN) find edits of a region from the generator's Jacobian in the same way, with pixels for scores; that the space is S is the lesson of
Wu et al. (2021). The price is a differentiable judge, and what a direction is worth should be measured by another one, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..attributes.labels import index_of
from ..errors import GanInvError
from .direction import Direction
from .stylespace import channel_statistics

if TYPE_CHECKING:
    from ..zoo import Bundle
    from .measure import Attributes

SAMPLES = 512
PROBES = 4  # random directions of the embedding whose gradients stand for its Jacobian
BATCH = 16


@dataclass(frozen=True, eq=False)
class Gradients:
    """How channels move scores, at random codes.

    Attributes:
        names: of the attributes.
        sizes: channels of each layer, ``{layer: C}``; toRGB layers are left out.
        attributes: ``[N, K, C]``, the gradient of every attribute for one standard deviation of each channel, the layers one after the other.
        identity: the same of random combinations of the embedding's entries, ``[N, P, C]``; P is 0 without a recogniser.
        sigma: standard deviation of each channel, ``[C]``, and ``mean``.
        generator: ``sha256`` of the bundle.
        made_of: which attributes are computed from which, ``{name: names}``.
    """

    names: tuple[str, ...]
    sizes: Mapping[str, int]
    attributes: Tensor
    identity: Tensor
    sigma: Tensor
    mean: Tensor
    generator: str
    made_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def others(attributes: Attributes | Gradients, target: str) -> list[int]:
    """The attributes that an edit of ``target`` should leave alone: all others but those that are computed from it (the judge's ``made_of``)."""
    made_of = getattr(attributes, "made_of", {})
    return [i for i, name in enumerate(attributes.names) if name != target and target not in made_of.get(name, ())]


def gradients(
    gan: Bundle,
    attributes: Attributes,
    identity: Callable[[Tensor], Tensor] | None = None,
    samples: int = SAMPLES,
    seed: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Gradients:
    """Gradients of all attributes at ``samples`` random codes; about a fifth of a second each on one core for faces64.

    Args:
        attributes, identity: networks that judge images, such as :func:`ganinv.editing.measure.networks`.
        progress: called with the number of codes that are done.
    """
    G, statistics, random = gan.G, channel_statistics(gan), torch.Generator().manual_seed(seed)
    layers = list(G.synthesis.conv_names)
    mean, sigma = (torch.cat([statistics[name][k] for name in layers]) for k in (0, 1))
    found: list[Tensor] = []
    who: list[Tensor] = []
    for start in range(0, samples, BATCH):
        z = gan.randn([min(BATCH, samples - start), G.z_dim], random)
        with torch.no_grad():
            styles = {name: style.clone() for name, style in G.synthesis.styles(G.mapping(z)).items()}
        with torch.enable_grad():
            inputs = [styles[name].requires_grad_() for name in layers]
            images = G.synthesis(None, styles=styles).clamp(-1, 1)
            scores = attributes(images).sum(dim=0)
            found.append(_gradients(list(scores), inputs) * sigma)
            if identity is not None:
                embedding = identity(images)
                probes = gan.randn([PROBES, *embedding.shape], random)
                who.append(_gradients([(embedding * probe).sum() for probe in probes], inputs) * sigma)
        if progress:
            progress(start + len(z))
    J = torch.cat(found)
    sizes = {name: len(statistics[name][0]) for name in layers}
    identities = torch.cat(who) if who else J[:, :0]
    return Gradients(
        tuple(attributes.names), sizes, J, identities, sigma, mean, gan.sha256, getattr(attributes, "made_of", {})
    )


def _gradients(scalars: list[Tensor], inputs: list[Tensor]) -> Tensor:
    """``[N, len(scalars), C]`` on the CPU; row n of an input moves image n alone."""
    rows = [torch.cat(torch.autograd.grad(scalar, inputs, retain_graph=True), dim=1) for scalar in scalars]
    return torch.stack(rows, dim=1).cpu()


def isolated(
    found: Gradients,
    name: str,
    keep_identity: float = 1.0,
    ridge: float = 0.3,
) -> Direction:
    r"""The direction of an attribute; a step of one is one standard deviation of the attribute, to first order.

    Args:
        keep_identity: :math:`\lambda`; the other attributes weigh 1 each, together.
        ridge: :math:`\mu`, in units of the mean of M's diagonal. What few codes say of many channels is noise without it.

    Raises:
        GanInvError: there is no such attribute, or no channel moves it.
    """
    k = index_of(name, found.names)
    J = found.attributes.double()
    j = J[:, k].mean(dim=0)
    M = (keep_identity / max(found.identity.shape[1], 1)) * _moment(found.identity.double()) / len(J)
    for i in (k, *others(found, name)):
        M += _moment(J[:, [i]] - j if i == k else J[:, [i]]) / len(J)  # of the target: how unequally codes follow
    M += ridge * M.diagonal().mean() * torch.eye(len(j), dtype=M.dtype, device="cpu")
    u = torch.linalg.solve(M, j)
    gain = u @ j
    if not gain > 0:
        raise GanInvError(f"no channel moves {name}: its network is blind to what the generator draws.")
    step = (u / gain).float() * found.sigma
    parts = step.split(list(found.sizes.values()))
    offset = (found.mean.double() @ step.double() / step.double().square().sum()).item()
    facts = {"found_from": {"codes": len(J), "keep_identity": keep_identity, "ridge": ridge}}
    styles = dict(zip(found.sizes, (part.clone() for part in parts), strict=True))
    return Direction(name, styles, None, offset, "gradients", found.generator, facts)


def _moment(rows: Tensor) -> Tensor:
    rows = rows.flatten(0, 1)
    return rows.T @ rows
