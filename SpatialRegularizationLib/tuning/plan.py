"""Plan a search: its parameters, its storage, when a trial is stopped, when it counts as dead; tell one search from another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..declaration import check_fields, integer, number
from .ranges import Range


@dataclass(frozen=True)
class PruningSettings:
    """When the median pruner may stop a trial (defaults: TM-SPR journal paper)."""

    startup_trials: int = integer(5, 0, 10_000, "trials", "trials that run to their end before any is stopped")
    warmup_steps: int = integer(30, 0, 1_000_000, "steps", "steps of every trial before it can be stopped")
    interval: int = integer(10, 1, 1_000_000, "steps", "steps between two looks")

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class HeartbeatSettings:
    """How a trial of a dead process is noticed. The clocks of all machines must agree to well within `grace_s`."""

    interval_s: float = number(30.0, 0.05, 3600, "s", "time between two signs of life of a running trial")
    grace_s: float = number(150.0, 0.1, 86_400, "s", "silence after which a trial counts as dead and is queued again")
    retries: int = integer(3, 0, 100, "", "how often one trial is queued again")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.grace_s <= self.interval_s:
            raise ValueError(
                f"grace_s must exceed interval_s, got {self.grace_s:g} and {self.interval_s:g}; about five times is right."
            )


@dataclass(frozen=True)
class SearchPlan:
    """What a search is.

    Args:
        name: of the search in its storage.
        storage: URL, see `storages.SCHEMES`.
        ranges: of each tuned parameter.
        identity: what all its trials share (data, model, schedule); a search of others is refused.
        trials: completed and pruned trials together.
        seed: of the sampler; a trial's parameters follow from the seed, its number and the trials before it.
        pruning, heartbeat: see there.
    """

    name: str
    storage: str
    ranges: Mapping[str, Range]
    identity: Mapping[str, Any] = field(default_factory=dict)
    trials: int = integer(50, 1, 1_000_000, "", "completed and pruned trials together")
    seed: int = integer(0, 0, 2**31 - 1, "", "seed of the sampler")
    pruning: PruningSettings = PruningSettings()
    heartbeat: HeartbeatSettings = HeartbeatSettings()

    def __post_init__(self) -> None:
        check_fields(self)


def identity_of(ranges: Mapping[str, Range], about: Mapping[str, Any]) -> dict[str, Any]:
    """Ranges and whatever else all trials share, in types that JSON keeps."""
    return {"ranges": {name: span.plain() for name, span in sorted(ranges.items())}, "about": _flat(about)}


def first_difference(stored: Mapping[str, Any] | None, ours: Mapping[str, Any]) -> str:
    """A clause that says how the stored search is another one, or "" where it is the same.

    Under "settings." stand all that the program knew: one that only one of both has did not exist in the other's version.
    """
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
        new = key.startswith("settings.") and not (key in stored["about"] and key in ours["about"])
        if a != b and not new:
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
