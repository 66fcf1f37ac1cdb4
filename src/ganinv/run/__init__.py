"""What runs step by step, inversion and training alike: the loop with its progress, Ctrl-C and resume, and the watch over what is tuned."""

from __future__ import annotations

from .alone import alone
from .interrupt import Interrupt
from .loop import Callback, Loop, Progress
from .resume import Resume
from .watch import DivergenceWarning, Watch

__all__ = ["Callback", "DivergenceWarning", "Interrupt", "Loop", "Progress", "Resume", "Watch", "alone"]
