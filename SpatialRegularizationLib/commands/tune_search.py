"""Turn the configuration of a search into its plan and its objective: registering pairs, or training a model."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..declaration import refuse_unknown
from ..io.companions import read_companions
from ..io.transforms import read_transform
from ..io.volumes import read_volume
from ..models.catalogue import build_model
from ..registration.choices import chosen_device
from ..registration.progress import Monitor
from ..registration.settings import obstacle_of, setting_names
from ..training.settings import TrainingSettings
from ..tuning.per_pair import DICE, TRE, TUNABLE, TunedPair, per_pair_objective
from ..tuning.plan import SearchPlan
from ..tuning.ranges import Range
from ..tuning.search import Objective
from ..tuning.settings import TuningSettings
from ..tuning.trainings import TunedTraining
from .batch import read_table
from .console import Console
from .pair import Job

MACHINE = ("device", "threads")
"""Settings that do not make another study."""


@dataclass(frozen=True)
class Search:
    """Everything that a search needs: its plan, how to run a trial, and what the score is."""

    plan: SearchPlan
    objective: Objective
    score_name: str


def search_of(settings: TuningSettings, console: Console) -> Search:
    """The search that the settings ask for; raises as the two below."""
    if settings.training is None:
        return per_pair_search(settings, console.step)
    return training_search(settings, console.progress)


def training_search(settings: TuningSettings, monitor: Monitor) -> Search:
    """The search over trainings of one configuration.

    Raises:
        FileNotFoundError, ValueError, RuntimeError: as `TrainingSettings.from_file` and `TunedTraining`.
    """
    tuned = TunedTraining(TrainingSettings.from_file(settings.training, settings.settings), Path(settings.out))
    ranges = settings.wanted_ranges(tuned.prior, tuned.tunable())
    for share in (0.0, 1.0):  # raises where a range reaches beyond what the model or the training takes
        ends = tuned.with_values({name: span.value(share) for name, span in ranges.items()})
        build_model(ends.model)
    chosen_device(tuned.settings.device)
    score = TRE if tuned.settings.score == "tre" else DICE
    return Search(settings.plan(ranges, tuned.identity(ranges)), tuned.objective(on_progress=monitor), score)


def per_pair_search(settings: TuningSettings, tell: Callable[[str], None]) -> Search:
    """The search over a table of pairs that are registered without a network.

    Raises:
        ValueError: pairs without labels and landmarks, parameters without effect, or as `TuningSettings`.
        FileNotFoundError: files of the table that are not there, all at once.
    """
    jobs = _jobs(settings)
    score = _score_name(jobs)
    priors = sorted({job.settings.prior for job in jobs})
    if len(priors) > 1:
        raise ValueError(f"All pairs must have one prior to be tuned together, got {', '.join(priors)}; give them one preset.")
    ranges = settings.wanted_ranges(priors[0], TUNABLE)
    _check_effect(ranges, jobs)
    chosen_device(jobs[0].settings.device)
    objective = per_pair_objective([_tuned_pair(job) for job in jobs], on_pair=tell)
    return Search(settings.plan(ranges, _identity(jobs, ranges, score)), objective, score)


def _jobs(settings: TuningSettings) -> list[Job]:
    """The pairs of the table with the preset and its changes."""
    refuse_unknown(settings.settings, setting_names(), "setting")
    jobs = read_table(Path(settings.pairs), argparse.Namespace(preset=settings.preset, out=settings.out))
    paths = [path for job in jobs for path in (job.fixed, job.moving, *job.inputs.values())]
    missing = [str(path) for path in dict.fromkeys(paths) if not path.exists()]
    if missing:
        raise FileNotFoundError(f"{settings.pairs} names {len(missing)} files that do not exist: {', '.join(missing)}.")
    return [replace(job, settings=job.settings.changed(**settings.settings)) for job in jobs]


def _score_name(jobs: Sequence[Job]) -> str:
    for kind, name in (("labels", DICE), ("points", TRE)):
        if all({f"fixed_{kind}", f"moving_{kind}"} <= set(job.inputs) for job in jobs):
            return name
    raise ValueError(
        "Tuning scores registrations by labels or landmarks, and not all pairs have the same: give every line of the table "
        "fixed_labels and moving_labels, or fixed_points and moving_points."
    )


def _check_effect(ranges: dict[str, Range], jobs: Sequence[Job]) -> None:
    stiff = next((job.name for job in jobs if job.settings.deformable == "none"), None)
    if stiff is not None:
        raise ValueError(
            f"The pair {stiff} is registered without a deformation (deformable none), and tuning looks for the weight of one: "
            "choose a preset that deforms."
        )
    for name, span in ranges.items():
        for job in jobs:
            if obstacle := obstacle_of(name, vars(job.settings)):
                other, values = obstacle
                raise ValueError(
                    f"{name} has an effect with {other} {' or '.join(values)} only, and it is {getattr(job.settings, other)}: "
                    f"tune another parameter, or set {other}."
                )
            for end in (span.low, span.high):
                replace(job.settings, **{name: end})  # raises where the range reaches beyond the setting's own


def _identity(jobs: Sequence[Job], ranges: dict[str, Range], score: str) -> dict[str, Any]:
    common = {k: v for k, v in jobs[0].settings.to_dict().items() if k not in (*MACHINE, *ranges)}
    others = {
        f"settings of {job.name}": job.settings.to_dict() for job in jobs if job.settings != jobs[0].settings
    }
    return {"mode": "per-pair", "score": score, "pairs": [job.name for job in jobs], "settings": common, **others}


def _tuned_pair(job: Job) -> TunedPair:
    def read() -> tuple:
        fixed, moving = read_volume(job.fixed), read_volume(job.moving)
        return fixed, moving, read_companions(job.inputs, fixed, moving)

    def initial() -> Any:
        return read_transform(job.inputs["initial"]) if "initial" in job.inputs else None

    return TunedPair(job.name, read, job.settings, initial)
