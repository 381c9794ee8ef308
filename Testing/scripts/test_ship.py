"""ship.py: from the folder of a real training and a study to a shipped model; what is missing is said in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from shippable import complete_card, study_json, trained_run

from SpatialRegularizationLib.models.catalogue import build_model, describe
from SpatialRegularizationLib.training.config_file import read_config
from SpatialRegularizationLib.training.shipping import faults_of
from SpatialRegularizationLib.zoo.card import load_model, sha256_of

CARDS = """
models:
  tiny:
    config: configs/tiny.yaml
    purpose: blobs
    intended_use: tests
    license: Apache-2.0
    citation: nobody
    data: [{name: blobs, license: none needed, used_for: everything}]
    limits: [It knows blobs only.]
"""


@pytest.fixture(scope="module")
def ship(script: Callable[[str], ModuleType]) -> ModuleType:
    """The script as a module."""
    return script("ship")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training (run/), its study and the cards."""
    folder = tmp_path_factory.mktemp("ship")
    run = trained_run(folder)
    (folder / "study.json").write_text(json.dumps(study_json(sha256_of(run / "best.safetensors"))))
    (folder / "other.json").write_text(json.dumps(study_json("0" * 64)))
    (folder / "cards.yaml").write_text(CARDS)
    return folder


def arguments(folder: Path, *more: str, name: str = "tiny", study: str = "study.json") -> list[str]:
    """A complete command line."""
    paths = ["--study", str(folder / study), "--cards", str(folder / "cards.yaml")]
    return [str(folder / "run"), "--name", name, *paths, *more]


def test_a_finished_training_becomes_a_shipped_model(
    ship: ModuleType, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(folder, "--out", str(tmp_path), "--machine", "two cores")
    assert ship.main(command) == 0
    assert "float16 changes the displacement by at most" in capsys.readouterr().out
    _, card = load_model(tmp_path / "tiny.safetensors")
    assert faults_of(tmp_path / "tiny.safetensors") == []
    assert card.training.command == "spatialreg train scripts/configs/tiny.yaml"
    assert (card.training.machine, len(card.training.curves["train_total"])) == ("two cores", 2)
    assert card.studies[0].methods["syn"]["dice"]["mean"] == 0.7
    assert card.figures["dice"] > 0
    assert ship.main(command) == 1
    assert "tiny is there already" in capsys.readouterr().err
    assert ship.main([*command, "--force"]) == 0


def test_the_optimum_of_a_sweep_is_what_a_shipped_hyper_model_takes_where_nothing_is_given(ship: ModuleType) -> None:
    model = build_model({"system": "hyper-tm-spr", "size": "tiny"})
    card = complete_card(description=describe(model))
    changed, card = ship.with_defaults(model, card, {"alpha_prime": 0.15})
    assert [h.default for h in changed.hyperparameters] == [0.15, pytest.approx(2.525)]
    assert [h.default for h in build_model(card.description).hyperparameters] == [0.15, pytest.approx(2.525)]
    torch.testing.assert_close(changed.state_dict(), model.state_dict(), rtol=0, atol=0)
    bad = (({"alpha_prime": 3}, "alpha_prime must be from 0 to 0.2"), ({"alpha": 0.1}, "Unknown hyperparameter"))
    for values, sentence in bad:
        with pytest.raises(ValueError, match=sentence):
            ship.with_defaults(model, card, values)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "tinny"}, "says nothing of a model 'tinny': did you mean 'tiny'?"),
        ({"study": "other.json"}, "has not tried this model"),
        ({"study": "cards.yaml"}, "cards.yaml cannot be used"),
        ({"study": "none.json"}, "none.json does not exist: run 'spatialreg evaluate STUDY.yaml' first"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line_and_nothing_is_shipped(
    ship: ModuleType, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict, sentence: str
) -> None:
    assert ship.main(arguments(folder, "--out", str(tmp_path / "shelf"), **changes)) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "shelf").exists()


def test_without_a_study_or_with_an_incomplete_entry_there_is_no_shipped_model(
    ship: ModuleType, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ship.main([str(folder / "run"), "--name", "tiny", "--cards", str(folder / "cards.yaml"), "--out", str(tmp_path)]) == 1
    assert "(studies is missing)" in capsys.readouterr().err
    for old, new, sentence in (
        ("license: Apache-2.0", "licence: MIT", "'licence'; did you mean license?"),
        ("    purpose: blobs\n", "", "tiny: purpose is missing"),
        ("models:", "model:", "must hold the models under 'models'"),
    ):
        (tmp_path / "cards.yaml").write_text(CARDS.replace(old, new))
        assert ship.main([str(folder / "run"), "--name", "tiny", "--cards", str(tmp_path / "cards.yaml")]) == 1
        assert sentence in capsys.readouterr().err


def test_the_cards_of_all_models_to_ship_are_complete(ship: ModuleType) -> None:
    names = list(read_config(ship.CARDS)["models"])
    assert len(names) >= 7
    for name in names:
        entry = ship.entry_of(ship.CARDS, name)
        assert all(source["license"] and source["used_for"] for source in entry["data"])
        assert (ship.CARDS.parent / entry["config"]).is_file()
        assert all(isinstance(limit, str) for limit in entry["limits"])
