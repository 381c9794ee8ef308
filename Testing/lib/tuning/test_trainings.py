"""Tuning a training: where parameters go, pruned and repeated trials, what cannot be scored, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="the extra 'tuning' is not installed")

from blobs import settings_dict

from SpatialRegularizationLib.__main__ import main
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.training.checkpoints import LAST
from SpatialRegularizationLib.training.settings import TrainingSettings
from SpatialRegularizationLib.tuning.trainings import TunedTraining
from SpatialRegularizationLib.tuning.trials import Pruned, RunningTrial


class Trial(RunningTrial):
    """Keeps what it is told; stops at `stop_at`."""

    def __init__(self, *, repeats: bool = False, stop_at: int | None = None, error: type = Pruned, **values: float) -> None:
        self.number, self.repeats, self.values = 3, repeats, values
        self.stop_at, self.error = stop_at, error
        self.reported: dict[int, float] = {}

    def report(self, step: int, score: float) -> None:
        self.reported[step] = score
        if step == self.stop_at:
            raise self.error


def tuned(folder: Path, **changes: Any) -> TunedTraining:
    return TunedTraining(TrainingSettings.from_dict(settings_dict(folder, **changes)), folder / "study")


def test_parameters_go_into_prior_model_or_training(tmp_path: Path) -> None:
    training = tuned(tmp_path)
    assert training.prior == "beta"
    assert {"alpha_prime", "lambda_max", "learning_rate"} <= set(training.tunable())
    settings = training.with_values({"alpha_prime": 0.11, "learning_rate": 1e-4})
    prior = build_model(settings.model).settings.prior
    assert (prior.alpha_prime, prior.lambda_max, settings.learning_rate) == (0.11, 0.5, 1e-4)
    uniform = tuned(tmp_path, model={"system": "voxelmorph", "size": "tiny"})
    assert uniform.prior == "uniform"
    assert build_model(uniform.with_values({"uniform_lambda": 0.7}).model).settings.uniform_lambda == 0.7


def test_a_prior_that_is_not_written_out_is_changed_too(tmp_path: Path) -> None:
    training = tuned(tmp_path, model={"system": "tm-spr", "size": "tiny"})
    prior = build_model(training.with_values({"lambda_max": 1.5}).model).settings.prior
    assert (prior.lambda_max, prior.alpha_prime) == (1.5, 0.175)


def test_a_trial_is_a_training_in_its_own_folder_that_reports_every_epoch(tmp_path: Path) -> None:
    trial = Trial(lambda_max=0.3)
    score = tuned(tmp_path).objective()(trial)
    folder = tmp_path / "study" / "trials" / "0003"
    assert sorted(trial.reported) == [1, 2]
    assert score == max(trial.reported.values())
    assert 0 < score < 1
    card = json.loads((folder / "best.json").read_text())
    assert card["description"]["prior"]["lambda_max"] == 0.3
    assert not (folder / LAST).exists()


def test_a_pruned_trial_stops_there_and_leaves_no_state(tmp_path: Path) -> None:
    trial = Trial(stop_at=1, lambda_max=0.3)
    with pytest.raises(Pruned):
        tuned(tmp_path).objective()(trial)
    assert sorted(trial.reported) == [1]
    assert not (tmp_path / "study" / "trials" / "0003" / LAST).exists()


def test_a_repeated_trial_goes_on_where_it_stopped_with_the_same_result(tmp_path: Path) -> None:
    run = tuned(tmp_path).objective()
    with pytest.raises(RuntimeError):
        run(Trial(stop_at=1, error=RuntimeError, lambda_max=0.3))
    again = Trial(repeats=True, lambda_max=0.3)
    score = run(again)
    whole = Trial(lambda_max=0.3)
    assert score == run(whole)
    assert sorted(again.reported) == [2]
    assert again.reported[2] == whole.reported[2]


def test_a_training_without_a_comparable_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="validation images"):
        tuned(tmp_path, validation=None)
    with pytest.raises(ValueError, match="energy cannot be compared"):
        tuned(tmp_path, score="energy")
    settings = settings_dict(tmp_path)
    lines = (tmp_path / "validation.csv").read_text().splitlines()
    bare = tmp_path / "bare.csv"
    bare.write_text("\n".join(["name,image", *(",".join(line.split(",")[:2]) for line in lines[1:])]) + "\n")
    training = TunedTraining(TrainingSettings.from_dict(settings | {"validation": str(bare)}), tmp_path / "study")
    with pytest.raises(ValueError, match="labels or landmarks"):
        training.objective()(Trial(lambda_max=0.3))


def test_the_identity_leaves_out_what_is_tuned_and_the_machine_but_not_the_data(tmp_path: Path) -> None:
    ranges = {"lambda_max": None, "learning_rate": None}
    a = tuned(tmp_path).identity(ranges)
    model = settings_dict(tmp_path)["model"]
    other = model | {"prior": model["prior"] | {"lambda_max": 9.0}}
    assert tuned(tmp_path, model=other, threads=2, learning_rate=1e-5).identity(ranges) == a
    assert tuned(tmp_path, epochs=5).identity(ranges) != a
    (tmp_path / "train.csv").write_text((tmp_path / "train.csv").read_text() + "\n")
    assert tuned(tmp_path).identity(ranges)["train"] != a["train"]


def test_the_command_tunes_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.json").write_text(json.dumps(settings_dict(tmp_path)))
    content = {"training": "train.json", "out": "study", "task": "ixi", "trials": 2, "settings": {"epochs": 1}}
    (tmp_path / "tune.json").write_text(json.dumps(content))
    assert main(["tune", str(tmp_path / "tune.json"), "--quiet"]) == 0
    best = json.loads((tmp_path / "study" / "best.json").read_text())
    assert best["trials"] == {"completed": 2}
    assert 0 <= best["values"]["alpha_prime"] <= 0.2
    assert 0.5 <= best["values"]["lambda_max"] <= 5
    content["settings"]["epochs"] = 2
    (tmp_path / "tune.json").write_text(json.dumps(content))
    assert main(["tune", str(tmp_path / "tune.json"), "--quiet"]) == 1
    assert "was made with epochs 1, and this run has 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": None}, "Nothing to tune"),
        ({"task": "brains"}, "Unknown task"),
        ({"ranges": {"uniform_lambda": [0, 1]}}, "Unknown parameter 'uniform_lambda'"),
        ({"ranges": {"lambda_max": [-1, 1]}}, "lambda_max"),
        ({"settings": {"epoch": 3}}, "did you mean epochs"),
        ({"training": "none.json"}, "does not exist"),
    ],
)
def test_a_bad_configuration_gets_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict, message: str
) -> None:
    (tmp_path / "train.json").write_text(json.dumps(settings_dict(tmp_path)))
    content = {"training": "train.json", "out": "study", "task": "ixi"} | changes
    (tmp_path / "tune.json").write_text(json.dumps(content))
    assert main(["tune", str(tmp_path / "tune.json"), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Internal error" not in error
