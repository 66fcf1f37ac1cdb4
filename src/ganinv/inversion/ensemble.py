r"""An encoder that knows what it cannot see, then L-BFGS (Chai et al. 2021, "Ensembling with Deep Generative Views").

.. math::

    w^+ = \arg\min \; (1 - \lambda_l)\, \lvert x - \hat x \rvert_m + \lambda_l\, d_m(x, \hat x)
    + \lambda_f \lVert E(x, m) - E(\hat x, m) \rVert^2, \qquad \hat x = G(w^+), \quad w^+_0 = E(x, m)

The paper averages a classifier's answers over many views of a photo; this is the inversion that makes the views possible. The mask m is 1 where
the photo is known: the encoder has seen masks in training, and the losses are means over the known part, so that photos with holes are
inverted and their holes filled. What lies under the mask is never looked at.

:math:`d_m` compares the two images multiplied by the mask, both grey under it, and divides by the part of the image that is known (the authors
average a map of the distance over the mask, into which some of the hidden pixels reach).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor

from ..cache import fingerprint
from ..encoders.masked import MaskedEncoder
from ..encoders.weights import encoder_for
from ..errors import GanInvError
from ..perception.features import EFFICIENTNET
from ..run import Callback, Loop, Resume
from ..settings import Checked, Count, Positive, Weight, encoder_of
from .register import SEARCH, method
from .result import Inversion, config_dict

if TYPE_CHECKING:
    from ..zoo import Bundle


LINE_SEARCH = 10  # evaluations at most (older versions of PyTorch know no limit but 25)


@dataclass(frozen=True)
class Ensemble(Checked):
    """The authors' steps, weights and length of a line search; ``perceptual_weight`` is their .5 divided by 8, because our trunk's distances are
    about eight times those of AlexNet. ``memory`` is ours.

    Attributes:
        encoder: name of a masked encoder that ships with the bundle, or the file of one.
        steps: of L-BFGS at most: it stops where no step helps any more.
        memory: steps that its estimate of the curvature remembers.
    """

    encoder: Annotated[str, encoder_of("ensemble")] = "ensemble"
    steps: Count = 500
    l1_weight: Weight = 0.5
    perceptual_weight: Weight = 0.0625
    latent_weight: Weight = 0.25
    memory: Positive = 10
    trunk: str = EFFICIENTNET


@method("ensemble", Ensemble(), "an encoder, then L-BFGS in W+", SEARCH, recipe="ensemble")
def ensemble(
    gan: Bundle,
    target: Tensor,
    config: Ensemble | None = None,
    callback: Callback | None = None,
    resume: Resume | None = None,
    mask: Tensor | None = None,
) -> Inversion:
    """Invert photos ``[N, 3, R, R]`` in [-1, 1], one after the other, with the generator's constant noise.

    Args:
        mask: ``[N, 1, R, R]`` (or one for all photos), 1 where a pixel is known and 0 where it is to be filled in; all are known for ``None``.
            ``Inversion.scores`` compare with all of ``target``, hidden or not.

    Raises:
        GanInvError: the photos are not finite, or not of the generator's resolution, the mask does not fit them, or the bundle has no such encoder.
    """
    config = config or Ensemble()
    known = _check_mask(mask, target)
    began = time.perf_counter() - (resume.seconds if resume else 0.0)
    encoder = encoder_for("ensemble", gan, config.encoder, MaskedEncoder)
    # a resumed run has to have the same mask
    stage = "ensemble" if mask is None else f"ensemble, mask {fingerprint(known)[:6]},"
    codes, initial = [], []
    history: list[dict[str, float]] = []
    for i in range(len(target)):
        objective = Objective(gan, target[i : i + 1], known[i : i + 1], encoder, config)
        with torch.no_grad():
            initial.append(gan.G.synthesis(objective.start))
        w, rows = _descend(objective, config, f"{stage} {i + 1}", callback, resume)
        codes.append(w)
        history += [{"photo": i, **row} for row in rows]
    return Inversion(
        "ensemble",
        gan,
        target,
        torch.cat(codes),
        initial=torch.cat(initial),
        history=history,
        seconds=time.perf_counter() - began,
        config=config_dict(config),
    )


def _check_mask(mask: Tensor | None, target: Tensor) -> Tensor:
    n, _, height, width = target.shape
    if mask is None:
        return target.new_ones(n, 1, height, width)
    if mask.shape not in ((n, 1, height, width), (1, 1, height, width)) or not ((mask == 0) | (mask == 1)).all():
        raise GanInvError(
            f"a mask has to be [{n}, 1, {height}, {width}] of zeros and ones, not {list(mask.shape)}: one where the photo is known."
        )
    if not mask.flatten(1).any(dim=1).all():
        raise GanInvError("a mask hides its whole photo: let it be one where the photo is known.")
    return mask.to(target).expand(n, -1, -1, -1)


class Objective:
    """The loss of one photo as a function of w+, with what stays the same computed once.

    Attributes:
        start: the encoder's code ``[1, num_ws, w_dim]``.
    """

    def __init__(self, gan: Bundle, x: Tensor, mask: Tensor, encoder: MaskedEncoder, config: Ensemble):
        from ..perception.perceptual import load_perceptual  # lpips and torchvision take a second or two to import

        self.G, self.x, self.mask, self.encoder, self.config = gan.G, x * mask, mask, encoder, config
        self.part = mask.mean()
        self.perceptual = load_perceptual(config.trunk, x.device) if config.perceptual_weight else None
        with torch.no_grad():
            self.features = self.perceptual.features(self.x) if self.perceptual else None
            self.offset = encoder(self.x, mask)
        self.start = gan.G.mapping.w_avg + self.offset

    def __call__(self, w: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss at codes ``[1, num_ws, w_dim]``, and its terms without their weights (and the squared error, for the record)."""
        image = self.G.synthesis(w) * self.mask
        difference = image - self.x
        l1 = difference.abs().mean() / self.part
        distance = (
            self.perceptual(image, self.features).mean() / self.part
            if self.perceptual and self.features
            else torch.zeros_like(l1)
        )
        latent = (self.encoder(image, self.mask) - self.offset).square().mean()
        loss = (
            self.config.l1_weight * l1 + self.config.perceptual_weight * distance + self.config.latent_weight * latent
        )
        mse = difference.detach().square().mean() / self.part
        terms = {"loss": loss, "l1": l1, "distance": distance, "latent": latent, "mse": mse}
        return loss, {name: term.item() for name, term in terms.items()}


