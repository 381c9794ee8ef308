"""Fields of a settings dataclass that know their help, unit, range and choices, and the checks that read them.

Command line, panel and configuration files take help texts, ranges and choices from the fields themselves.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from typing import Any

LARGEST = 1.7976931348623157e308
KINDS = {"str": (str, "a text"), "bool": (bool, "true or false"), "Mapping": (Mapping, "names with values")}
"""How the annotation of a field starts → what it must be, and in words."""


def choice(default: str, choices: tuple[str, ...], text: str) -> Any:
    """A field that is one of a few words."""
    return field(default=default, metadata={"choices": choices, "help": text, "unit": ""})


def number(default: float | None, low: float, high: float, unit: str, text: str) -> Any:
    """A field that is a number in [low, high]; None only where that is the default."""
    return field(default=default, metadata={"range": (low, high), "help": text, "unit": unit, "kind": float})


def integer(default: int | None, low: int, high: int, unit: str, text: str) -> Any:
    """A field that is a whole number in [low, high]; None only where that is the default."""
    return field(default=default, metadata={"range": (low, high), "help": text, "unit": unit, "kind": int})


def flag(default: bool, text: str) -> Any:
    """A field that is true or false."""
    return field(default=default, metadata={"flag": True, "help": text, "unit": ""})


def checked_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """The value, if it is one of the choices.

    Raises:
        ValueError: it is not; the nearest choice is suggested.
    """
    if value in choices:
        return value
    near = difflib.get_close_matches(str(value).lower(), choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}.{hint}")


def checked_number(name: str, value: Any, rules: Mapping[str, Any]) -> float | int:
    """The value as the field's kind of number.

    Raises:
        ValueError: not a number, not whole where that is asked, or out of range.
    """
    low, high = rules["range"]
    unit = f" {rules['unit']}" if rules["unit"] else ""
    kind = "a whole number" if rules["kind"] is int else "a number"
    problem = f"{name} must be {kind} from {low:g} to {high:g}{unit}, got {value!r}; choose a value in that range."
    if not is_number(value) or not low <= value <= high or (rules["kind"] is int and value != int(value)):
        raise ValueError(problem)
    return rules["kind"](value)


def is_number(value: Any) -> bool:
    """True for a finite number that a float can hold; true and false are none."""
    return not isinstance(value, bool) and isinstance(value, int | float) and abs(value) <= LARGEST


def check_kinds(settings: Any, what: str = "") -> None:
    """Refuses fields of a dataclass that shall be texts, flags or mappings and are something else.

    Args:
        settings: whose annotations say what its fields are; fields with choices, a range or a path are checked elsewhere.
        what: whose field it is, for the message.

    Raises:
        ValueError: for the first such field.
    """
    for f in fields(settings):
        value, kind = getattr(settings, f.name), str(f.type).removesuffix(" | None")
        allowed, words = next((rule for start, rule in KINDS.items() if kind.startswith(start)), (object, ""))
        absent = value is None and str(f.type).endswith("| None")
        if not absent and not isinstance(value, allowed) and not {"choices", "path", "range"} & set(f.metadata):
            raise ValueError(f"{f.name}{what} must be {words}, got {value!r}.")


def checked_flag(name: str, value: Any) -> bool:
    """The value, if it is true or false.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, bool):
        return value
    raise ValueError(f"{name} must be true or false, got {value!r}.")


def refuse_unknown(names: Iterable[str], known: tuple[str, ...], what: str) -> None:
    """Refuses names that are not known, with the nearest known one.

    Args:
        names: as they were given.
        known: what there is.
        what: how to call one of them, e.g. "setting".

    Raises:
        ValueError: for the first unknown name.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name).replace("-", "_"), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}."
            raise ValueError(f"Unknown {what} {name!r}; {hint}")
