"""Controls: all that a photo's synthesis is told besides its code, as one flat dictionary of tensors.

Every method leaves its results here, whatever they are, so that slicing, saving, loading and drawing are written once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .generator import Fusion, Generator

NOISE, BASE, GAIN, SHIFT, STYLES, WEIGHTS = "noise", "base", "gain", "shift", "styles", "weights"


class Controls(dict[str, Tensor]):
    """``{"kind/name": tensor}``. Row i of every tensor belongs to photo i; a tensor of one row belongs to all.

    ========================== ======================= ==============================================================
    key                        tensor                  in the synthesis
    ========================== ======================= ==============================================================
    ``noise/b4.conv1``         ``[N or 1, 1, r, r]``   the noise map of a 3x3 layer
    ``base/b8.conv0``          ``[N or 1, C, r, r]``   begins with these feature maps in place of the layer's (BDInvert)
    ``gain/b16.conv0``,        ``[N or 1, C, r, r]``   the layer's output F becomes ``F * (1 + gain) + shift`` (HFGI)
    ``shift/b16.conv0``
    ``styles/b4.conv1``        ``[N or 1, C]``         the style vector of a layer, in place of the one that ws gives
    ``weights/<parameter>``    ``[N or 1, *shape]``    is added to that parameter of the generator (float16)
    ========================== ======================= ==============================================================
    """

    @classmethod
    def of(
        cls,
        noise: Mapping[str, Tensor] | None = None,
        base: Mapping[str, Tensor] | None = None,
        fusion: Mapping[str, Fusion] | None = None,
        styles: Mapping[str, Tensor] | None = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> Controls:
        """From a dictionary by layer (or parameter) for each kind; a fusion is ``{layer: (gain, shift)}``."""
        gain = {name: pair[0] for name, pair in (fusion or {}).items()}
        shift = {name: pair[1] for name, pair in (fusion or {}).items()}
        kinds = {NOISE: noise, BASE: base, GAIN: gain, SHIFT: shift, STYLES: styles, WEIGHTS: weights}
        return cls(
            {f"{kind}/{name}": tensor for kind, tensors in kinds.items() for name, tensor in (tensors or {}).items()}
        )

    def kind(self, kind: str) -> dict[str, Tensor]:
        """The tensors of one kind by layer or parameter."""
        return {key.removeprefix(f"{kind}/"): tensor for key, tensor in self.items() if key.startswith(f"{kind}/")}

    def without(self, *kinds: str) -> Controls:
        """All but some kinds."""
        return Controls({key: tensor for key, tensor in self.items() if key.split("/")[0] not in kinds})

    def row(self, i: int) -> Controls:
        """Those of photo ``i`` alone, one row each."""
        return Controls({key: tensor if len(tensor) == 1 else tensor[i : i + 1] for key, tensor in self.items()})

    def to(self, device: torch.device | str) -> Controls:
        """The same on a device."""
        return Controls({key: tensor.to(device) for key, tensor in self.items()})

    def arguments(self) -> dict[str, Any]:
        """As arguments of :meth:`SynthesisNetwork.forward`: all but the weights, which :func:`controlled` adds."""
        shift = self.kind(SHIFT)
        fusion = {name: (gain, shift[name]) for name, gain in self.kind(GAIN).items()}
        return {"noise": self.kind(NOISE), "styles": self.kind(STYLES), "base": self.kind(BASE), "fusion": fusion}

    def check(self, G: Generator, photos: int) -> None:
        """Raise ``ValueError`` unless all of them fit ``G`` and a number of ``photos``."""
        synthesis = G.synthesis
        parameters = {name: p.shape for name, p in G.named_parameters()}
        sizes = {name: maps.shape[2:] for name, maps in synthesis.noise().items()}
        for key, tensor in self.items():
            kind, _, name = key.partition("/")
            if kind == WEIGHTS:
                shape = parameters.get(name)
            elif name in synthesis.conv_names and kind in (NOISE, BASE, GAIN, SHIFT):
                shape = torch.Size([1 if kind == NOISE else synthesis.layer(name).weight.shape[0], *sizes[name]])
            elif name in synthesis.layer_ws and kind == STYLES:
                shape = torch.Size([synthesis.layer(name).weight.shape[1]])
            else:
                shape = None
            if shape is None:
                raise ValueError(f"the generator has nothing that {key!r} could control")
            if len(tensor) not in (1, photos) or tensor.shape[1:] != shape:
                raise ValueError(
                    f"{key!r} should be [{photos} or 1, {', '.join(map(str, shape))}], not {list(tensor.shape)}"
                )
        if unpaired := self.kind(GAIN).keys() ^ self.kind(SHIFT).keys():
            raise ValueError(f"a fusion needs a gain and a shift, and {', '.join(sorted(unpaired))} has one of them")


def stacked(deltas: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Rows of one dictionary for every photo, ``[N, ...]``, from a dictionary a photo; where a photo lacks a tensor, zeros."""
    names: Iterable[str] = dict.fromkeys(name for each in deltas for name in each)
    like = {name: next(each[name] for each in deltas if name in each) for name in names}
    return {
        name: torch.stack([each.get(name, torch.zeros_like(tensor)) for each in deltas])
        for name, tensor in like.items()
    }


def controlled(G: Generator, controls: Controls) -> Generator:
    """A frozen copy of ``G`` with the weights of one photo's ``controls`` (rows of one) added, and its noise maps as constant noise."""
    clone = copy.deepcopy(G).eval().requires_grad_(False)
    parameters = dict(clone.named_parameters())
    with torch.no_grad():
        for name, delta in controls.kind(WEIGHTS).items():
            parameters[name].add_(delta[0].to(parameters[name]))
        for name, maps in controls.kind(NOISE).items():
            clone.synthesis.noise()[name].copy_(maps)
    return clone
