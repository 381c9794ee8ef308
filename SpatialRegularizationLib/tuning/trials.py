"""Hold what a search knows about its trials in plain values, apart from the package that ran them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from .ranges import Range

COMPLETED, PRUNED, FAILED, RUNNING, WAITING = "completed", "pruned", "failed", "running", "waiting"
"""States of a trial. Pruned: stopped early because its course, or its energy, promised nothing."""


class Pruned(Exception):
    """Raised by `RunningTrial.report` where the trial is not worth going on; the objective lets it pass."""


class RunningTrial(ABC):
    """One trial as the objective sees it.

    Attributes:
        number: of the trial, or of the interrupted one that it repeats: names the folder to go on in.
        repeats: True where it repeats one.
        values: the parameters to try, by name.
    """

    number: int
    repeats: bool
    values: Mapping[str, float]

    @abstractmethod
    def report(self, step: int, score: float) -> None:
        """Tell the score after a step (an epoch, a pair), so that a hopeless trial can be stopped.

        Raises:
            Pruned: stop here.
        """


@dataclass(frozen=True)
class TrialRecord:
    """A trial as it stands in the study.

    Args:
        number: in the order of starting.
        state: one of the five above.
        values: its parameters.
        score: result of a completed trial; best reported one of a pruned trial; else None.
        course: reported scores by step.
        seconds: how long it ran, None while it has not ended.
        note: why it failed, or what it repeats.
    """

    number: int
    state: str
    values: Mapping[str, float]
    score: float | None
    course: Mapping[int, float] = field(default_factory=dict)
    seconds: float | None = None
    note: str = ""


@dataclass(frozen=True)
class SearchRecord:
    """A study at one moment.

    Args:
        name, storage: how to find it again; passwords are hidden.
        ranges: of each tuned parameter.
        trials: in the order of starting.
        wanted: number of completed and pruned trials that it shall have.
        importance: share of the scores' variance that each parameter explains (fANOVA, Hutter et al., ICML 2014), most
            important first; empty where `importance_note` says why.
        importance_note: "" or a sentence.
    """

    name: str
    storage: str
    ranges: Mapping[str, Range]
    trials: tuple[TrialRecord, ...]
    wanted: int
    importance: Mapping[str, float] = field(default_factory=dict)
    importance_note: str = ""

    def of_state(self, *states: str) -> tuple[TrialRecord, ...]:
        """The trials in any of these states."""
        return tuple(trial for trial in self.trials if trial.state in states)

    @property
    def best(self) -> TrialRecord | None:
        """The completed trial of the highest score."""
        return max(self.of_state(COMPLETED), key=lambda trial: trial.score, default=None)
