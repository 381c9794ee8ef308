"""Whole studies on small images: failures are told, what is known is kept, processes that die cost one measurement."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import blobs
import pytest
import torch
from held import held

from SpatialRegularizationLib.commands.console import one_sentence
from SpatialRegularizationLib.io.claims import TakenError
from SpatialRegularizationLib.io.lists import ListedPair
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.registration.verdict import LEVELS
from SpatialRegularizationLib.studies.baselines import LIST
from SpatialRegularizationLib.studies.lines import LINES
from SpatialRegularizationLib.studies.measured_pair import Measuring, Task
from SpatialRegularizationLib.studies.methods import START
from SpatialRegularizationLib.studies.results import StudyResults
from SpatialRegularizationLib.studies.run import Observer, run_study
from SpatialRegularizationLib.studies.settings import StudySettings
from SpatialRegularizationLib.zoo.card import ModelCard, save_model

QUICK = {"name": "quick", "preset": "generic", "settings": {"levels": [[2, 2, 4]], "global_search": "off"}}
SCRIPT = """
import json, os, sys
from pathlib import Path
import numpy as np
import nibabel

folder, variant = Path(sys.argv[1]), sys.argv[2]
if variant == "slow":
    import time
    time.sleep(60)
if variant == "broken":
    print("some words before", file=sys.stderr)
    sys.exit(f"cannot read {folder}/fixed.nii")
shape = nibabel.load(folder / "fixed.nii").shape
assert shape == nibabel.load(folder / "moving.nii").shape
job = json.loads((folder / "job.json").read_text())
field = np.zeros((3, *(shape if variant != "wrong" else (2, 2, 2))), np.float32)
field[0] = 1.0
np.save(folder / "displacement.npy", field)
if variant == "own":
    np.save(folder / "affine.npy", np.diag([1.0, 1.0, 1.0, 1.0]))
