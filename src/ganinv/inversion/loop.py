"""The loop every inversion method runs in: progress, clean Ctrl-C, resume."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..cache import fingerprint
from ..errors import GanInvError
from ..files import atomic_path
from ..interrupt import Interrupt
from ..settings import encoder_names

if TYPE_CHECKING:
    from ..zoo import Bundle
    from .result import Inversion

SAVE_SECONDS = 20.0


@dataclass
class Progress:
    """What a callback receives after every step: ``step`` steps of ``steps`` are done; ``values`` holds the latest losses (floats)."""

    stage: str
    step: int
    steps: int
    values: dict[str, float]


Callback = Callable[[Progress], None]


@dataclass
class Resume:
    """Where an interrupted run keeps its state, and what identifies it (photo, model, method, configuration, start).

    A file left by a different run is ignored, and overwritten.

    Attributes:
        seconds: how long the interrupted runs took, up to the state they saved.
    """

    path: Path
    fingerprint: str
    stages: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._began = time.perf_counter()
        if self.path.is_dir():
            raise GanInvError(f"{self.path} is a folder: give a file in which an interrupted run can keep its state.")
        if self.path.is_file():
            try:
                saved = torch.load(self.path, map_location="cpu", weights_only=True)
                if saved["fingerprint"] == self.fingerprint:
                    self.stages, self.seconds = saved["stages"], saved["seconds"]
            except Exception as error:  # whatever is wrong with the file, the cure is the same
                raise GanInvError(f"{self.path} is not the state of an interrupted run: delete it to start afresh.") from error

    @classmethod
    def for_run(cls, path: Path, gan: Bundle, target: Tensor, method: str, config: Any, start: Inversion | None = None) -> Resume:
        """The resume file of one run, identified by all it depends on: bundle, pixels, method, configuration, the encoders in it, and the start."""
        ws = None if start is None else start.ws
        encoders = [gan.encoder(name) for name in encoder_names(config)]
        return cls(path, fingerprint(gan.G, gan.D, gan.reference, target, method, repr(config), *encoders, ws))

    def save(self) -> None:
        seconds = self.seconds + time.perf_counter() - self._began
        try:
            with atomic_path(self.path) as temporary:
                torch.save({"fingerprint": self.fingerprint, "seconds": seconds, "stages": self.stages}, temporary)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise GanInvError(f"{self.path}, the state of this run, cannot be written ({error}): give another file.") from error

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


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

    To end a stage early, call :meth:`stop` and go on to the next step: after a ``break`` nothing would be saved.
    """

    def __init__(self, stage: str, steps: int, callback: Callback | None = None, resume: Resume | None = None, **state: Any):
        self.stage, self.steps, self.callback, self.resume, self.state = stage, steps, callback, resume, state
        self.step = 0
        self.values: dict[str, float] = {}

    def report(self, **values: float | Tensor) -> None:
        """Record this step's values for the callback.

        Raises:
            GanInvError: one of them is not finite.
        """
        self.values.update({key: float(value.detach()) if isinstance(value, Tensor) else float(value) for key, value in values.items()})
        for key, value in self.values.items():
            if not math.isfinite(value):
                raise GanInvError(f"{self.stage} diverged at step {self.step} ({key} is {value}): lower its learning rate.")

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
        frozen = {key: _freeze(value) for key, value in state.items()}
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


def _freeze(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if hasattr(value, "get_state"):  # random generators and streams of real images
        return value.get_state()
    if isinstance(value, dict):
        return {key: _freeze(item) for key, item in value.items()}
    return copy.deepcopy(value.state_dict()) if hasattr(value, "state_dict") else list(value)  # a state_dict's tensors are the live ones


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
