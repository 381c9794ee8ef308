"""Run a trial that trains a model: parameters go into the model's description or the training's settings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..models.catalogue import build_model, describe
from ..registration.progress import Progress
from ..training.checkpoints import LAST
from ..training.loop import train
from ..training.settings import TrainingSettings
from .search import Objective
from .trials import Pruned, RunningTrial

TRIALS = "trials"
"""Folder of the trainings, one folder each by the trial's number."""
MACHINE = ("out", "cache", "device", "threads", "tensorboard", "checkpointing", "save_minutes", "train", "validation", "model")
"""Settings that do not make another study, or are compared in another way."""


@dataclass(frozen=True)
class TunedTraining:
    """What every trial trains.

    Args:
        settings: of the training; `out` and `cache` are replaced.
        folder: of the study.

    Raises:
        ValueError: a training whose result has no score that can be compared between trials, or no such model.
    """

    settings: TrainingSettings
    folder: Path

    def __post_init__(self) -> None:
        if self.settings.validation is None:
            raise ValueError("Tuning scores trainings by validation images, got none: set validation in their configuration.")
        if self.settings.score == "energy":
            raise ValueError(
                "The energy cannot be compared between trials, since their weights differ: set score to dice, tre or auto."
            )

    @property
    def description(self) -> dict[str, Any]:
        """The model with every setting written out."""
        return describe(build_model(self.settings.model))

    @property
    def prior(self) -> str:
        """"beta", "gaussian", or "uniform" where the model has no prior on λ."""
        return (self.description.get("prior") or {}).get("kind", "uniform")

    def tunable(self) -> tuple[str, ...]:
        """Parameters that can be tuned: numbers of the model's prior, of the model, and of the training."""
        description = self.description
        own = {f.name: f.metadata.get("kind") for f in fields(TrainingSettings)}
        prior = [name for name, value in (description.get("prior") or {}).items() if isinstance(value, float)]
        model = [name for name, value in description.items() if isinstance(value, float)]
        return (*prior, *model, *(name for name, kind in own.items() if kind is float))

    def with_values(self, values: Mapping[str, float]) -> TrainingSettings:
        """The settings of a training with these parameters."""
        description = self.description
        prior = description.get("prior") or {}
        model = {name: value for name, value in values.items() if name in description and name not in prior}
        if set(values) & set(prior):  # whole: a prior of which only a part is given takes its own defaults, not the model's
            model["prior"] = prior | {name: value for name, value in values.items() if name in prior}
        own = {name: value for name, value in values.items() if name not in prior and name not in description}
        return replace(self.settings, model={**self.settings.model, **model}, **own)

    def identity(self, tuned: Mapping[str, Any]) -> dict[str, Any]:
        """What all trials share, for `SearchPlan.identity`; lists of images by name and content."""
        settings = {k: v for k, v in self.settings.to_dict().items() if k not in (*MACHINE, *tuned)}
        model = {k: v for k, v in self.settings.model.items() if k not in tuned}
        if isinstance(model.get("prior"), Mapping):
            model["prior"] = {k: v for k, v in model["prior"].items() if k not in tuned}
        lists = {name: _stamp(getattr(self.settings, name)) for name in ("train", "validation")}
        return {"mode": "training", "model": model, **lists, **settings}

    def objective(self, *, on_progress: Callable[[Progress], None] = lambda progress: None) -> Objective:
        """Trains with the trial's parameters in DIR/trials/NUMBER, reports the score of each validated epoch.

        A repeated trial goes on from the state of the interrupted one where its folder is in reach. The state of a finished
        trial is removed (its best model stays).
        """

        def run(trial: RunningTrial) -> float:
            folder = self.folder / TRIALS / f"{trial.number:04d}"
            cache = self.settings.cache or str(self.folder / "cache")
            settings = replace(self.with_values(trial.values), out=str(folder), cache=cache)

            def monitor(progress: Progress) -> None:
                on_progress(replace(progress, stage=f"trial {trial.number}, {progress.stage}"))

            def report(epoch: int, row: dict[str, float]) -> None:
                if "score" in row:
                    trial.report(epoch, _comparable(row))

            try:
                score = train(settings, monitor=monitor, report=report, resume=trial.repeats).best_score
            except Pruned:
                (folder / LAST).unlink(missing_ok=True)
                raise
            (folder / LAST).unlink(missing_ok=True)
            return score

        return run


def _comparable(row: Mapping[str, float]) -> float:
    if "dice" not in row and "tre_mm" not in row:
        raise ValueError(
            "Tuning needs validation images with labels or landmarks: the energy alone cannot be compared between trials, "
            "since their weights differ."
        )
    return row["score"]


def _stamp(path: str) -> str:
    """Name and content of a list, in one line."""
    content = Path(path).read_bytes() if Path(path).is_file() else b""
    return f"{Path(path).name} ({hashlib.sha256(content).hexdigest()[:12]})"