(folder / "result.json").write_text(json.dumps({"seconds": 0.5, "peak_memory_mb": 10, "threads": os.environ["OMP_NUM_THREADS"]}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people, a tiny untrained network, and scripts of baselines."""
    place = tmp_path_factory.mktemp("study")
    for number in range(4):
        blobs.write_person(place, number)
    grid = blobs.grid_of()
    torch.manual_seed(1)
    model = build_model(blobs.MODEL)
    save_model(model, ModelCard("tiny", grid.shape, grid.spacing), place / "tiny.safetensors")
    (place / "other.py").write_text(SCRIPT)
    names = ("shift", "broken", "slow", "wrong", "own")
    (place / LIST).write_text(json.dumps({name: {"script": "other.py", "own_start": name == "own"} for name in names}))
    return place


def pair(folder: Path, fixed: int, moving: int) -> ListedPair:
    files = {side: folder / f"person{n}.nii.gz" for side, n in (("fixed", fixed), ("moving", moving))}
    labels = {f"{side}_labels": folder / f"person{n}_labels.nii.gz" for side, n in (("fixed", fixed), ("moving", moving))}
    return ListedPair(f"{moving}_to_{fixed}", files["fixed"], files["moving"], labels)


def study(folder: Path, *methods: object, **values: object) -> StudySettings:
    common = {
        "pairs": "p.csv", "methods": list(methods), "affine": "none", "threads": 1, "device": "cpu", "pictures": 0,
        "baselines": str(folder), "baseline_python": sys.executable,
    }  # fmt: skip
    return StudySettings.from_dict(common | values)


def run(settings: StudySettings, pairs: list[ListedPair], out: Path, **more: object) -> tuple[StudyResults, list[str]]:
    said: list[str] = []
    return run_study(settings, pairs, out, observer=Observer(one_sentence, said.append), **more), said


def test_presets_models_refinements_and_baselines_are_measured_alike(folder: Path, tmp_path: Path) -> None:
    model = str(folder / "tiny.safetensors")
    methods = [QUICK, {"name": "net", "model": model}, {"name": "net+3", "model": model, "refine": 3}, "shift"]
    found, _ = run(study(folder, *methods, regions={"core": [2]}, pictures=1), [pair(folder, 0, 2)], tmp_path)
    assert found.failures == []
    common = {"dice", "dice_1", "dice_2", "hd95_mm", "lncc", "mind", "folding_percent", "ndv_percent", "sd_log_j"}
    for method in found.methods:
        figures = found.measured["2_to_0", method].figures
        assert common <= set(figures), method
        assert ("seconds" in figures) == (method != START)
    assert found.measured["2_to_0", "quick"].figures["dice"] > found.measured["2_to_0", START].figures["dice"]
    assert "lambda_mean_core" in found.measured["2_to_0", "quick"].figures
    assert found.measured["2_to_0", "shift"].figures["seconds"] == 0.5
    assert found.measured["2_to_0", "quick"].figures["peak_memory_mb"] > 10
    assert len(list((tmp_path / "pictures").iterdir())) == 3, "of our own methods"
    judged = {method for method in found.methods if found.measured["2_to_0", method].verdict in LEVELS}
    assert judged == {"quick", "net", "net+3"}, "the start and other programs say nothing of their result"
    assert all((m.verdict == "good") == (not m.reasons) for m in found.measured.values() if m.verdict)


def test_a_rigid_method_is_rigid_whatever_start_the_others_share(folder: Path, tmp_path: Path) -> None:
    settings = study(folder, "rigid", QUICK, affine="none", pictures=1)
    found, _ = run(settings, [pair(folder, 0, 2)], tmp_path)
    assert found.failures == []
    rigid, start = (found.measured["2_to_0", name].figures for name in ("rigid", START))
    assert rigid["sd_log_j"] == pytest.approx(0.0, abs=1e-6)
    assert not {name for name in rigid if name.startswith("lambda")}
    assert rigid["dice"] > start["dice"] + 0.02, "it finds its own alignment where the others share that of the headers"
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    (method,) = (m for m in settings.methods if m.name == "rigid")
    assert (method.registration_settings().affine, method.registration_settings().deformable) == ("rigid", "none")


def test_a_pair_that_cannot_be_read_is_told_and_the_rest_goes_on(folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.nii.gz"
    damaged.write_bytes((folder / "person1.nii.gz").read_bytes()[:200])
    pairs = [pair(folder, 0, 2), ListedPair("bad", damaged, folder / "person0.nii.gz"), pair(folder, 2, 0)]
    found, said = run(study(folder, QUICK), pairs, tmp_path / "out")
    assert [(m.pair, m.method) for m in found.failures] == [("bad", START), ("bad", "quick")]
    assert "damaged" in found.failures[0].error
    assert found.count("quick", failed=False) == 2
    assert any("bad failed" in words for words in said)


def test_what_is_known_is_kept_and_what_failed_or_changed_is_measured_again(folder: Path, tmp_path: Path) -> None:
    missing = ListedPair("late", tmp_path / "late.nii.gz", folder / "person0.nii.gz")
    pairs = [pair(folder, 0, 2), missing]
    run(study(folder, QUICK), pairs, tmp_path / "out")
    (tmp_path / "late.nii.gz").write_bytes((folder / "person1.nii.gz").read_bytes())
    found, said = run(study(folder, QUICK), pairs, tmp_path / "out")
    assert said[0].startswith("2 of 4")
    assert found.failures == []
    _, said = run(study(folder, QUICK), pairs, tmp_path / "out")
    assert said == ["4 of 4 measurements are known from before"]
    changed = QUICK | {"settings": QUICK["settings"] | {"lambda_max": 0.7}}
    _, said = run(study(folder, changed), pairs, tmp_path / "out")
    assert said[0].startswith("2 of 4"), "the start is the same, the method is not"
    _, said = run(study(folder, changed), pairs, tmp_path / "out", fresh=True)
    assert said[0].startswith("1 of 4: start")


def test_verdicts_are_kept_and_lines_of_before_there_were_any_are_still_known(folder: Path, tmp_path: Path) -> None:
    first, _ = run(study(folder, QUICK), [pair(folder, 0, 2)], tmp_path)
    again, said = run(study(folder, QUICK), [pair(folder, 0, 2)], tmp_path)
    assert said == ["2 of 2 measurements are known from before"]
    assert again.verdicts("quick") == first.verdicts("quick") != {}
    lines = [json.loads(line) for line in (tmp_path / LINES).read_text().splitlines()]
    old = [{name: value for name, value in line.items() if name != "verdict"} for line in lines]
    (tmp_path / LINES).write_text("".join(json.dumps(line) + "\n" for line in old))
    before, said = run(study(folder, QUICK), [pair(folder, 0, 2)], tmp_path)
    assert said == ["2 of 2 measurements are known from before"]
    assert before.verdicts("quick") == {}
    assert before.values("quick", "dice") == first.values("quick", "dice")


def test_a_line_that_was_cut_off_is_measured_again(folder: Path, tmp_path: Path) -> None:
    first, _ = run(study(folder, QUICK), [pair(folder, 0, 2)], tmp_path)
    lines = tmp_path / LINES
    lines.write_text(lines.read_text()[:-30])
    second, said = run(study(folder, QUICK), [pair(folder, 0, 2)], tmp_path)
    assert said[0].startswith("1 damaged line")
    assert second.values("quick", "dice") == first.values("quick", "dice")
    assert all(json.loads(line) for line in lines.read_text().splitlines())


def test_the_figures_do_not_depend_on_the_number_of_processes(folder: Path, tmp_path: Path) -> None:
    pairs = [pair(folder, 0, 2), pair(folder, 2, 1)]
    one, _ = run(study(folder, QUICK), pairs, tmp_path / "one")
    two, _ = run(study(folder, QUICK, processes=2), pairs, tmp_path / "two")
    for figure in ("dice", "hd95_mm", "mind", "sd_log_j", "lambda_mean"):
        assert one.values("quick", figure) == pytest.approx(two.values("quick", figure), abs=1e-6)


def die_instead(error: BaseException) -> str:
    """An explanation that ends its process: stands for a crash or the system's want of memory."""
    os._exit(9)


def test_a_process_that_dies_costs_one_measurement(folder: Path, tmp_path: Path) -> None:
    pairs = [pair(folder, 0, 2), pair(folder, 2, 1)]
    said: list[str] = []
    observer = Observer(die_instead, said.append)
    found = run_study(study(folder, "broken", QUICK, processes=2), pairs, tmp_path, observer=observer)
    assert {(m.method, m.pair) for m in found.failures} == {("broken", p.name) for p in pairs}
    assert "ended with status 9" in found.failures[0].error
    assert found.count("quick", failed=False) == 2


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ("broken", "status 1: cannot read …/fixed.nii"),
        ("slow", "stopped after 1 s"),
        ("wrong", "displacement of shape (3, 2, 2, 2), expected (3, 16, 16, 16)"),
    ],
)
def test_a_baseline_that_fails_says_why(folder: Path, variant: str, words: str) -> None:
    settings = study(folder, variant, timeout_s=1.0 if variant == "slow" else 60.0)
    (measured,) = Measuring(settings, one_sentence).run(Task(pair(folder, 0, 2), settings.methods))
    assert words in measured.error


