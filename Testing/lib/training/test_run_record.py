"""From the folder of a real training: curves, steps and settings without places; damaged or foreign folders are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from shippable import trained_run

from SpatialRegularizationLib.models.catalogue import build_model, describe
from SpatialRegularizationLib.training import run_record as module
from SpatialRegularizationLib.training.run_record import run_record, without_folders
from SpatialRegularizationLib.zoo.card import ModelCard, load_model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training."""
    return trained_run(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def card(run: Path) -> ModelCard:
    """Of its best model."""
    return load_model(run / "best.safetensors")[1]


def test_the_record_tells_curves_steps_time_and_settings(run: Path, card: ModelCard) -> None:
    record = run_record(run, card, command="spatialreg train x.yaml", machine="2 CPU cores")
    assert record.curves["epoch"] == (1.0, 2.0)
    assert record.curves["dice"][-1] is not None
    assert record.steps == 2 * 4
    assert record.seconds == record.curves["seconds"][-1] > 0
    assert record.settings["epochs"] == 2
    assert record.settings["train"] == "train.csv"
    assert str(run.parent) not in json.dumps(dict(record.settings))


def test_of_a_long_training_a_part_of_the_epochs_is_kept_and_the_last(
    run: Path, card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["epoch,dice,seconds", *(f"{n},{'' if n % 2 else n / 10},{n}" for n in range(1, 10))]
    (tmp_path / "history.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "last.pt").write_bytes((run / "last.pt").read_bytes())
    monkeypatch.setattr(module, "LONGEST_CURVE", 4)
    curves = run_record(tmp_path, card, command="c").curves
    assert curves["epoch"] == (1.0, 4.0, 7.0, 9.0)
    assert curves["dice"] == (None, 0.4, None, None)


def test_paths_become_file_names_wherever_they_stand() -> None:
    settings = {
        "train": "lists/train.csv",
        "out": "C:\\runs\\a",
        "name": "a/b is a name",
        "synthesis": {"labels": "/somewhere/maps.csv", "noise": 0.1},
        "validation": None,
        "flips": ["left-right"],
    }
    assert without_folders(settings) == {
        "train": "train.csv",
        "out": "a",
        "name": "a/b is a name",
        "synthesis": {"labels": "maps.csv", "noise": 0.1},
        "validation": None,
        "flips": ["left-right"],
    }


def test_the_settings_of_another_network_are_refused(run: Path, card: ModelCard) -> None:
    other = replace(card, description=describe(build_model({"system": "voxelmorph", "size": "tiny"})))
    with pytest.raises(ValueError, match="describe another network than the card"):
        run_record(run, other, command="c")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("history.csv", None, "history.csv does not exist"),
        ("history.csv", b"a,b\n1,2\n", "no history of a training: expected a column epoch, got a, b"),
        ("history.csv", b"epoch\n", "got no line"),
        ("last.pt", None, "last.pt does not exist: keep it beside the best model"),
        ("last.pt", b"nonsense", "is not a state of a training, or is damaged"),
    ],
)
def test_a_missing_or_damaged_file_is_named(
    run: Path, card: ModelCard, tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    for file in ("history.csv", "last.pt"):
        (tmp_path / file).write_bytes((run / file).read_bytes())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        run_record(tmp_path, card, command="c")
