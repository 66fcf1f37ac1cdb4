"""When tuning goes wrong: notice it, go back to the best state so far, and say so in one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import GanInvError

EVERY = 10  # evaluations from one look at the best state to the next
PATIENCE = 50  # evaluations in a row
FACTOR = 10.0
HALF_MAX = torch.finfo(torch.float16).max


class DivergenceWarning(UserWarning):
    """A run diverged, and the best state before that was returned."""


class Watch:
    """Watches the MSE of what is being tuned, and keeps a copy of its best state.

    A run has diverged when a loss is not finite, or when the MSE has been above that of the start *and* above ten times the best for 50 evaluations
    in a row. In a run without reconstruction term the MSE goes where it will, and only losses are looked at.

    Args:
        tensors: what is tuned; each evaluation belongs to the values they have when :meth:`diverged` is called.
        name: of the method, for the sentence.
        cure: what to lower.
        reconstructs: whether some term of the loss brings the MSE down.
    """

    def __init__(self, tensors: Sequence[Tensor], name: str, cure: str, reconstructs: bool = True):
        self.tensors, self.name, self.cure, self.reconstructs = list(tensors), name, cure, reconstructs
        self.kept = [tensor.detach().clone() for tensor in self.tensors]
        self.kept_mse, self.kept_step = math.inf, -1
        self.start, self.best = math.inf, math.inf
        self.evaluations = self.bad = 0
        self.warning = ""

    def diverged(self, step: int, values: Mapping[str, float | Tensor], last: bool = False) -> bool:
        """Whether the run has to be stopped, given what was computed at ``step`` before its update, with ``mse`` where the photo was seen.

        ``last`` is for the end of the run: there is no more patience, and the tensors have to fit the clone's float16.
        """
        if not all(torch.as_tensor(value).isfinite().all() for value in values.values()):
            return True
        if last and any(tensor.numel() and tensor.abs().max() > HALF_MAX for tensor in self.tensors):
            return True
        if "mse" not in values:
            return False
        mse = torch.as_tensor(values["mse"]).mean().item()
        if not self.evaluations:
            self.start = mse
        if self.evaluations % EVERY == 0 and mse < self.kept_mse:
            self._copy(self.tensors, self.kept)
            self.kept_mse, self.kept_step = mse, step
        self.evaluations += 1
        self.best = min(self.best, mse)
        self.bad = self.bad + 1 if mse > max(self.start, FACTOR * self.best) else 0
        return self.reconstructs and self.bad >= (1 if last else PATIENCE)

    def go_back(self, step: int) -> None:
        """Give the tensors the best values kept, and write the sentence that says so into :attr:`warning`.

        Raises:
            GanInvError: nothing has been kept, for want of any evaluation with a finite error.
        """
        if self.kept_step < 0:
            raise GanInvError(f"{self.name} diverged at step {step}: lower {self.cure}.")
        self._copy(self.kept, self.tensors)
        self.warning = (
            f"{self.name} diverged at step {step} and was stopped; "
            f"the result is its best state, of step {self.kept_step} with an MSE of {self.kept_mse:.4f}: lower {self.cure}."
        )

    def get_state(self) -> dict[str, Any]:
        """All that changes, copied, for an interrupted run."""
        numbers = {
            key: value for key, value in vars(self).items() if isinstance(value, int | float) or key == "warning"
        }
        return {**numbers, "kept": [tensor.clone() for tensor in self.kept]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`get_state` was called."""
        self._copy(state["kept"], self.kept)
        vars(self).update({key: value for key, value in state.items() if key != "kept"})

    @staticmethod
    @torch.no_grad()
    def _copy(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
        for a, b in zip(source, target, strict=True):
            b.copy_(a)
