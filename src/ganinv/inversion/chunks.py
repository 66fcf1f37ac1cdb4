"""Many photos, a few at a time: methods that invert photos side by side need memory for as many as they are given at once."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from ..run import Callback, Progress, Resume
from ..stylegan2.controls import Controls

if TYPE_CHECKING:
    from ..zoo import Bundle
    from .result import Inversion

F = TypeVar("F", bound=Callable[..., Any])
KEPT = ("method", "ws", "initial", "initial_ws", "history", "config", "warnings")


def in_chunks(size: int) -> Callable[[F], F]:
    """Call the function below, ``function(gan, target, config, callback, resume) -> Inversion``, with at most ``size`` photos at a time.

    No photo knows of the others, so the result is the same. Of more photos than that, the stages that a callback sees bear the photos' numbers, and
    those that are finished keep their result in the resume file and nothing else.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def run(
            gan: Bundle,
            target: Tensor,
            config: Any = None,
            callback: Callback | None = None,
            resume: Resume | None = None,
        ) -> Inversion:
            if len(target) <= size:
                result: Inversion = function(gan, target, config, callback, resume)
                return result
            began = time.perf_counter()
            firsts = range(0, len(target), size)
            parts = [_part(function, gan, target[i : i + size], i, config, callback, resume) for i in firsts]
            return replace(
                joined(parts), target=target, seconds=time.perf_counter() - began + (resume.seconds if resume else 0.0)
            )

        return cast("F", run)

    return decorate


def joined(parts: Sequence[Inversion]) -> Inversion:
    """The photos of several inversions by one method and configuration, one after the other."""
    first, n = parts[0], 0
    history: list[dict[str, float]] = []
    for part in parts:
        history += [{**row, "photo": row["photo"] + n} for row in part.history]
        n += len(part)
    return replace(
        first,
        target=torch.cat([part.target for part in parts]),
        ws=torch.cat([part.ws for part in parts]),
        controls=Controls({key: torch.cat([_rows(part, key) for part in parts]) for key in first.controls}),
        initial=_all([part.initial for part in parts]),
        initial_ws=_all([part.initial_ws for part in parts]),
        history=history,
        seconds=sum(part.seconds for part in parts),
        warnings=[sentence for part in parts for sentence in part.warnings],
    )


def _all(tensors: Sequence[Tensor | None]) -> Tensor | None:
    given = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(given) if given else None


def _rows(part: Inversion, key: str) -> Tensor:
    """A control with a row for every photo, also where all share one."""
    tensor = part.controls[key]
    return tensor.expand(len(part), *tensor.shape[1:])


def _part(
    function: Callable[..., Inversion],
    gan: Bundle,
    target: Tensor,
    first: int,
    config: Any,
    callback: Callback | None,
    resume: Resume | None,
) -> Inversion:
    """The inversion of a chunk, whose first photo has the number ``first``."""
    label = f"photos {first + 1} to {first + len(target)}"
    mine = resume.part(label) if resume else None
    if mine and (kept := mine.result) is not None:
        return _restored(gan, target, kept)

    def tell(progress: Progress) -> None:
        if callback:
            callback(replace(progress, stage=f"{progress.stage}, {label}"))

    result = function(gan, target, config, tell if callback else None, mine).to("cpu")
    if mine:
        mine.finish({name: getattr(result, name) for name in KEPT} | {"controls": dict(result.controls)})
    return result


def _restored(gan: Bundle, target: Tensor, kept: dict[str, Any]) -> Inversion:
    from .result import Inversion

    return Inversion(gan=gan, target=target, **{**kept, "controls": Controls(kept["controls"])})
