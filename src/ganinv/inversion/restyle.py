r"""ReStyle: an encoder that sees the photo beside its own reconstruction, and corrects it again and again (Alaluf et al. 2021).

.. math::

    w_0 = \bar w, \quad \hat x_t = G(w_t), \qquad w_{t+1} = w_t + E(x, \hat x_t)

Six input channels, a few passes. The encoder is simpler than pSp's: all heads read the last feature map. ``restyle-psp`` was trained with pSp's
losses, ``restyle-e4e`` gives one vector and offsets, and was trained with e4e's (:mod:`ganinv.training.restyle`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from ..encoders.style import StyleEncoder
from ..encoders.weights import encoder_for, trained_for
from ..run import Callback, Loop, Resume
from ..settings import Checked, Positive, encoder_of
from .chunks import in_chunks
from .register import PASSES, method
from .result import Inversion, config_dict

if TYPE_CHECKING:
    from ..zoo import Bundle


@dataclass(frozen=True)
class ReStyle(Checked):
    """Residual passes of an encoder.

    Attributes:
        encoder: name of one that ships with the bundle (``"restyle-psp"`` or ``"restyle-e4e"``), or the file of one.
        iterations: passes, as many as in training (5 in the paper).
    """

    encoder: Annotated[str, encoder_of("restyle-psp", "restyle-e4e")] = "restyle-e4e"
    iterations: Positive = 3


RESTYLE_PSP, RESTYLE_E4E = ReStyle("restyle-psp"), ReStyle("restyle-e4e")


@method("restyle-e4e", RESTYLE_E4E, "an encoder that corrects itself, near W", PASSES, recipe="restyle")
@method("restyle-psp", RESTYLE_PSP, "an encoder that corrects itself, into W+", PASSES, recipe="restyle")
@in_chunks(64)
def restyle(
    gan: Bundle,
    target: Tensor,
    config: ReStyle | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
) -> Inversion:
    """Invert photos ``[N, 3, R, R]`` in [-1, 1]; the history has the error of every pass.

    Raises:
        GanInvError: the photos are not finite, or not of the generator's resolution, or the bundle has no such encoder.
    """
    config = config or ReStyle()
    encoder = encoder_for("restyle-psp", gan, config.encoder, StyleEncoder, in_channels=6)
    method = trained_for(encoder)
    began = time.perf_counter() - (resume.seconds if resume else 0.0)
    G, history = gan.G, list[dict[str, float]]()
    ws = G.mapping.w_avg.repeat(len(target), G.num_ws, 1)
    with torch.no_grad():
        initial = G.synthesis(ws)
        image = initial.clone()
        loop = Loop(method, config.iterations, callback, resume, ws=ws, image=image, history=history)
        for step in loop:
            ws += encoder(torch.cat([target, image], dim=1))
            image.copy_(G.synthesis(ws))
            mse = (image - target).square().mean(dim=(1, 2, 3))
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
