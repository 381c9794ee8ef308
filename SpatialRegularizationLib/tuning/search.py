"""Search for parameters by trials, run by any number of processes on any number of machines that share one storage.

    sampler   TPE (Bergstra et al., NeurIPS 2011), highest score wins
    pruner    median: a trial whose best score so far lies below the median of the others at that step is stopped
    budget    completed and pruned trials together; failed ones are replaced
    a trial whose process died (no heartbeat) or was interrupted is queued again with the same parameters

The only file that imports Optuna.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..objective import NonFiniteEnergyError
from .plan import SearchPlan, first_difference, identity_of
from .storages import open_storage, shown_url
from .trials import COMPLETED, FAILED, PRUNED, RUNNING, WAITING, Pruned, RunningTrial, SearchRecord, TrialRecord

Objective = Callable[[RunningTrial], float]
"""Runs one trial and returns its score, higher is better; reports on the way; raises `Pruned` where told to."""

IDENTITY, ALIVE, REPEATS, ATTEMPT, NOTE = "identity", "alive", "repeats", "attempt", "note"
"""Attributes that we keep in the study and its trials."""
POLL_SECONDS = 0.5
IMPORTANCE_SEED = 0
FEWEST_FOR_IMPORTANCE = 5


def run_search(
    plan: SearchPlan, objective: Objective, *, after_trial: Callable[[SearchRecord], None] | None = None
) -> SearchRecord:
    """Works on a study until it has its trials; further processes may do the same at the same time.

    Args:
        plan: which study; made where the storage does not hold it yet.
        objective: runs one trial.
        after_trial: told the state after each trial of this process.

    Returns:
        The study as it then stands. Trials of other living processes may still be running.

    Raises:
        ValueError: the stored study has other parameters, ranges or identity.
        RuntimeError: Optuna is not installed, or the storage cannot be opened.
        Any error of the objective except `Pruned` and `NonFiniteEnergyError`, which end the trial only.
    """
    worker = _Worker.open(plan)
    while worker.wait_for_work():
        worker.run_trial(objective)
        if after_trial is not None:
            after_trial(worker.record())
    return worker.record()


def read_search(plan: SearchPlan) -> SearchRecord:
    """The study as it stands, without running anything. Raises as `run_search`."""
    return _Worker.open(plan).record()


class _Trial(RunningTrial):
    def __init__(self, trial: Any, values: Mapping[str, float]) -> None:
        self._trial = trial
        self.number = trial.user_attrs.get(REPEATS, trial.number)
        self.repeats = REPEATS in trial.user_attrs
        self.values = values

    def report(self, step: int, score: float) -> None:
        if not math.isfinite(score):
            raise ValueError(f"The score of trial {self.number} at step {step} is {score}, expected a finite number.")
        self._trial.report(float(score), step)
        if self._trial.should_prune():
            raise Pruned


@dataclass(frozen=True)
class _Worker:
    """One process at work on a study."""

    plan: SearchPlan
    optuna: Any
    backend: Any
    study: Any

    @classmethod
    def open(cls, plan: SearchPlan) -> _Worker:
        optuna = _optuna()
        backend = open_storage(optuna, plan.storage)
        pruning = plan.pruning
        pruner = optuna.pruners.MedianPruner(pruning.startup_trials, pruning.warmup_steps, pruning.interval)
        study = optuna.create_study(
            storage=backend, study_name=plan.name, direction="maximize", pruner=pruner, load_if_exists=True
        )
        _check_identity(study, plan)
        return cls(plan, optuna, backend, study)

    def wait_for_work(self) -> bool:
        """True when a trial is to be run; False when the rest is done, or in the hands of living processes."""
        start = time.time()
        while True:
            self._queue_dead_trials()
            trials = self.study.get_trials(deepcopy=False)
            states = [trial.state.name for trial in trials]
            if sum(state in ("COMPLETE", "PRUNED", "RUNNING") for state in states) < self.plan.trials:
                return True
            running = [trial for trial in trials if trial.state.name == "RUNNING"]
            if sum(s in ("COMPLETE", "PRUNED") for s in states) >= self.plan.trials or not any(
                trial.user_attrs.get(ALIVE, 0) < start for trial in running
            ):
                return False
            time.sleep(min(POLL_SECONDS, self.plan.heartbeat.interval_s))

    def run_trial(self, objective: Objective) -> None:
        """One trial, from asking to telling."""
        trial = self.study.ask()
        # A sampler of its own for each trial: the same parameters whichever process runs it, and after an interruption.
        self.study.sampler = self.optuna.samplers.TPESampler(seed=self.plan.seed + trial.number, constant_liar=True)
        state, score = "FAIL", None
        try:
            with self._heart(trial):
                values = {
                    name: trial.suggest_float(name, span.low, span.high, log=span.log)
                    for name, span in self.plan.ranges.items()
                }
                score, state = self._scored(objective, _Trial(trial, values)), "COMPLETE"
        except Pruned:
            state = "PRUNED"
        except NonFiniteEnergyError as error:
            state = "PRUNED"
            trial.set_user_attr(NOTE, str(error))
        except self.optuna.exceptions.UpdateFinishedTrialError:
            return  # this process was silent for so long that another one has taken the trial over
        except KeyboardInterrupt:
            self._finish(trial.number, "FAIL", None)
            self._queue_again(self.study.get_trials(deepcopy=False)[trial.number])
            raise
        except Exception as error:
            trial.set_user_attr(NOTE, str(error))
            self._finish(trial.number, "FAIL", None)
            raise
        self._finish(trial.number, state, score)

    @staticmethod
    def _scored(objective: Objective, trial: _Trial) -> float:
        score = float(objective(trial))
        if not math.isfinite(score):
            raise ValueError(f"The score of trial {trial.number} is {score}, expected a finite number; check its folder.")
        return score

    def _finish(self, number: int, state: str, score: float | None) -> bool:
        """Ends a trial; False where somebody else has ended it before."""
        try:
            self.study.tell(number, score, state=getattr(self.optuna.trial.TrialState, state))
        except (ValueError, self.optuna.exceptions.UpdateFinishedTrialError):
            return False
        return True

    def _queue_dead_trials(self) -> None:
        now, heartbeat = time.time(), self.plan.heartbeat
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state.name != "RUNNING":
                continue
            seen = trial.user_attrs.get(ALIVE, trial.datetime_start.timestamp())
            dead = now - seen > heartbeat.grace_s and self._finish(trial.number, "FAIL", None)
            if dead and trial.user_attrs.get(ATTEMPT, 0) < heartbeat.retries:
                self._queue_again(trial)

    def _queue_again(self, trial: Any) -> None:
        """The same parameters once more; steps that were reported need no repetition where the objective resumes."""
        attributes = {
            REPEATS: trial.user_attrs.get(REPEATS, trial.number),
            ATTEMPT: trial.user_attrs.get(ATTEMPT, 0) + 1,
        }
        self.study.add_trial(
            self.optuna.trial.create_trial(
                state=self.optuna.trial.TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs=attributes,
                intermediate_values=trial.intermediate_values,
            )
        )

    @contextlib.contextmanager
    def _heart(self, trial: Any) -> Iterator[None]:
        """Signs of life of a running trial, from a thread."""
        stop = threading.Event()

        def beat() -> None:
            while True:
                # A storage that is away for a moment must not end a training; the next beat tries again.
                with contextlib.suppress(Exception):
                    trial.set_user_attr(ALIVE, time.time())
                if stop.wait(self.plan.heartbeat.interval_s):
                    self.backend.remove_session()
                    return

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def record(self) -> SearchRecord:
        """The study in plain values."""
        trials = tuple(_record_of(trial) for trial in self.study.get_trials(deepcopy=False))
        importance, note = self._importance()
        return SearchRecord(
            self.plan.name,
            shown_url(self.plan.storage),
            self.plan.ranges,
            trials,
            self.plan.trials,
            importance,
            note,
        )

    def _importance(self) -> tuple[dict[str, float], str]:
        """fANOVA over the completed trials, or why there is none."""
        if len(self.plan.ranges) < 2:
            return {}, "One parameter explains everything."
        completed = self.study.get_trials(deepcopy=False, states=(self.optuna.trial.TrialState.COMPLETE,))
        if len({trial.value for trial in completed}) < FEWEST_FOR_IMPORTANCE:
            return {}, f"It takes {FEWEST_FOR_IMPORTANCE} completed trials of different scores."
        try:
            evaluator = self.optuna.importance.FanovaImportanceEvaluator(seed=IMPORTANCE_SEED)
            shares = self.optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        except ImportError:
            return {}, "It takes the package scikit-learn: pip install 'spatial-regularization[tuning]'."
        return {name: float(share) for name, share in shares.items()}, ""


def _record_of(trial: Any) -> TrialRecord:
    state = {"COMPLETE": COMPLETED, "PRUNED": PRUNED, "FAIL": FAILED, "RUNNING": RUNNING, "WAITING": WAITING}[trial.state.name]
    course = dict(sorted(trial.intermediate_values.items()))
    score = {COMPLETED: trial.value, PRUNED: max(course.values(), default=None)}.get(state)
    repeats = trial.user_attrs.get(REPEATS)
    note = trial.user_attrs.get(NOTE, "" if repeats is None else f"repeats trial {repeats}")
    seconds = None if trial.duration is None else trial.duration.total_seconds()
    return TrialRecord(trial.number, state, dict(trial.params), score, course, seconds, note)


def _check_identity(study: Any, plan: SearchPlan) -> None:
    """Writes what the study is into a new one; refuses an old one that is another."""
    ours = identity_of(plan.ranges, plan.identity)
    stored = study.user_attrs.get(IDENTITY)
    if stored is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(IDENTITY, ours)
        return
    difference = first_difference(stored, ours)
    if difference:
        raise ValueError(
            f"The study {plan.name!r} in {shown_url(plan.storage)} {difference}: give this study another name, "
            "or another storage."
        )


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise RuntimeError("Tuning needs the package optuna: pip install 'spatial-regularization[tuning]'.") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
