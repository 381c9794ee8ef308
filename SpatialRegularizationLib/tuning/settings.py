"""Declare the settings of `spatialreg tune`: what to try, on what, how often, and where the search is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..declaration import built, check_fields, integer, refuse_unknown
from ..training.config_file import read_config
from .plan import HeartbeatSettings, PruningSettings, SearchPlan
from .ranges import Range, paper_ranges, per_pair_ranges, ranges_from
from .storages import sqlite_url

PER_PAIR_PRUNING = {"startup_trials": 5, "warmup_steps": 5, "interval": 1}
"""A step of the per-pair mode is a pair, not an epoch."""
FILES = ("training", "pairs", "out")
DATABASE = "study.db"


@dataclass(frozen=True)
class TuningSettings:
    """A search, as its configuration file says it. Exactly one of `training` and `pairs` says on what.

    Args:
        out: folder of the study: database, report, one folder for each training.
        training: configuration of the training that every trial runs.
        pairs: table of pairs (.csv) that every trial registers without a network.
        preset: of the per-pair mode.
        settings: changes of the training's settings (epochs: 40), or of the preset's (lambda_floor: 0.1), in every trial.
        task: "autopet", "ixi" or "acdc": the ranges of the paper for the prior in use.
        ranges: {parameter: [low, high]} or [low, high, "log"]; instead of a task, or on top of it.
        study: its name in the storage; default: name of the folder.
        storage: URL; default: a SQLite file in the folder.
        trials: completed and pruned ones together.
        seed: of the sampler.
        pruning: {startup_trials, warmup_steps, interval} in steps: epochs, or pairs.
        heartbeat: {interval_s, grace_s, retries}.
    """

    out: str
    training: str | None = None
    pairs: str | None = None
    preset: str = "generic"
    settings: Mapping[str, Any] = field(default_factory=dict)
    task: str | None = None
    ranges: Mapping[str, Any] = field(default_factory=dict)
    study: str | None = None
    storage: str | None = None
    trials: int = integer(50, 1, 1_000_000, "", "completed and pruned trials together")
    seed: int = integer(0, 0, 2**31 - 1, "", "seed of the sampler")
    pruning: Mapping[str, Any] = field(default_factory=dict)
    heartbeat: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.training is None) == (self.pairs is None):
            given = "neither" if self.training is None else "both"
            raise ValueError(f"A search tunes either a training or the per-pair mode: give training or pairs, got {given}.")
        if not self.out:
            raise ValueError("A search needs a folder for its results, got none: set out.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TuningSettings:
        """From names and values.

        Raises:
            ValueError: a name that is no setting (the nearest one is suggested), or a bad value.
        """
        refuse_unknown(values, tuple(f.name for f in fields(cls)), "setting")
        return cls(**{"out": "", **values})

    @classmethod
    def from_file(cls, path: str | os.PathLike, changes: Mapping[str, Any] | None = None) -> TuningSettings:
        """From a YAML or JSON file; relative paths in it start at its folder, those of `changes` where the program runs.

        Raises:
            FileNotFoundError, ValueError: no such file, or as `from_dict`.
        """
        values = read_config(path, FILES)
        return cls.from_dict(values | dict(changes or {}))

    def wanted_ranges(self, prior: str, known: tuple[str, ...]) -> dict[str, Range]:
        """The ranges of the task with those that were given on top.

        Args:
            prior: in use: "beta", "gaussian" or "uniform".
            known: parameters that can be tuned.

        Raises:
            ValueError: none were given, or as `ranges_from`, `paper_ranges`.
        """
        given = ranges_from(self.ranges, known) if self.ranges else {}
        if self.task is not None:
            return paper_ranges(self.task, prior) | given
        if given:
            return given
        if self.pairs is not None:
            return per_pair_ranges(prior)
        raise ValueError(f"Nothing to tune: set task (autopet, ixi, acdc), or ranges of some of {', '.join(known)}.")

    def plan(self, ranges: Mapping[str, Range], identity: Mapping[str, Any]) -> SearchPlan:
        """The study that this search works on.

        Raises:
            ValueError: a value out of range, or an unknown name under pruning or heartbeat.
        """
        folder = Path(self.out).absolute()
        return SearchPlan(
            name=self.study or folder.name,
            storage=self.storage or sqlite_url(folder / DATABASE),
            ranges=ranges,
            identity=identity,
            trials=self.trials,
            seed=self.seed,
            pruning=built(PruningSettings, ({} if self.pairs is None else PER_PAIR_PRUNING) | self.pruning, "pruning"),
            heartbeat=built(HeartbeatSettings, self.heartbeat, "heartbeat"),
        )
