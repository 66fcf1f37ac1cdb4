"""Configurations are trees: dataclasses whose fields are settings, or the configurations of the stages that a method begins with.

What a setting can be is declared beside it, ``steps: Count = 100``, and checked when a configuration is made (:class:`Checked`).

A setting is named by the way to it, ``("initial", "steps")``, written ``initial.steps`` on the command line. :func:`walk` lists them all,
:func:`put` makes a copy in which some have other values; whatever is done to a whole configuration is one of these.
"""

from __future__ import annotations

import math
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Annotated, Any, NamedTuple

from .errors import GanInvError

Key = tuple[str, ...]


class SettingError(GanInvError, ValueError):
    """A configuration has no such setting, or the value does not fit it."""


# -- what values fit -----------------------------------------------------------------------------------------------------


class Limit(NamedTuple):
    """Which values a setting can have: ``Annotated[int, Limit(...)]`` as the type of its field.

    Attributes:
        fits: whether a value is one of them.
        words: what is said of another, ``{}``, after the setting's name.
    """

    fits: Callable[[Any], bool]
    words: str


def whole(least: int, most: float = math.inf) -> Limit:
    """A whole number from ``least`` to ``most``."""
    return Limit(
        lambda value: isinstance(value, numbers.Integral) and least <= int(value) <= most,
        f"must be a whole number, at least {least}, not {{!r}}",
    )


def number(least: float = -math.inf, most: float = math.inf, words: str = "") -> Limit:
    """A finite number from ``least`` to ``most``."""
    limits = [f"at {side} {value:g}" for side, value in (("least", least), ("most", most)) if math.isfinite(value)]
    return Limit(
        lambda value: isinstance(value, numbers.Real) and math.isfinite(value) and least <= float(value) <= most,
        f"{words or 'must be ' + ', '.join(['a number', *([' and '.join(limits)] if limits else [])])}, not {{!r}}",
    )


def one_of(*names: str) -> Limit:
    """One of some words."""
    *most, last = map(repr, names)
    return Limit(
        lambda value: value in names, f"must be {' or '.join([', '.join(most), last] if most else [last])}, not {{!r}}"
    )


# names that have a meaning, whatever the bundle
ENCODERS = (
    "psp",
    "e4e",
    "restyle-psp",
    "restyle-e4e",
    "bdinvert",
    "hfgi",
    "ensemble",
)


def encoder_of(*names: str) -> Limit:
    """The name of an encoder that was trained for one of ``names``, or any other name or file."""
    words = f"{{}} is not of the kind that {' and '.join(names)} take{'s'[len(names) - 1 :]}: train one with `ganinv train encoder {names[0]}`"
    return Limit(
        lambda value: isinstance(value, str) and bool(value) and (value in names or value not in ENCODERS), words
    )


GROUP = 4  # images that a discriminator usually compares with each other (the minibatch standard deviation)

Switch = Annotated[bool, Limit(lambda value: isinstance(value, bool), "is a switch, true or false, not {!r}")]
Count = Annotated[int, whole(0)]
Positive = Annotated[int, whole(1)]
Several = Annotated[int, whole(2)]
Seed = Annotated[int, whole(0, 2**63 - 1)]
Number = Annotated[float, number()]
Weight = Annotated[float, number(0)]  # and rates
Share = Annotated[float, number(0, 1)]
Probability = Annotated[float, number(0, 1, "is a probability, from 0 to 1")]
Divisor = Annotated[
    float, Limit(lambda value: number(0).fits(value) and value > 0, "must be a number above 0, not {!r}")
]
Momentum = Annotated[
    float,
    Limit(lambda value: number(0).fits(value) and value < 1, "must be a number, at least 0 and below 1, not {!r}"),
]
Resolution = Annotated[
    int, Limit(lambda value: value in [2**k for k in range(3, 11)], "must be a power of two from 8 to 1024, not {!r}")
]
Batch = Annotated[
    int,
    Limit(
        lambda value: whole(1).fits(value) and (value <= GROUP or value % GROUP == 0),
        f"must be 1 to {GROUP}, or a multiple of {GROUP}: the discriminator compares images {GROUP} by {GROUP}, not {{!r}}",
    ),
]


class Checked:
    """Base of the configurations: a dataclass whose values are held against the limits in its fields' types when it is made."""

    def __post_init__(self) -> None:
        check(self)


def check(config: Any) -> None:
    """Raise :class:`SettingError` for the first setting of ``config`` (not of its stages, which have been checked) that is outside its limits."""
    for name, (limit, optional) in _limits(config.__class__).items():
        value = getattr(config, name)
        if not (optional and value is None) and not limit.fits(value):
            raise SettingError(f"{name} {limit.words.format(value)}")