def _descend(
    objective: Objective, config: Ensemble, stage: str, callback: Callback | None, resume: Resume | None
) -> tuple[Tensor, list[dict[str, float]]]:
    """Full-batch L-BFGS with a line search (strong Wolfe conditions): the code found, and the terms after every step."""
    w = objective.start.clone().requires_grad_()
    lbfgs = torch.optim.LBFGS(
        [w], max_iter=1, max_eval=1 + LINE_SEARCH, history_size=config.memory, line_search_fn="strong_wolfe"
    )
    history: list[dict[str, float]] = []
    last: dict[str, Any] = {}

    def closure() -> Tensor:
        """The loss at ``w``, its gradient in ``w.grad``. A step begins where the one before has ended: that is not computed again."""
        if not last or not torch.equal(w.detach(), last["w"]):
            with torch.enable_grad():
                loss, terms = objective(w)
                (w.grad,) = torch.autograd.grad(loss, w)
            last.update(w=w.detach().clone(), loss=loss.detach(), terms=terms)
        return last["loss"]

    loop = Loop(stage, config.steps, callback, resume, w=w, lbfgs=lbfgs, history=history)
    for step in loop:
        before = w.detach().clone()
        lbfgs.step(closure)
        closure()
        history.append({"step": step, **last["terms"]})
        loop.report(**last["terms"])
        if torch.equal(w.detach(), before):
            loop.stop()
    return w.detach(), history
