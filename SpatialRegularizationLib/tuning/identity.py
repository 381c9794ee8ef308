"""What a study is, in plain values, and the first thing in which two differ, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .ranges import Range


def identity_of(ranges: Mapping[str, Range], about: Mapping[str, Any]) -> dict[str, Any]:
    """Ranges and whatever else all trials share, in types that JSON keeps."""
    return {"ranges": {name: span.plain() for name, span in sorted(ranges.items())}, "about": _flat(about)}


def first_difference(stored: Mapping[str, Any] | None, ours: Mapping[str, Any]) -> str:
    """A clause that says how the stored study is another one, or "" where it is the same."""
    if stored is None:
        return "was made by another program"
    theirs, wanted = stored["ranges"], ours["ranges"]
    if sorted(theirs) != sorted(wanted):
        return f"tunes {', '.join(theirs)}, and this run asks for {', '.join(wanted)}"
    for name in wanted:
        if theirs[name] != wanted[name]:
            return f"tunes {name} from {_span(theirs[name])}, and this run asks for {_span(wanted[name])}"
    for key in sorted({*stored["about"], *ours["about"]}):
        a, b = stored["about"].get(key), ours["about"].get(key)
        if a != b:
            return f"was made with {key} {_shown(a)}, and this run has {_shown(b)}"
    return ""


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as "outer.inner" keys; sequences as lists, other things as text."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _plain(value)
    return flat


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _span(plain: list[Any]) -> str:
    return str(Range.of(plain, "range"))


def _shown(value: Any) -> str:
    text = "none" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