def test_a_baseline_without_its_interpreter_says_so(folder: Path) -> None:
    settings = study(folder, "shift", baseline_python="/nowhere/python")
    (measured,) = Measuring(settings, one_sentence).run(Task(pair(folder, 0, 2), settings.methods))
    assert "check baseline_python" in measured.error


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"labels": [1]}, "holds the label 2, which the study does not name (1)"),
        ({"labels": [7], "other_labels": "ignore"}, "no common label to score"),
    ],
)
def test_label_maps_that_cannot_be_compared_are_refused(folder: Path, values: dict, words: str) -> None:
    settings = study(folder, QUICK, **values)
    (measured,) = Measuring(settings, one_sentence).run(Task(pair(folder, 0, 2), settings.methods))
    assert words in measured.error


def test_a_start_that_bends_is_refused(folder: Path, tmp_path: Path) -> None:
    from SpatialRegularizationLib.geometry import DisplacementField, SpatialTransform
    from SpatialRegularizationLib.io.transforms import write_transform

    path = tmp_path / "bends.h5"
    write_transform(path, SpatialTransform(displacement=DisplacementField.zeros(blobs.grid_of())))
    bends = pair(folder, 0, 2)
    settings = study(folder, QUICK)
    task = Task(ListedPair(bends.name, bends.fixed, bends.moving, {"initial": path}), settings.methods)
    (measured,) = Measuring(settings, one_sentence).run(task)
    assert "give that part only" in measured.error


def test_a_study_without_pairs_is_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        run(study(folder, QUICK), [], tmp_path)


def test_a_second_run_of_a_study_is_refused_and_measures_nothing(folder: Path, tmp_path: Path) -> None:
    with held(tmp_path / "out"), pytest.raises(TakenError, match="out is being written by another"):
        run(study(folder, "generic"), [pair(folder, 0, 1)], tmp_path / "out")
    assert not (tmp_path / "out").exists()
