"""spatialreg train: what it takes, says and returns."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from blobs import settings_dict

from SpatialRegularizationLib.__main__ import main


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings_dict(tmp_path, epochs=1, steps_per_epoch=2)))
    return path


def events(text: str, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    return [event for event in found if event["event"] == kind]


def test_it_tells_its_progress_and_its_result_as_json(config: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["train", str(config), "--json"]) == 0
    told = capsys.readouterr().out
    (result,) = events(told, "result")
    assert Path(result["checkpoint"]).is_file()
    assert result["epochs"] == 1
    assert result["best_score"] == result["history"][0]["dice"]
    assert events(told, "progress")[-1]["fraction"] == 1


def test_people_get_the_best_figures_and_the_place_of_the_model(config: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["train", str(config)]) == 0
    text = capsys.readouterr().out
    assert "Trained 1 epochs in" in text
    assert "Best of the validations in epoch 1: dice 0." in text
    assert str(config.parent / "run" / "best.safetensors") in text


def test_options_change_settings_and_parts_of_the_model(config: Path, capsys: pytest.CaptureFixture) -> None:
    out = config.parent / "elsewhere"
    changes = ["--set", "model.prior.alpha_prime=0.11", "--set", "steps-per-epoch=1", "--set", "validation=null"]
    assert main(["train", str(config), "--out", str(out), *changes, "--json"]) == 0
    card = json.loads((out / "best.json").read_text())
    assert card["name"] == "elsewhere"
    assert card["description"]["prior"]["alpha_prime"] == 0.11
    (result,) = events(capsys.readouterr().out, "result")
    assert result["best_score"] is None


def test_a_termination_signal_ends_with_143_and_the_same_command_goes_on(
    config: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    arguments = ["train", str(config), "--set", "steps_per_epoch=3", "--json"]
    assert main(arguments, between=interrupt) == 143
    assert (config.parent / "run" / "last.pt").is_file()
    assert main(arguments) == 0
    assert events(capsys.readouterr().out, "result")[0]["epochs"] == 1


def test_all_settings_are_listed(capsys: pytest.CaptureFixture) -> None:
    assert main(["train", "--settings"]) == 0
    text = capsys.readouterr().out
    assert "learning_rate" in text
    assert "polynomial | cosine | constant; default" in text
    assert re.search(r"^synthesis\.noise +standard deviation of the noise; 0 to 1; default 0.08$", text, re.M)


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["train"], 2, "CONFIG is missing"),
        (["train", "CONFIG", "--set", "epochs"], 2, "--set needs NAME=VALUE"),
        (["train", "CONFIG", "--set", "epoch=3"], 1, "did you mean epochs?"),
        (["train", "CONFIG", "--set", "model.sistem=x"], 1, "sistem"),
        (["train", "CONFIG", "--set", "model.system=tm-spl"], 1, "did you mean"),
        (["train", "CONFIG", "--set", "train=nowhere.csv"], 1, "nowhere.csv does not exist"),
        (["train", "CONFIG", "--fesh"], 2, "did you mean --fresh?"),
    ],
)
def test_mistakes_get_a_sentence(
    config: Path, capsys: pytest.CaptureFixture, arguments: list[str], code: int, problem: str
) -> None:
    assert main([str(config) if word == "CONFIG" else word for word in arguments]) == code
    text = capsys.readouterr().err
    assert problem in text
    assert len(text.strip().splitlines()[-1]) < 600
    assert "Traceback" not in text
