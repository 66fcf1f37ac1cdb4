"""The one exception a person ever sees, how it may quote a file, and what is said of all others."""

import json
from typing import Any


class GanInvError(Exception):
    """Something the user can put right. Its message is one clear sentence: what is wrong, in which file, and the cure."""


def printable(text: str, limit: int | None = None) -> str:
    """``text``, which a file may have chosen, as a terminal can show it: one line, no control characters, no turned writing direction.

    What cannot be printed is spelt as in JSON (``\\u001b``), so JSON stays JSON. Text of over ``limit`` characters is cut.
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def shown(value: Any) -> str:
    """A value from a file as a message may quote it. Only a number or a short text shows: a list can hold itself, and grow without end."""
    if type(value) is str:
        return f"'{printable(value, 80)}'"
    short = type(value) in (bool, float, type(None)) or (type(value) is int and abs(value) < 2**64)
    return str(value) if short else f"a value of type {type(value).__name__}"


def sentence(error: BaseException) -> str:
    """What to say of ``error``: a :class:`GanInvError`'s own sentence; of any other its type, and the first line of its message."""
    if isinstance(error, GanInvError):
        return str(error)
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
