"""scripts/train.py under plain Python, and under a program that runs scripts as Slicer does; the committed configurations."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from blobs import settings_dict
from script_host import application_with, ended_with

from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.training.settings import TrainingSettings
from SpatialRegularizationLib.tuning.settings import TuningSettings

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SCRIPT = SCRIPTS / "train.py"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings_dict(tmp_path, epochs=1, steps_per_epoch=2, validation=None)))
    return path


@pytest.fixture
def application(tmp_path: Path) -> list[str]:
    return application_with(tmp_path, SCRIPT)


def test_plain_python_trains_and_ends_with_0_even_after_a_leading_dash_pair(config: Path) -> None:
    done = ended_with([sys.executable, str(SCRIPT), "--", str(config)])
    assert done.returncode == 0, done.stderr
    assert "Trained 1 epochs" in done.stdout
    assert (config.parent / "run" / "best.safetensors").is_file()


def test_an_application_that_does_not_end_by_itself_is_ended_with_the_code(config: Path, application: list[str]) -> None:
    done = ended_with([*application, "--", str(config)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left with" not in done.stdout
    events = int(done.stdout.split("events")[1])
    assert events >= 3  # its window stayed alive in every step


@pytest.mark.parametrize(("arguments", "code"), [(["nowhere.yaml"], 1), (["--epoch", "3"], 2), (["--help"], 0)])
def test_failures_reach_the_exit_code_of_both(application: list[str], arguments: list[str], code: int) -> None:
    assert ended_with([sys.executable, str(SCRIPT), *arguments]).returncode == code
    assert ended_with([*application, *arguments]).returncode == code


def test_the_script_is_plain_ascii() -> None:
    SCRIPT.read_bytes().decode("ascii")


CONFIGS = sorted((SCRIPTS / "configs").glob("*.yaml"))
TUNING = [path for path in CONFIGS if "_tune" in path.stem]


@pytest.mark.parametrize("path", TUNING, ids=lambda path: path.stem)
def test_every_committed_configuration_of_a_search_is_valid(path: Path) -> None:
    pytest.importorskip("yaml")
    assert TuningSettings.from_file(path).trials > 0


@pytest.mark.parametrize("path", [path for path in CONFIGS if path not in TUNING], ids=lambda path: path.stem)
def test_every_committed_configuration_is_valid_and_describes_a_model(path: Path) -> None:
    pytest.importorskip("yaml")
    settings = TrainingSettings.from_file(path)
    shape = settings.shape or (48, 64, 48)
    model = {"image_shape": list(shape), **settings.model}
    if model.get("size") in ("tiny", "small"):
        assert build_model(model).system == settings.model["system"]


def test_the_split_of_the_hippocampus_images_names_forty_different_people() -> None:
    lines = (SCRIPTS / "configs" / "hippocampus_split.txt").read_text().splitlines()
    numbers = [int(word) for line in lines if not line.startswith("#") for word in line.split()]
    assert len(numbers) == len(set(numbers)) == 40
