"""Tuning the per-pair mode: the score, the kept affine start, what cannot be tuned, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("optuna", reason="the extra 'tuning' is not installed")

from blobs import grid_of, person, write_list

from SpatialRegularizationLib.__main__ import main
from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.settings import RegistrationSettings
from SpatialRegularizationLib.tuning.per_pair import TunedPair, per_pair_objective
from SpatialRegularizationLib.tuning.trials import RunningTrial

QUICK = RegistrationSettings(global_search="off", levels=((2, 2, 4),), affine="rigid")


class Trial(RunningTrial):
    """Keeps what it is told."""

    def __init__(self, **values: float) -> None:
        self.number, self.repeats, self.values = 0, False, values
        self.reported: list[tuple[int, float]] = []

    def report(self, step: int, score: float) -> None:
        self.reported.append((step, score))


def files(number: int) -> tuple[Volume, Volume, Companions]:
    """Person 0 and another one, with labels."""
    (fixed, fixed_labels), (moving, moving_labels) = person(0), person(number)
    return fixed, moving, Companions(fixed_labels=fixed_labels, moving_labels=moving_labels)


def pair(number: int) -> TunedPair:
    return TunedPair(f"pair {number}", lambda: files(number), QUICK)


def test_the_score_is_the_mean_dice_of_registrations_with_the_trials_values() -> None:
    trial = Trial(lambda_max=0.3)
    score = per_pair_objective([pair(1), pair(2)])(trial)
    dice = []
    for number in (1, 2):
        fixed, moving, companions = files(number)
        result = register(fixed, moving, replace(QUICK, lambda_max=0.3), companions=companions)
        dice.append(result.figures.dice_after["mean"])
    assert score == pytest.approx(sum(dice) / 2, abs=1e-6)
    assert trial.reported == [(0, pytest.approx(dice[0], abs=1e-6)), (1, pytest.approx(score, abs=1e-9))]


def test_the_affine_start_that_is_kept_changes_no_score() -> None:
    run = per_pair_objective([pair(1)])
    assert run(Trial(lambda_max=0.3)) == pytest.approx(run(Trial(lambda_max=0.3)), abs=1e-5)


def test_landmarks_score_where_there_are_no_labels() -> None:
    fixed, moving, _ = files(2)
    points = np.asarray(grid_of().index_to_point([[8, 8, 8], [4, 8, 8]]))
    companions = Companions(fixed_points=points, moving_points=points + np.array([3.0, 0, 0]))
    score = per_pair_objective([TunedPair("p", lambda: (fixed, moving, companions), QUICK)])(Trial(lambda_max=1.0))
    result = register(fixed, moving, replace(QUICK, lambda_max=1.0), companions=companions)
    assert score == pytest.approx(-result.figures.tre_after_mm["mean"], abs=1e-6)


def test_a_pair_without_labels_and_landmarks_is_refused() -> None:
    bare = TunedPair("p", lambda: (person(0)[0], person(1)[0], Companions()), QUICK)
    with pytest.raises(ValueError, match="label maps or landmarks"):
        per_pair_objective([bare])(Trial(lambda_max=1.0))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two pairs with labels."""
    write_list(tmp_path, "images.csv", range(3))
    lines = ["fixed,moving,fixed_labels,moving_labels,name"]
    lines += [f"person0.nii.gz,person{n}.nii.gz,person0_labels.nii.gz,person{n}_labels.nii.gz,p{n}" for n in (1, 2)]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "pairs.csv"


def config(table: Path, **changes: object) -> str:
    settings = {"levels": [[2, 2, 4]], "global_search": "off", "affine": "none"}
    content = {"pairs": "pairs.csv", "out": "study", "trials": 2, "settings": settings, **changes}
    path = table.parent / "tune.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_the_command_leaves_report_best_values_and_database(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", config(table), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["event"] == "result"
    assert set(result["values"]) == {"alpha_prime", "lambda_max"}
    assert result["trials"] == {"completed": 2}
    study = table.parent / "study"
    assert json.loads((study / "best.json").read_text())["score"] == result["score"]
    assert "2 completed" in (study / "tune_report.html").read_text(encoding="utf-8")
    assert main(["tune", config(table), "--trials", "3", "--quiet"]) == 0
    assert json.loads((study / "best.json").read_text())["trials"] == {"completed": 3}
    capsys.readouterr()
    assert main(["tune", config(table, ranges={"lambda_max": [0.1, 1]})]) == 1
    assert "tunes alpha_prime, lambda_max, and this run asks for lambda_max" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranges": {"lamda_max": [0, 1]}}, "did you mean lambda_max"),
        ({"ranges": {"sigma_prime": [0, 1]}}, "sigma_prime has an effect with prior gaussian only"),
        ({"preset": "rigid", "settings": {}}, "p1 is registered without a deformation (deformable none), and tuning looks for"),
        ({"settings": {"deformable": "none"}}, "choose a preset that deforms"),
        ({"ranges": {"lambda_max": [0.1, 1e6]}}, "lambda_max must be a number from"),
        ({"trails": 3}, "did you mean trials"),
        ({"settings": {"lncc_windw": 5}}, "did you mean lncc_window"),
        ({"pruning": {"warmup": 5}}, "did you mean warmup_steps"),
        ({"training": "x.yaml"}, "either a training or the per-pair mode"),
        ({"storage": "study.db"}, "expected a URL"),
    ],
)
def test_a_bad_configuration_gets_a_sentence(
    table: Path, capsys: pytest.CaptureFixture[str], changes: dict, message: str
) -> None:
    assert main(["tune", config(table, **changes)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_missing_files_are_named_all_at_once(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("person1.nii.gz", "person2_labels.nii.gz"):
        (table.parent / name).unlink()
    assert main(["tune", "--per-pair", str(table), "--out", str(table.parent / "s")]) == 1
    error = capsys.readouterr().err
    assert "names 2 files that do not exist" in error
    assert "person1.nii.gz" in error
    assert "person2_labels.nii.gz" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tune"], "give CONFIG, or --per-pair"),
        (["tune", "--per-pair", "x.csv"], "--out DIR"),
        (["tune", "--per-pair", "x.csv", "--out", "o", "--range", "lambda_max=1"], "must look like"),
        (["tune", "x.yaml", "--trails", "3"], "did you mean --trials"),
    ],
)
def test_a_wrong_command_line_is_wrong_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
