"""Configurations are trees: dataclasses whose fields are settings, or the configurations of the stages that a method begins with.

A setting is named by the way to it, ``("initial", "steps")``, written ``initial.steps`` on the command line. :func:`walk` lists them all,
:func:`put` makes a copy in which some have other values; whatever is done to a whole configuration is one of these.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from .errors import GanInvError

Key = tuple[str, ...]


class SettingError(GanInvError):
    """A configuration has no such setting, or the value does not fit it."""


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
    return [value for key, value in walk(config) if isinstance(value, str) and (key[-1] == "encoder" or key[-1].endswith("_encoder"))]


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
        try:
            config = put(config, {tuple(key.split(".")): _value(config, key, text, stages)})
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
        return _parse(text, kind)
    fitting = {stage: default for stage, default in stages.items() if type(default) in typing.get_args(kind)}
    if not fitting:
        raise SettingError(f"{name} has settings of its own, such as {key}.{next(iter(vars(old)))}")
    if text not in fitting:
        raise SettingError(f"{name} is the name of a method ({', '.join(fitting)}), or has settings, such as {key}.{next(iter(vars(old)))}")
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
