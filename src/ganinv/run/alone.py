"""A run that neither depends on the modes of whoever calls it nor leaves a trace in them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def alone() -> Iterator[None]:
    """Gradients are recorded, whatever ``torch.no_grad`` or ``inference_mode`` is around; and afterwards the global random numbers of PyTorch, NumPy
    and Python are where they were. Also a decorator: ``@alone()``."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
