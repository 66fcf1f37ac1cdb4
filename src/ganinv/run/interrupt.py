"""Ctrl-C that lets the step at hand finish, so that what is saved is a whole state."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """While ``with Interrupt() as interrupt`` lasts, Ctrl-C sets ``interrupt.pending``; a second Ctrl-C raises ``KeyboardInterrupt`` at once.

    The caller looks at ``pending`` between two steps, saves, and raises ``KeyboardInterrupt``; one that it missed is raised at the end. Outside
    the main thread, where Python delivers no signals, nothing is changed.
    """

    def __init__(self) -> None:
        self.pending = False

    def __enter__(self) -> Interrupt:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._previous: Any = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._main:
            signal.signal(signal.SIGINT, signal.SIG_DFL if self._previous is None else self._previous)
        if self.pending and kind is None:
            raise KeyboardInterrupt

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.pending:
            raise KeyboardInterrupt
        self.pending = True
