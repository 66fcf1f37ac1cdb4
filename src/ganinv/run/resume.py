"""The file in which an interrupted run keeps its state."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..cache import fingerprint, software
from ..errors import GanInvError
from ..files import atomic_path
from ..settings import encoder_names

if TYPE_CHECKING:
    from ..inversion import Inversion
    from ..zoo import Bundle


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
                raise GanInvError(
                    f"{self.path} is not the state of an interrupted run: delete it to start afresh."
                ) from error

    @classmethod
    def for_run(
        cls, path: Path, gan: Bundle, target: Tensor, method: str, config: Any, start: Inversion | None = None
    ) -> Resume:
        """The resume file of one run, identified by all it depends on: the software, bundle, pixels, method, configuration, the encoders in it,
        and the start."""
        ws = None if start is None else start.ws
        encoders = [gan.encoder(name) for name in encoder_names(config)]
        return cls(
            path, fingerprint(software(), gan.G, gan.D, gan.reference, target, method, repr(config), *encoders, ws)
        )

    def save(self) -> None:
        seconds = self.seconds + time.perf_counter() - self._began
        try:
            with atomic_path(self.path) as temporary:
                torch.save({"fingerprint": self.fingerprint, "seconds": seconds, "stages": self.stages}, temporary)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise GanInvError(
                f"{self.path}, the state of this run, cannot be written ({error}): give another file."
            ) from error

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def part(self, label: str) -> Part:
        """The stages of some of a run's photos, apart from those of the others."""
        return Part(self, label)


class Part(Resume):
    """Stages of a resume file under a ``label`` of their own, until they are finished and their result takes their place."""

    def __init__(self, whole: Resume, label: str):
        self.whole, self.label = whole, label
        self.path, self.fingerprint = whole.path, whole.fingerprint
        kept = whole.stages.setdefault(label, {})
        self.result: dict[str, Any] | None = kept.get("result")
        self.stages = kept
        self.seconds = 0.0  # those of the whole run are counted there

    def save(self) -> None:
        self.whole.save()

    def finish(self, result: dict[str, Any]) -> None:
        """Keep the ``result`` (tensors, and values that JSON has) instead of the stages."""
        self.result = result
        self.whole.stages[self.label] = {"result": result}
