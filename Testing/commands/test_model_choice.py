"""spatialreg register --model: the same result folder, conditions and refinement, and options that do not go together."""

from __future__ import annotations

import json
from pathlib import Path

import bending
import physical
import pytest
import torch
from known_model import card_of

from SpatialRegularizationLib.__main__ import main
from SpatialRegularizationLib.io.volumes import write_volume
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.report.result_folder import FILES
from SpatialRegularizationLib.zoo.card import save_model

GRID = physical.grid("LIA", shape=(32, 32, 32), spacing=(3.0, 3.0, 3.0))
QUICK = ["--preset", "generic", "--affine", "none", "--device", "cpu", "--threads", "2"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """f.nii.gz, m.nii.gz, pairs.csv and a folder zoo with two tiny networks of random parameters: hyper and plain."""
    folder = tmp_path_factory.mktemp("models")
    for name, system in (("hyper", "hyper-tm-spr"), ("plain", "tm-spr")):
        torch.manual_seed(1)
        model = build_model({"system": system, "size": "tiny", "image_shape": list(GRID.shape)})
        save_model(model, card_of(GRID, name), folder / f"{name}.safetensors")
    write_volume(folder / "f.nii.gz", bending.image(GRID, bending.Bend()))
    write_volume(folder / "m.nii.gz", bending.image(GRID))
    (folder / "pairs.csv").write_text("fixed,moving,name\nf.nii.gz,m.nii.gz,one\n", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _zoo(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPATIALREG_ZOO", str(files))


def register(files: Path, out: Path, *more: object) -> int:
    """One registration of the two files."""
    return main(["register", str(files / "f.nii.gz"), str(files / "m.nii.gz"), "--out", str(out), *QUICK, *map(str, more)])


def report(out: Path) -> dict:
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_a_model_of_the_zoo_answers_into_the_same_result_folder(files: Path, tmp_path: Path) -> None:
    assert register(files, tmp_path / "out", "--model", "plain") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES)
    content = report(tmp_path / "out")
    assert (content["model"]["name"], content["model"]["system"]) == ("plain", "tm-spr")
    assert len(content["model"]["sha256"]) == 64
    assert content["folding_percent"] == content["ndv_percent"] == 0
    assert content["history"] == []


def test_sliders_of_the_energy_are_the_condition_of_a_hyper_model(files: Path, tmp_path: Path) -> None:
    assert register(files, tmp_path / "a", "--model", files / "hyper.safetensors", "--alpha-prime", 0.15) == 0
    assert register(files, tmp_path / "b", "--model", "hyper", "--condition", "alpha-prime=0.15", "--lambda-max", 4) == 0
    assert report(tmp_path / "a")["model"]["condition"]["alpha_prime"] == 0.15
    assert report(tmp_path / "b")["model"]["condition"] == {"alpha_prime": 0.15, "lambda_max": 4.0}


def test_a_refinement_lowers_the_energy_from_the_networks_answer(files: Path, tmp_path: Path) -> None:
    assert register(files, tmp_path / "out", "--model", "plain", "--refine", 5, "--alpha-prime", 0.02) == 0
    content = report(tmp_path / "out")
    assert content["model"]["condition"] == {}
    assert content["settings"]["alpha_prime"] == 0.02
    similarity = [value for level in content["history"] for value in level["similarity"]]
    assert len(similarity) == 5
    assert similarity[-1] < similarity[0]


def test_a_table_skips_what_the_same_model_has_done(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = ["register", "--batch", str(files / "pairs.csv"), "--out", str(tmp_path), *QUICK]
    states = []
    for model in ("plain", "plain", "hyper"):
        assert main([*table, "--model", model, "--force" if model == "hyper" else "--json"]) == 0
        states.append((tmp_path / "summary.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[1])
    assert states == ["done", "skipped", "done"]
    assert report(tmp_path / "one")["job"]["model"] == {"name": "hyper", "condition": {}}


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--model", "plian"], 1, "There is no model 'plian': did you mean 'plain'?"),
        (["--refine", 5], 2, "--refine has an effect with a model only: name one (--model NAME), or leave it out."),
        (["--network-precision", "bf16"], 2, "--network-precision has an effect with a model only: name one"),
        (["--condition", "eta=1"], 2, "--condition has an effect with a model only"),
        (["--model", "plain", "--iterations", "1,1,1,1"], 2, "--iterations has no effect on a model's answer: leave it out."),
        (["--model", "plain", "--prior", "gaussian"], 2, "--prior has no effect on a model's answer: leave it out, or refine"),
        (["--model", "plain", "--alpha-prime", 0.1], 2, "--alpha-prime has no effect with the model plain, whose"),
        (["--model", "hyper", "--alpha-prime", 0.9], 2, "alpha_prime must be from 0 to 0.2, the range this model was trained on"),
        (["--model", "hyper", "--condition", "eta=1"], 2, "Unknown hyperparameter 'eta'"),
        (["--model", "hyper", "--condition", "eta"], 2, "NAME=NUMBER is needed, such as eta=0.45, got 'eta'"),
        (["--model", "plain", "--refine", -1], 2, "--refine must be a whole number from 0 to 1000 steps"),
    ],
)
def test_what_does_not_go_together_is_said_in_a_sentence(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list, code: int, sentence: str
) -> None:
    assert register(files, tmp_path / "out", *options) == code
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images_far_from_the_training_are_refused(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far = physical.grid("RAS", shape=(100, 100, 30), spacing=(3.0, 3.0, 3.0))
    write_volume(tmp_path / "far.nii.gz", physical.image(far, torch.float32))
    arguments = ["register", str(tmp_path / "far.nii.gz"), str(files / "m.nii.gz"), "--out", str(tmp_path / "out"), *QUICK]
    assert main([*arguments, "--model", "plain"]) == 1
    sentence = "holds anatomy over 300 mm along its L axis, and this model was trained on fields of view of 96 mm"
    assert sentence in capsys.readouterr().err
