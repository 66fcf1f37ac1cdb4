"""The loop that every inversion method and every encoder's training runs in: progress, clean Ctrl-C, resume."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import GanInvError
from .interrupt import Interrupt
from .resume import Resume

SAVE_SECONDS = 20.0


@dataclass
class Progress:
    """What a callback receives after every step: ``step`` steps of ``steps`` are done; ``values`` holds the latest losses (floats)."""

    stage: str
    step: int
    steps: int
    values: dict[str, float]


Callback = Callable[[Progress], None]


class Loop:
    """Iterate over the steps of one stage of a method.

    .. code-block:: python

        loop = Loop("projection", 500, callback, resume, w=w, adam=adam, history=history)
        for step in loop:
            ...
            loop.report(loss=loss)

    The keyword arguments are the state of the stage: tensors (changed in place), objects with ``state_dict``, generators and lists. With
    ``resume`` they are saved every few seconds and at Ctrl-C, and restored when the stage is entered again; a stage that was finished is
    restored and runs no step. Ctrl-C lets the current step finish, saves, and raises ``KeyboardInterrupt``; a second one is immediate.
    What is saved is on the CPU, and can be restored on any device.

    To end a stage early, call :meth:`stop` and go on to the next step: after a ``break`` nothing would be saved.
    """

    def __init__(
        self, stage: str, steps: int, callback: Callback | None = None, resume: Resume | None = None, **state: Any
    ):
        self.stage, self.steps, self.callback, self.resume, self.state = stage, steps, callback, resume, state
        self.step = 0
        self.values: dict[str, float] = {}

    def report(self, **values: float | Tensor) -> None:
        """Record this step's values for the callback.

        Raises:
            GanInvError: one of them is not finite.
        """
        self.values.update(
            {key: float(value.detach()) if isinstance(value, Tensor) else float(value) for key, value in values.items()}
        )
        for key, value in self.values.items():
            if not math.isfinite(value):
                raise GanInvError(
                    f"{self.stage} diverged at step {self.step} ({key} is {value}): lower its learning rate."
                )

    def stop(self) -> None:
        """Make this step the last one."""
        self.steps = self.step + 1

    def __iter__(self) -> Iterator[int]:
        self._restore()
        last_save = time.monotonic()
        with Interrupt() as interrupt:
            while self.step < self.steps:
                yield self.step
                self.step += 1
                if self.callback:
                    self.callback(Progress(self.stage, self.step, self.steps, dict(self.values)))
                if interrupt.pending or self.step == self.steps or time.monotonic() - last_save > SAVE_SECONDS:
                    self._save()
                    last_save = time.monotonic()
                if interrupt.pending:
                    raise KeyboardInterrupt

    def _save(self) -> None:
        if self.resume is None:
            return
        state = self.state
        if self.step == self.steps:  # no step will need the optimisers, two thirds of the file
            state = {key: value for key, value in state.items() if not isinstance(value, torch.optim.Optimizer)}
        frozen = {key: on_cpu(_freeze(value)) for key, value in state.items()}
        self.resume.stages[self.stage] = {"step": self.step, "steps": self.steps, "values": dict(self.values), **frozen}
        self.resume.save()

    def _restore(self) -> None:
        saved = self.resume.stages.get(self.stage) if self.resume else None
        if saved is None:
            return
        self.step, self.steps, self.values = saved["step"], saved["steps"], dict(saved["values"])
        for key, value in self.state.items():
            if key in saved:
                _thaw(value, saved[key])


def on_cpu(state: Any) -> Any:
    """A copy of a state, dictionaries and lists however deep, with its tensors on the CPU; tensors that are there already are not copied."""
    if isinstance(state, Tensor):
        return state.detach().cpu()
    if isinstance(state, dict):
        return {key: on_cpu(value) for key, value in state.items()}
    return type(state)(map(on_cpu, state)) if isinstance(state, list | tuple) else state


def _freeze(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if hasattr(value, "get_state"):  # random generators and streams of real images
        return value.get_state()
    if isinstance(value, dict):
        return {key: _freeze(item) for key, item in value.items()}
    # a state_dict's tensors are the live ones
    return copy.deepcopy(value.state_dict()) if hasattr(value, "state_dict") else list(value)


def _thaw(value: Any, saved: Any) -> None:
    if isinstance(value, Tensor):
        with torch.no_grad():
            value.copy_(saved)
    elif hasattr(value, "set_state"):
        value.set_state(saved)
    elif isinstance(value, dict):
        for key, item in value.items():
            _thaw(item, saved[key])
    elif hasattr(value, "load_state_dict"):
        value.load_state_dict(copy.deepcopy(saved))
    else:
        value[:] = saved