@cache
def _limits(kind: type) -> dict[str, tuple[Limit, bool]]:
    """The limit of every field that has one, and whether the field may be ``None`` as well."""
    found = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        union = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
        for part in union:
            for limit in getattr(part, "__metadata__", ()):
                if isinstance(limit, Limit):
                    found[name] = limit, type(None) in union
    return found


# -- trees ---------------------------------------------------------------------------------------------------------------


def walk(config: Any) -> Iterator[tuple[Key, Any]]:
    """Every setting with its value, however deep; none, if ``config`` is no dataclass."""
    for field in fields(config) if is_dataclass(config) else ():
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from (((field.name, *key), setting) for key, setting in walk(value))
        else:
            yield (field.name,), value


def put(config: Any, values: Mapping[Key, Any]) -> Any:
    """A copy of ``config`` with other ``values``."""
    changes, below = dict[str, Any](), dict[str, dict[Key, Any]]()
    for (name, *rest), value in values.items():
        if rest:
            below.setdefault(name, {})[tuple(rest)] = value
        else:
            changes[name] = value
    return replace(config, **changes, **{name: put(getattr(config, name), some) for name, some in below.items()})


def shortened(config: Any, steps: int) -> Any:
    """A copy of ``config`` in which no stage has more than ``steps`` steps: every setting of that name."""
    return put(config, {key: min(own, steps) for key, own in walk(config) if key[-1] == "steps"})


def seeded(config: Any, seed: int) -> Any:
    """A copy of ``config`` with ``seed`` as the seed of every stage."""
    return put(config, {key: seed for key, _ in walk(config) if key[-1] == "seed"})


def encoder_names(config: Any) -> list[str]:
    """The encoders that a method's configuration asks for: the texts in its settings named ``encoder``, or ending so."""
    return [
        value
        for key, value in walk(config)
        if isinstance(value, str) and (key[-1] == "encoder" or key[-1].endswith("_encoder"))
    ]


def configured(config: Any, changes: Iterable[str], stages: Mapping[str, Any]) -> Any:
    """A copy of ``config`` with changes such as ``"steps=100"`` and ``"initial.lr=0.05"``.

    Args:
        stages: configurations that can be asked for by their names, where a setting is the configuration of a stage and can be of that type.

    Raises:
        SettingError: an unknown setting, or a value that does not fit.
    """
    for change in changes:
        key, equals, text = (part.strip() for part in change.partition("="))
        if not equals:
            raise SettingError(f"{change!r} should read KEY=VALUE")
        value = _value(config, key, text, stages)
        try:
            config = put(config, {tuple(key.split(".")): value})
        except ValueError as error:
            raise SettingError(f"{key}={text}: {error}") from None
    return config


def _value(config: Any, key: str, text: str, stages: Mapping[str, Any]) -> Any:
    """What ``text`` means as the value of the setting ``key``."""
    *above, name = key.split(".")
    for part in above:
        config = _own(config, part, key)[0]
        if not is_dataclass(config):
            raise SettingError(f"{part} has no settings of its own")
    old, kind = _own(config, name, key)
    if not is_dataclass(old):
        try:
            return _parse(text, kind)
        except ValueError as error:
            raise SettingError(f"{key}={text}: {error}") from None
    fitting = {stage: default for stage, default in stages.items() if type(default) in typing.get_args(kind)}
    if not fitting:
        raise SettingError(f"{name} has settings of its own, such as {key}.{next(iter(vars(old)))}")
    if text not in fitting:
        raise SettingError(
            f"{name} is the name of a method ({', '.join(fitting)}), or has settings, such as {key}.{next(iter(vars(old)))}"
        )
    return fitting[text]


def _own(config: Any, name: str, key: str) -> tuple[Any, Any]:
    """The value and the type of one field of ``config``, on the way to the setting ``key``."""
    kinds = typing.get_type_hints(type(config))
    if name not in kinds:
        raise SettingError(f"there is no setting {key!r}; {type(config).__name__} has {', '.join(kinds)}")
    return getattr(config, name), kinds[name]


def _parse(text: str, kind: Any) -> Any:
    """``text`` as ``int``, ``float``, ``bool``, ``str``, or one of these ``| None``."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        if text.lower() == "none":
            return None
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() not in words:
            raise ValueError("it is a switch, true or false")
        return words[text.lower()]
    if kind not in (int, float, str):
        raise ValueError("it is no single value; the other options set it")
    try:
        return kind(text)
    except ValueError:
        raise ValueError("a whole number is needed" if kind is int else "a number is needed") from None
