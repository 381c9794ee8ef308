"""What can be chosen about a study: its parameters, its storage, when to stop a trial, how to notice a dead one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..declaration import checked_number, integer, number
from .ranges import Range


def _check(settings: Any) -> None:
    for f in fields(settings):
        if "range" in f.metadata:
            object.__setattr__(settings, f.name, checked_number(f.name, getattr(settings, f.name), f.metadata))


@dataclass(frozen=True)
class PruningSettings:
    """When the median pruner may stop a trial (defaults: TM-SPR journal paper)."""

    startup_trials: int = integer(5, 0, 10_000, "trials", "trials that run to their end before any is stopped")
    warmup_steps: int = integer(30, 0, 1_000_000, "steps", "steps of every trial before it can be stopped")
    interval: int = integer(10, 1, 1_000_000, "steps", "steps between two looks")

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class HeartbeatSettings:
    """How a trial of a dead process is noticed. The clocks of all machines must agree to well within `grace_s`."""

    interval_s: float = number(30.0, 0.05, 3600, "s", "time between two signs of life of a running trial")
    grace_s: float = number(150.0, 0.1, 86_400, "s", "silence after which a trial counts as dead and is queued again")
    retries: int = integer(3, 0, 100, "", "how often one trial is queued again")

    def __post_init__(self) -> None:
        _check(self)
        if self.grace_s <= self.interval_s:
            raise ValueError(
                f"grace_s must exceed interval_s, got {self.grace_s:g} and {self.interval_s:g}; about five times is right."
            )


@dataclass(frozen=True)
class StudySettings:
    """What a study is.

    Args:
        name: of the study in its storage.
        storage: URL, see `storages.SCHEMES`.
        ranges: of each tuned parameter.
        identity: what all its trials share (data, model, schedule); a study of others is refused.
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
        _check(self)
