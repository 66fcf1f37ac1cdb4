r"""pSp: one pass of an encoder gives a style vector for every layer (Richardson et al. 2021, "pixel2style2pixel").

.. math::

    w^+ = E(x) + \bar w, \qquad \hat x = G(w^+)

A feature pyramid reads the photo at three sizes; the coarsest gives the style vectors of the coarsest layers, and so on up. No optimisation, so
it takes milliseconds; the code is not held near W, so it reconstructs better and edits worse than e4e's (:mod:`ganinv.inversion.e4e`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from ..encoders.style import StyleEncoder
from ..encoders.weights import encoder_for
from ..run import Callback, Loop, Resume
from ..settings import Checked, encoder_of
from .chunks import in_chunks
from .register import ENCODER, method
from .result import Inversion, config_dict

if TYPE_CHECKING:
    from ..zoo import Bundle


@dataclass(frozen=True)
class Encode(Checked):
    """One pass of an encoder.

    Attributes:
        encoder: name of one that ships with the bundle (``"psp"`` or ``"e4e"``), or the file of one.
    """

    encoder: Annotated[str, encoder_of("psp", "e4e")] = "psp"


@method("psp", Encode("psp"), "one pass of an encoder into W+", ENCODER, recipe="psp")
@in_chunks(64)
def psp(
    gan: Bundle,
    target: Tensor,
    config: Encode | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Inversion:
    """Invert photos ``[N, 3, R, R]`` in [-1, 1] by one pass of pSp's encoder; there is nothing to ``resume``.

    Raises:
        GanInvError: the photos are not finite, or not of the generator's resolution, or the bundle has no such encoder.
    """
    return encode("psp", gan, target, config or Encode(), callback, resume)


def encode(
    method: str, gan: Bundle, target: Tensor, config: Encode, callback: Callback | None, resume: Resume | None
) -> Inversion:
    """One pass of ``config.encoder``: what pSp and e4e, which differ in their training, have in common."""
    encoder = encoder_for(method, gan, config.encoder, StyleEncoder, in_channels=3)
    began = time.perf_counter() - (resume.seconds if resume else 0.0)
    G, history = gan.G, list[dict[str, float]]()
    ws = G.mapping.w_avg.repeat(len(target), G.num_ws, 1)
    with torch.no_grad():
        initial = G.synthesis(ws)
        loop = Loop(method, 1, callback, resume, ws=ws, history=history)
        for step in loop:
            ws += encoder(target)
            mse = (G.synthesis(ws) - target).square().mean(dim=(1, 2, 3))
            history += [{"photo": i, "step": step, "mse": value} for i, value in enumerate(mse.tolist())]
            loop.report(mse=mse.mean())
    return Inversion(
        method,
        gan,
        target,
        ws,
        initial=initial,
        history=history,
        seconds=time.perf_counter() - began,
        config=config_dict(config),
    )
