"""Studies: budget, pruning, several processes, dead ones, and refusing to continue another study."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the extra 'tuning' is not installed")

from SpatialRegularizationLib.objective import NonFiniteEnergyError
from SpatialRegularizationLib.tuning.plan import HeartbeatSettings, PruningSettings, SearchPlan
from SpatialRegularizationLib.tuning.ranges import Range
from SpatialRegularizationLib.tuning.search import read_search, run_search
from SpatialRegularizationLib.tuning.storages import open_storage, shown_url, sqlite_url
from SpatialRegularizationLib.tuning.trials import RunningTrial

HERE = Path(__file__).resolve().parent
RANGES = {"alpha_prime": Range(0.0, 0.2), "lambda_max": Range(0.5, 5.0)}


def parabola(trial: RunningTrial) -> float:
    return 0.8 - 20 * (trial.values["alpha_prime"] - 0.15) ** 2 - 0.001 * (trial.values["lambda_max"] - 3) ** 2


@pytest.fixture
def settings(tmp_path: Path) -> SearchPlan:
    """In a log file, which needs no database and is quick."""
    return SearchPlan("test", f"journal:///{tmp_path / 'study.log'}", RANGES, {"data": "a"}, trials=12)


def worker(url: str, trials: int, pause: float, log: Path) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[3]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "search_worker.py"), url, str(trials), str(pause), str(log)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def test_a_study_finds_the_top_of_a_parabola_and_which_parameter_matters(settings: SearchPlan) -> None:
    pytest.importorskip("sklearn", reason="fANOVA takes scikit-learn")
    record = run_search(replace(settings, trials=40), parabola)
    assert len(record.of_state("completed")) == 40
    assert record.best.values["alpha_prime"] == pytest.approx(0.15, abs=0.01)
    assert record.best.score == max(trial.score for trial in record.trials)
    assert list(record.importance) == ["alpha_prime", "lambda_max"]
    assert record.importance["alpha_prime"] > 0.9
    assert sum(record.importance.values()) == pytest.approx(1)


def test_the_same_seed_gives_the_same_trials_interrupted_or_not(settings: SearchPlan, tmp_path: Path) -> None:
    whole = run_search(settings, parabola)
    other = replace(settings, storage=f"journal:///{tmp_path / 'other.log'}")
    run_search(replace(other, trials=5), parabola)
    resumed = run_search(other, parabola)
    assert [trial.values for trial in resumed.trials] == [trial.values for trial in whole.trials]
    assert len({trial.values["alpha_prime"] for trial in whole.trials}) == 12


def test_a_hopeless_trial_is_pruned_after_startup_and_warmup_and_counts(settings: SearchPlan) -> None:
    lengths = {}

    def objective(trial: RunningTrial) -> float:
        score = 0.5 if trial.number < 3 else 0.1
        for step in range(20):
            lengths[trial.number] = step
            trial.report(step, score)
        return score

    record = run_search(replace(settings, trials=6, pruning=PruningSettings(3, 6, 4)), objective)
    assert [trial.state for trial in record.trials] == ["completed"] * 3 + ["pruned"] * 3
    assert lengths == {0: 19, 1: 19, 2: 19, 3: 6, 4: 6, 5: 6}
    assert record.trials[4].score == 0.1
    assert len(record.trials[4].course) == 7


def test_the_pruner_of_the_paper_waits_for_five_trials_and_thirty_steps() -> None:
    assert PruningSettings() == PruningSettings(startup_trials=5, warmup_steps=30, interval=10)


def test_a_diverged_trial_is_pruned_with_its_reason_and_the_study_goes_on(settings: SearchPlan) -> None:
    def objective(trial: RunningTrial) -> float:
        if trial.number == 1:
            raise NonFiniteEnergyError("The prior term of the energy is nan.")
        return parabola(trial)

    record = run_search(replace(settings, trials=3), objective)
    assert [trial.state for trial in record.trials] == ["completed", "pruned", "completed"]
    assert "prior term" in record.trials[1].note


def test_an_error_of_the_objective_stops_the_worker_and_is_kept_with_the_trial(settings: SearchPlan) -> None:
    def objective(trial: RunningTrial) -> float:
        raise FileNotFoundError("images.csv does not exist.")

    with pytest.raises(FileNotFoundError, match=r"images\.csv"):
        run_search(settings, objective)
    (trial,) = read_search(settings).trials
    assert (trial.state, trial.note) == ("failed", "images.csv does not exist.")


def test_a_score_that_is_no_number_is_an_error(settings: SearchPlan) -> None:
    with pytest.raises(ValueError, match="score of trial 0 is nan"):
        run_search(settings, lambda trial: float("nan"))


def test_an_interrupted_trial_is_run_again_with_its_parameters_and_its_folder(settings: SearchPlan) -> None:
    seen = []

    def objective(trial: RunningTrial) -> float:
        seen.append((trial.number, dict(trial.values)))
        if len(seen) == 2:
            trial.report(0, 0.3)
            raise KeyboardInterrupt
        return parabola(trial)

    with pytest.raises(KeyboardInterrupt):
        run_search(replace(settings, trials=4), objective)
    record = run_search(replace(settings, trials=4), objective)
    assert seen[2] == seen[1]
    assert [trial.state for trial in record.trials] == ["completed", "failed", "completed", "completed", "completed"]
    assert record.trials[2].note == "repeats trial 1"
    assert record.trials[2].course == {0: 0.3}


def test_each_trial_is_told_with_the_state_of_the_study(settings: SearchPlan) -> None:
    told = []
    run_search(replace(settings, trials=3), parabola, after_trial=lambda record: told.append(len(record.trials)))
    assert told == [1, 2, 3]


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_two_processes_share_one_study(kind: str, tmp_path: Path) -> None:
    path, log = tmp_path / "study.file", tmp_path / "log"
    url = sqlite_url(path) if kind == "sqlite" else f"journal:///{path}"
    for process in [worker(url, 12, 0.01, log), worker(url, 12, 0.01, log)]:
        finished(process)
    started = [line.split() for line in log.read_text().splitlines()]
    record = read_search(SearchPlan("parabola", url, RANGES, {"data": "none"}, trials=12))
    ended = record.of_state("completed", "pruned")
    # Both may ask for the last trial in the same instant; never more than one too many.
    assert len(ended) == len(record.trials) == len(started)
    assert 12 <= len(ended) <= 13
    assert len({number for number, _ in started}) == len(started)
    assert len({alpha for _, alpha in started}) == len(started)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_the_trial_of_a_killed_process_is_run_again_by_another(kind: str, tmp_path: Path) -> None:
    path, log = tmp_path / "study.file", tmp_path / "log"
    url = sqlite_url(path) if kind == "sqlite" else f"journal:///{path}"
    victim = worker(url, 3, 30.0, log)
    deadline = time.monotonic() + 60
    while not log.exists() or not log.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)  # a sign of life
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    finished(worker(url, 3, 0.0, log))
    started = [line.split() for line in log.read_text().splitlines()]
    record = read_search(SearchPlan("parabola", url, RANGES, {"data": "none"}, trials=3))
    assert record.trials[0].state == "failed"
    assert len(record.of_state("completed")) == 3
    assert started.count(started[0]) == 2
    assert [trial.note for trial in record.trials].count("repeats trial 0") == 1


def test_a_study_of_other_parameters_ranges_or_data_is_refused_in_a_sentence(settings: SearchPlan) -> None:
    run_search(replace(settings, trials=1), parabola)
    others = {
        "tunes alpha_prime, lambda_max, and this run asks for lambda_mean": {"ranges": {"lambda_mean": Range(0, 1)}},
        "tunes alpha_prime from 0 to 0.2, and this run asks for 0 to 0.1": {"ranges": RANGES | {"alpha_prime": Range(0, 0.1)}},
        "was made with data 'a', and this run has 'b'": {"identity": {"data": "b"}},
    }
    for sentence, changes in others.items():
        with pytest.raises(ValueError, match=sentence):
            run_search(replace(settings, **changes), parabola)
    assert len(read_search(settings).trials) == 1


def test_a_study_of_another_program_is_refused(settings: SearchPlan) -> None:
    import optuna

    storage = open_storage(optuna, settings.storage)
    optuna.create_study(storage=storage, study_name="test").optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(ValueError, match=r"another program.*another name"):
        run_search(settings, parabola)


def test_more_trials_may_be_asked_of_a_study_later(settings: SearchPlan) -> None:
    run_search(replace(settings, trials=2), parabola)
    assert len(run_search(replace(settings, trials=4), parabola).of_state("completed")) == 4


def test_bad_storages_get_a_sentence_without_the_password(tmp_path: Path) -> None:
    import optuna

    for url in ("study.db", "oracle://x", "redis://x"):
        with pytest.raises(ValueError, match="sqlite:///FILE"):
            open_storage(optuna, url)
    (tmp_path / "text.db").write_text("this is no database, and long enough to be seen as such" * 40)
    with pytest.raises(RuntimeError, match=r"cannot be opened.*not a database"):
        open_storage(optuna, sqlite_url(tmp_path / "text.db"))
    with pytest.raises(RuntimeError) as caught:
        open_storage(optuna, "postgresql://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)
    assert shown_url("mysql://me:secret@host/db") == "mysql://me:***@host/db"


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="trials must be a whole number"):
        SearchPlan("a", "b", RANGES, trials=0)
    with pytest.raises(ValueError, match="grace_s must exceed"):
        HeartbeatSettings(interval_s=10, grace_s=5)
    with pytest.raises(ValueError, match="interval must be a whole number"):
        PruningSettings(interval=0)
