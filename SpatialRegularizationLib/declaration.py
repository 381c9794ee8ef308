"""Declare what can be chosen: default, range or choices, unit, symbol and help of a field; and check it.

A dataclass whose fields are made here is its own documentation: command line, configuration files, panel, tuning and reports read
names, ranges and help from `dataclasses.fields`. A *method* (a prior, a similarity) is such a dataclass with a name; a settings
class `offers` a family of methods, and each parameter of each method becomes a field of it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, field, fields
from typing import Any

LARGEST = 1.7976931348623157e308
KINDS = {"str": "a text", "bool": "true or false", "int": "a whole number", "float": "a number", "Mapping": "names with values",
         "tuple": "a list"}  # fmt: skip
"""How the annotation of a field starts → what it must be, in words."""


def choice(default: str, choices: tuple[str, ...], text: str) -> Any:
    """A field that is one of a few words."""
    return field(default=default, metadata={"choices": choices, "help": text, "unit": ""})


def number(default: float | None, low: float, high: float, unit: str, text: str, **more: Any) -> Any:
    """A field that is a number in [low, high]; None only where that is the default.

    Args:
        default, low, high, unit, text: what they say; the unit may be "".
        more: `step` (of the panel's control, where it is not to follow from range and presets), `odd` (True: even numbers are
            refused); of a method's parameter also `symbol` (how it is written, "α′"), `offered` (default of the settings that
            offer it, where that is another one), `live` (True: the panel has a slider), `search` ((low, high) in which tuning
            looks for it, evenly in the logarithm).
    """
    return field(default=default, metadata={"range": (low, high), "help": text, "unit": unit, "kind": float, **more})


def integer(default: int | None, low: int, high: int, unit: str, text: str, **more: Any) -> Any:
    """A field that is a whole number in [low, high]; None only where that is the default; arguments as `number`."""
    return field(default=default, metadata={"range": (low, high), "help": text, "unit": unit, "kind": int, **more})


def flag(default: bool, text: str) -> Any:
    """A field that is true or false."""
    return field(default=default, metadata={"flag": True, "help": text, "unit": ""})


def file_path(text: str, default: Any = None) -> Any:
    """A field that is the path of a file or folder."""
    return field(default=default, metadata={"path": True, "help": text, "unit": ""})


def entry(default: Any, text: str, *, unit: str = "", check: Callable[[str, Any], Any] | None = None) -> Any:
    """A field of another kind.

    Args:
        default: immutable.
        text: help.
        unit: of it.
        check: (name, value) → the value in its right type; raises ValueError.
    """
    rules = {"help": text, "unit": unit} | ({} if check is None else {"check": check})
    return field(default=default, metadata=rules)


def three(kind: type, unit: str, text: str, default: Any = None) -> Any:
    """A field that holds three positive numbers, one per axis; None only where that is the default."""
    return entry(default, text, unit=unit, check=lambda name, given: checked_three(name, given, kind, unit))


def parts(cls: type, text: str) -> Any:
    """A field that is another settings dataclass, or names and values for one; None where it is left out."""
    return field(default=None, metadata={"parts": cls, "help": text, "unit": ""})


def offers(**families: Sequence[type]) -> Callable[[type], type]:
    """Gives a settings class, before `dataclass` sees it, a field for each family and one for each parameter of its methods.

    Methods of a family may share a parameter, which they then declare alike.

    Args:
        families: field → methods: dataclasses with `name`, `summary` and, where its parameters need it, `prefix`. The first is
            the default.
    """

    def decorated(cls: type) -> type:
        found: dict[str, tuple[str, Any]] = {}
        for family, methods in families.items():
            words = "; ".join(f"{method.name}: {method.summary}" for method in methods)
            found[family] = "str", choice(methods[0].name, tuple(method.name for method in methods), words)
            for method in methods:
                _offer(found, family, method)
        cls.__annotations__ = {name: kind for name, (kind, _) in found.items()} | cls.__annotations__
        for name, (_, made) in found.items():
            setattr(cls, name, made)
        return cls

    return decorated


def parameters_of(method: type) -> dict[str, str]:
    """Parameter of a method → the setting that offers it."""
    prefix = getattr(method, "prefix", "")
    return {f.name: prefix + f.name for f in fields(method)}


def _offer(found: dict[str, tuple[str, Any]], family: str, method: type) -> None:
    names = parameters_of(method)
    for f in fields(method):
        name, rules = names[f.name], dict(f.metadata)
        default = rules.pop("offered", f.default)
        known = found.get(name)
        users = ((family, method.name),)
        if known is not None:
            before = dict(known[1].metadata)
            users = (*before.pop("of"), *users)
            if before != rules or known[1].default != default:
                raise TypeError(f"{method.__name__} declares {name} unlike another {family}: give both the same declaration.")
        found[name] = rules["kind"].__name__, field(default=default, metadata={**rules, "of": users})


def check_fields(settings: Any, prefix: str = "") -> None:
    """Checks every field of a frozen settings dataclass and gives it its right type; called in `__post_init__`.

    Args:
        settings: whose fields declare themselves.
        prefix: before their names in messages, as "synthesis." or "an aim's ".

    Raises:
        ValueError: a field outside its range or choices; one sentence.
    """
    check_kinds(settings, prefix)
    for f in fields(settings):
        found = checked(prefix + f.name, getattr(settings, f.name), f.metadata, f.default)
        object.__setattr__(settings, f.name, found)


def checked(name: str, given: Any, rules: Mapping[str, Any], default: Any = None) -> Any:
    """The value of a field in its right type.

    Raises:
        ValueError: name, expected, got and remedy.
    """
    if given is None and default is None:
        return None
    if "choices" in rules:
        return checked_choice(name, given, rules["choices"])
    if "range" in rules:
        return checked_number(name, given, rules)
    if "flag" in rules and not isinstance(given, bool):
        raise ValueError(f"{name} must be true or false, got {given!r}.")
    if "path" in rules:
        if not isinstance(given, (str, os.PathLike)):
            raise ValueError(f"{name} must be a path, got {given!r}.")
        return str(given)
    if "parts" in rules:
        return built(rules["parts"], given, name)
    return rules["check"](name, given) if "check" in rules else given


def built(cls: type, given: Any, what: str) -> Any:
    """A dataclass from names and values, as files hold them.

    Args:
        cls: whose fields are the names; it checks their values itself.
        given: the values; one that is a `cls` already stays.
        what: how to call it in messages, "an aim".

    Raises:
        ValueError: no names with values, an unknown name (the nearest is suggested), a missing one, or as `cls`.
    """
    if isinstance(given, cls):
        return given
    known = [f.name for f in fields(cls)]
    if not isinstance(given, Mapping):
        raise ValueError(f"{what} must be an object with {', '.join(known[:4])}{', …' * (len(known) > 4)}, got {given!r}.")
    refuse_unknown(given, known, f"entry of {what}")
    missing = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING and f.name not in given]
    if missing:
        raise ValueError(f"The entry {missing[0]!r} of {what} is missing.")
    return cls(**given)


def checked_choice(name: str, given: Any, choices: tuple[str, ...]) -> str:
    """The value, if it is one of the choices.

    Raises:
        ValueError: it is not; the nearest choice is suggested.
    """
    if given in choices:
        return given
    near = nearest(given, choices)
    hint = f" Did you mean {near!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(choices)}, got {given!r}.{hint}")


def checked_number(name: str, given: Any, rules: Mapping[str, Any]) -> float | int:
    """The value as the field's kind of number.

    Raises:
        ValueError: not a number, not whole where that is asked, or out of range.
    """
    low, high = rules["range"]
    unit = f" {rules['unit']}" if rules["unit"] else ""
    kind = "a whole number" if rules["kind"] is int else "a number"
    problem = f"{name} must be {kind} from {low:g} to {high:g}{unit}, got {given!r}; choose a value in that range."
    if not is_number(given) or not low <= given <= high or (rules["kind"] is int and given != int(given)):
        raise ValueError(problem)
    if rules.get("odd") and given % 2 == 0:
        raise ValueError(f"{name} must be odd, got {given}; use {given + 1}.")
    return rules["kind"](given)


def checked_three(name: str, given: Any, kind: type, unit: str) -> tuple:
    """Three positive numbers of a kind, int or float.

    Raises:
        ValueError: they are not.
    """
    numbers = given if isinstance(given, list | tuple) else ()
    if len(numbers) != 3 or not all(is_number(n) and n > 0 and kind(n) == n for n in numbers):
        words = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"{name} must be three positive {words} ({unit}), one per axis, got {given!r}.")
    return tuple(kind(n) for n in numbers)


def is_number(given: Any) -> bool:
    """True for a finite number that a float can hold; true and false are none."""
    return not isinstance(given, bool) and isinstance(given, int | float) and abs(given) <= LARGEST


def check_kinds(settings: Any, prefix: str = "") -> None:
    """Refuses fields of a dataclass that shall be texts, flags, numbers, lists or mappings and are something else.

    Args:
        settings: whose annotations say what its fields are; fields with rules of their own are checked by these.
        prefix: before their names in messages.

    Raises:
        ValueError: for the first such field.
    """
    for f in fields(settings):
        given, kind = getattr(settings, f.name), next((start for start in KINDS if str(f.type).startswith(start)), "")
        absent = given is None and str(f.type).endswith("| None")
        if kind and not absent and not _is_of_kind(given, kind) and not {"choices", "path", "range", "check"} & set(f.metadata):
            raise ValueError(f"{prefix}{f.name} must be {KINDS[kind]}, got {given!r}.")


def _is_of_kind(given: Any, kind: str) -> bool:
    if kind in ("int", "float"):
        return is_number(given) and (kind == "float" or isinstance(given, int))
    return isinstance(given, {"str": str, "bool": bool, "Mapping": Mapping, "tuple": (list, tuple)}[kind])


def nearest(name: Any, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that was probably meant: case, "-" and "_" do not count. None where none is near."""
    plain = {str(k).lower().replace("-", "_"): k for k in reversed(list(known))}
    near = difflib.get_close_matches(str(name).lower().replace("-", "_"), plain, n=1, cutoff=cutoff)
    return plain[near[0]] if near else None


def suggestion(name: Any, known: Iterable[str]) -> str:
    """'did you mean …?' for a misspelt name, or the list of what is known."""
    known = list(known)
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else f"expected one of: {', '.join(known)}."


def refuse_unknown(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Refuses names that are not known, with the nearest known one.

    Args:
        names: as they were given.
        known: what there is.
        what: how to call one of them, e.g. "setting".

    Raises:
        ValueError: for the first unknown name.
    """
    known = tuple(known)
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else f"choose from {', '.join(known)}."
            raise ValueError(f"Unknown {what} {name!r}; {hint}")
