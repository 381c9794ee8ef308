"""Settings ⇄ plain values (what JSON and YAML hold): nested dataclasses, enums by value, tuples as lists."""

from __future__ import annotations

import difflib
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from ..networks.transmorph_tvf import TransMorphTvfSettings
from ..networks.unet import UNetSettings
from ..priors.beta import BetaPrior
from ..priors.gaussian import GaussianPrior

KINDS = {"transmorph-tvf": TransMorphTvfSettings, "unet": UNetSettings, "beta": BetaPrior, "gaussian": GaussianPrior}
"""Names of the dataclasses between which a setting chooses; given as its entry `kind`."""


def to_plain(value: Any) -> Any:
    """A settings dataclass (or a part of one) as dictionaries, lists, strings and numbers."""
    if is_dataclass(value):
        plain = {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
        kind = next((name for name, cls in KINDS.items() if type(value) is cls), None)
        return plain if kind is None else {"kind": kind, **plain}
    if isinstance(value, Enum):
        return value.name.lower()
    return [to_plain(item) for item in value] if isinstance(value, list | tuple) else value


def from_plain(cls: type, plain: Mapping[str, Any], where: str) -> Any:
    """A settings dataclass from plain values; entries that are missing take their defaults.

    Args:
        cls: the dataclass.
        plain: what `to_plain` gives, or a part of it.
        where: name of this part for messages.

    Raises:
        ValueError: an unknown entry (the nearest is suggested), or a value of another type or outside of its range.
    """
    if not isinstance(plain, Mapping):
        raise ValueError(f"{where} must be a mapping of settings, got {plain!r}.")
    entries = {name: value for name, value in plain.items() if name != "kind"}
    hints = typing.get_type_hints(cls)
    for name in entries:
        if name not in hints:
            raise ValueError(f"{where} has no setting {name!r}; {suggestion(name, hints)}")
    return cls(**{name: _value(hints[name], value, f"{where}.{name}") for name, value in entries.items()})


def suggestion(name: str, known: typing.Iterable[str]) -> str:
    """'did you mean …?' for a misspelt name, or the list of what is known."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(known)}."


def _value(hint: Any, value: Any, where: str) -> Any:
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    options = [option for option in options if option is not type(None)]
    if is_dataclass(options[0]):
        return from_plain(_chosen(options, value, where), value, where)
    kind = options[0]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind, value, where)
    if typing.get_origin(kind) is tuple:
        return _tuple(typing.get_args(kind), value, where)
    return _scalar(kind, value, where)


def _chosen(options: list[type], value: Any, where: str) -> type:
    """The dataclass named by `kind`, where there is a choice."""
    kind = value.get("kind") if isinstance(value, Mapping) else None
    names = {name: cls for name, cls in KINDS.items() if cls in options}
    if kind is None or not names:
        return options[0]
    if not isinstance(kind, str) or kind not in names:
        raise ValueError(f"{where} has no kind {kind!r}; {suggestion(kind, names)}")
    return names[kind]


def _enum(kind: type[Enum], value: Any, where: str) -> Enum:
    names = {member.name.lower(): member for member in kind}
    key = str(value).lower().replace("-", "_")
    if key not in names:
        raise ValueError(f"{where} cannot be {value!r}; {suggestion(key, names)}")
    return names[key]


def _tuple(items: tuple, value: Any, where: str) -> tuple:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where} must be a list, got {value!r}.")
    return tuple(_value(items[0], item, where) for item in value)


def _scalar(kind: type, value: Any, where: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number and not abs(value) > sys.float_info.max:
        return float(value)
    if isinstance(value, kind) and (kind is not int or number):
        return value
    raise ValueError(f"{where} must be of type {kind.__name__}, got {value!r}.")
