"""Settings come from files, say what is wrong with them, and survive a round trip."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from SpatialRegularizationLib.training.settings import TrainingSettings

LEAST = {"model": {"system": "tm-spr"}, "train": "a.csv", "out": "run"}


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings.from_dict(LEAST | changes)


def test_plain_values_give_the_same_settings_again() -> None:
    chosen = settings(spacing_mm=[1, 2, 2.5], shape=[16, 16, 8], flips=["head-foot"], patience=3, validation="b.csv")
    assert TrainingSettings.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen


def test_yaml_and_json_say_the_same_and_paths_start_at_the_file(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    text = "model: {system: tm-spr, size: tiny}\ntrain: lists/a.csv\nout: /runs/x\nlearning_rate: 1e-4\nflips: [left-right]\n"
    (tmp_path / "c.yaml").write_text(text)
    plain = {"model": {"system": "tm-spr", "size": "tiny"}, "train": "lists/a.csv", "out": "/runs/x", "flips": ["left-right"]}
    (tmp_path / "c.json").write_text(json.dumps(plain | {"learning_rate": 1e-4}))
    chosen = TrainingSettings.from_file(tmp_path / "c.yaml")
    assert chosen == TrainingSettings.from_file(tmp_path / "c.json")
    assert chosen.train == str(tmp_path / "lists" / "a.csv")
    assert Path(chosen.out) == Path("/runs/x")


def test_changes_reach_into_the_model_and_replace_only_what_they_name(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(LEAST | {"model": {"system": "tm-spr", "size": "tiny"}}))
    changes = {"model.prior.alpha_prime": 0.1, "model.size": "small", "epochs": 3, "out": "here"}
    chosen = TrainingSettings.from_file(tmp_path / "c.json", changes)
    assert chosen.model == {"system": "tm-spr", "size": "small", "prior": {"alpha_prime": 0.1}}
    assert (chosen.epochs, chosen.out) == (3, "here")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"lerning_rate": 1e-3}, "Unknown setting 'lerning_rate'; did you mean learning_rate?"),
        ({"optimizer": "adm"}, "optimizer must be one of adam, adamw, got 'adm'. Did you mean 'adam'?"),
        ({"epochs": 0}, "epochs must be a whole number from 1 to"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"symmetric": "yes"}, "symmetric must be true or false, got 'yes'"),
        ({"shape": [16, 16]}, "shape must be three positive whole numbers"),
        ({"shape": [16, 16, 8.5]}, "shape must be three positive whole numbers"),
        ({"spacing_mm": 1}, "spacing_mm must be three positive numbers"),
        ({"flips": ["up"]}, "flips must be one of left-right"),
        ({"orientation": "LAR"}, "three letters"),
        ({"model": {"size": "tiny"}}, "model must name a system"),
        ({"train": None}, "The setting train is missing"),
        ({"atlas": "mean"}, "give both or neither"),
        ({"pairs": "atlas-to-subject"}, "give both or neither"),
        ({"name": "a/b"}, "letters, digits"),
        ({"validation": 5}, "validation must be a path, got 5"),
    ],
)
def test_a_bad_setting_is_refused_in_a_sentence(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        settings(**changes)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("c.yaml", "a: [1", "not a readable configuration"),
        ("c.json", "[1]", "must hold names with values"),
        ("c.txt", "", "endings"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=problem):
        TrainingSettings.from_file(tmp_path / name)


def test_yaml_that_is_none_is_refused_in_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "c.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match="not a readable configuration"):
        TrainingSettings.from_file(tmp_path / "c.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml does not exist"):
        TrainingSettings.from_file(tmp_path / "nowhere.yaml")
