"""spatialreg evaluate STUDY: what it writes, that it goes on, and studies that are refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from command_line import GRID, POINTS, REPOSITORY, STEPS, run, the_sentence
from known_model import card_of

from SpatialRegularizationLib.commands.study import pairs_of, settings_of
from SpatialRegularizationLib.io.points import write_points
from SpatialRegularizationLib.studies.settings import FILES, StudySettings
from SpatialRegularizationLib.training.config_file import read_config

LEVELS = [[2, 2, 3]]
QUICK = {"name": "quick", "preset": "generic", "settings": {"levels": LEVELS, "global_search": "off"}}


def write_study(folder: Path, **values: object) -> Path:
    """A study of f and m, both ways, as JSON."""
    rows = [
        {"name": f"{m}_to_{f}", "fixed": f"{f}.nii.gz", "moving": f"{m}.nii.gz"}
        | {f"{side}_labels": f"{x}_labels.nii.gz" for side, x in (("fixed", f), ("moving", m))}
        | {f"{side}_points": f"{x}_points.csv" for side, x in (("fixed", f), ("moving", m))}
        for f, m in (("f", "m"), ("m", "f"))
    ]
    (folder / "pairs.json").write_text(json.dumps(rows))
    path = folder / "study.json"
    common = {"title": "Two blobs", "pairs": "pairs.json", "methods": [QUICK], "affine": "none", "threads": 1, "out": "results"}
    path.write_text(json.dumps(common | values))
    return path


def test_a_study_writes_page_tables_and_values_and_goes_on(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aims = [{"figure": "dice", "method": "quick", "against": "start", "difference_at_least": 0}]
    path = write_study(pair, aims=aims)
    assert run("evaluate", path) == 0
    said = capsys.readouterr().out
    assert "reached: dice of quick" in said
    assert str(pair / "results" / "study.html") in said
    written = {p.name for p in (pair / "results").iterdir()}
    assert written == {"study.html", "study.csv", "summary.csv", "study.json", "lines.jsonl", "pictures"}
    with (pair / "results" / "study.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["pair"], r["method"]) for r in rows][:2] == [("m_to_f", "start"), ("m_to_f", "quick")]
    assert float(rows[1]["tre_mm"]) < float(rows[0]["tre_mm"]) == pytest.approx(2.0, abs=1e-3)
    html = (pair / "results" / "study.html").read_text(encoding="utf-8")
    assert "λ over the fixed image" in html
    lines = (pair / "results" / "lines.jsonl").read_text()
    assert run("evaluate", path, "--json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0]["stage"] == "4 of 4 measurements are known from before"
    assert events[-1]["aims"][0]["reached"] is True
    assert (pair / "results" / "lines.jsonl").read_text() == lines


def test_the_surface_of_a_sweep_stands_in_the_report(pair: Path) -> None:
    grid = {"ranges": {"alpha_prime": [0.0, 0.2], "lambda_max": [0.5, 5.0]}, "points": 3, "others": {}}
    dice = [0.5, 0.6, 0.5, 0.6, 0.7123, 0.6, 0.5, 0.6, 0.5]
    (pair / "heads-hyper").mkdir()
    (pair / "heads-hyper" / "sweep.json").write_text(json.dumps({"model": "m", "grid": grid, "pairs": {"p": {"dice": dice}}}))
    assert run("evaluate", write_study(pair, sweeps=["heads-hyper"]), "--quiet") == 0
    html = (pair / "results" / "study.html").read_text(encoding="utf-8")
    assert "Dice of heads-hyper over its condition" in html
    assert "Best Dice 0.7123 at α′ = 0.1, λmax = 2.75" in html
    assert run("evaluate", write_study(pair, sweeps=["nowhere"]), "--quiet") == 1


def test_a_failure_ends_with_code_one_and_is_named(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(pair, other_labels="refuse", labels=[1])
    assert run("evaluate", path, "--set", "methods=[]", "--quiet") == 2
    capsys.readouterr()
    assert run("evaluate", path) == 1
    said = capsys.readouterr().out
    assert "failed: quick on m_to_f: The fixed label map holds the label 2" in said


def test_random_pairs_of_a_list_are_drawn(pair: Path) -> None:
    (pair / "images.csv").write_text("image,labels\nf.nii.gz,f_labels.nii.gz\nm.nii.gz,m_labels.nii.gz\n")
    path = write_study(pair, pairs=None, images="images.csv", random_pairs=2)
    assert run("evaluate", path, "--out", pair / "elsewhere", "--quiet") == 0
    values = json.loads((pair / "elsewhere" / "study.json").read_text(encoding="utf-8"))
    assert values["pairs"] == 2
    assert values["methods"]["quick"]["figures"]["dice"]["count"] == 2
    assert run("evaluate", path, "--set", "random_pairs=3", "--quiet") == 1


@pytest.mark.parametrize(
    ("values", "arguments", "words"),
    [
        ({"methods": ["brian-mri"]}, [], "Unknown method 'brian-mri'; did you mean 'brain-mri'"),
        ({"pares": "pairs.json"}, [], "Unknown setting of a study 'pares'; did you mean pairs?"),
        ({"out": None}, [], "names no folder for the results"),
        ({}, ["--methods", "quik"], "Unknown method 'quik'; did you mean quick"),
        ({}, ["--transform", "t.h5"], "--transform belongs to a single transform"),
        ({}, ["--set", "affine"], "--set needs NAME=VALUE"),
    ],
)
def test_a_study_that_cannot_be_understood_is_refused(
    values: dict, arguments: list[str], words: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study(pair)
    content = {k: v for k, v in (json.loads(path.read_text()) | values).items() if v is not None}
    path.write_text(json.dumps(content))
    assert run("evaluate", path, *arguments) == 2
    assert words in the_sentence(capsys)
    assert not (pair / "results").exists()


def test_options_of_studies_do_not_go_with_a_single_transform(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = ["--fixed", pair / "f.nii.gz", "--moving", pair / "m.nii.gz"]
    assert run("evaluate", "--transform", pair / "t.h5", *images, "--methods", "a") == 2
    assert "--methods belongs to a study" in the_sentence(capsys)
    assert run("evaluate", *images) == 2
    assert "--transform is needed" in the_sentence(capsys)
    assert run("evaluate", pair / "nowhere.yaml") == 1
    assert "nowhere.yaml does not exist" in the_sentence(capsys)


def test_a_batch_reads_the_same_lists(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(pair)
    quick = ["--affine", "none", "--global-search", "off", "--iterations", STEPS, "--threads", "1", "--quiet"]
    assert run("register", "--batch", pair / "pairs.json", "--out", pair / "all", *quick) == 0
    assert (pair / "all" / "m_to_f" / "report.json").is_file()
    (pair / "pairs.json").write_text('{"fixed": "f.nii.gz"}')
    assert run("register", "--batch", pair / "pairs.json", "--out", pair / "all", *quick) == 2
    assert "a list of objects" in the_sentence(capsys)


STUDIES = sorted((REPOSITORY / "scripts" / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_the_studies_of_the_repository_can_be_run(path: Path, tmp_path: Path) -> None:
    """All settings, methods and aims, with models of the trainings that they name."""
    pytest.importorskip("yaml")
    from SpatialRegularizationLib.models.catalogue import build_model
    from SpatialRegularizationLib.zoo.card import save_model

    values = read_config(path, FILES)
    configs = path.parents[1].glob("configs/*.yaml")
    runs = {(config.parent / read_config(config).get("out", "-")).resolve() for config in configs}
    model = build_model({"system": "voxelmorph", "size": "tiny"})
    save_model(model, card_of(GRID, "stand-in"), tmp_path / "any.safetensors")
    for method in values["methods"]:
        if isinstance(method, dict) and "model" in method:
            file = (path.parent / method["model"]).resolve()
            assert file.name == "best.safetensors"
            assert file.parent in runs, f"no training writes {file.parent}"
            method["model"] = str(tmp_path / "any.safetensors")
    settings = StudySettings.from_dict(values | {"baseline_python": "python"})
    assert len(settings.aims) == len(values["aims"])


def test_models_that_are_files_are_found_from_the_folder_of_the_study(pair: Path) -> None:
    from SpatialRegularizationLib.commands.options import parse

    path = write_study(pair, methods=["run/best.safetensors"])
    with pytest.raises(FileNotFoundError, match=str(pair / "run")):
        settings_of(parse(["evaluate", str(path)]))
    settings = settings_of(parse(["evaluate", str(write_study(pair))]))
    assert [p.name for p in pairs_of(settings)] == ["m_to_f", "f_to_m"]


def test_a_study_scores_landmarks_by_label_and_tells_of_those_left_out(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_points(pair / "f_points.csv", POINTS, ("a", "b", "c"))
    write_points(pair / "m_points.csv", POINTS[[2, 0]] + [2, 0, 0], ("c", "a"))
    assert run("evaluate", write_study(pair, pictures=0)) == 0
    assert "1 landmark was left out, not placed on both sides (b); 2 are scored" in capsys.readouterr().err
    with (pair / "results" / "study.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["tre_max_mm"]) == pytest.approx(2.0, abs=1e-3)
