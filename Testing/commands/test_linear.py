"""spatialreg with the presets rigid and affine: what is written, applied, skipped and refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from command_line import QUICK, run, the_sentence

from SpatialRegularizationLib.io.points import read_landmarks
from SpatialRegularizationLib.io.transforms import read_transform
from SpatialRegularizationLib.io.volumes import read_volume
from SpatialRegularizationLib.report.result_folder import FILES, MAPS


def register(folder: Path, *more: object) -> int:
    """The small pair, which lies 2 mm apart, into folder/out."""
    return run("register", folder / "f.nii.gz", folder / "m.nii.gz", "--out", folder / "out", "--threads", 1, *more)


@pytest.mark.parametrize("preset", ["rigid", "affine"])
def test_a_preset_writes_a_linear_transform_that_other_programs_read(
    pair: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [word for side in "fm" for word in (f"--{dict(f='fixed', m='moving')[side]}-points", pair / f"{side}_points.csv")]
    assert register(pair, "--preset", preset, *points) == 0
    assert {path.name for path in (pair / "out").iterdir()} == set(FILES) - set(MAPS)
    out = capsys.readouterr().out
    assert "Rotation" in out
    assert "Folded" not in out
    content = json.loads((pair / "out" / "report.json").read_text(encoding="utf-8"))
    assert content["settings"]["deformable"] == "none"
    assert content["affine_part"]["shift_mm"][0] == pytest.approx(2.0, abs=0.3)
    assert content["tre_after_mm"]["mean"] < 0.7 < content["tre_before_mm"]["mean"]
    itk = [sitk.ReadTransform(str(pair / "out" / f"{name}.h5")) for name in ("transform", "inverse")]
    assert all(transform.IsLinear() for transform in itk)
    for point in np.random.default_rng(0).uniform(-100, 100, (20, 3)).tolist():
        there = itk[0].TransformPoint(point)
        assert there == pytest.approx((np.array(content["affine"]) @ [*point, 1])[:3], abs=1e-9)
        assert itk[1].TransformPoint(there) == pytest.approx(point, abs=1e-9)


def test_the_result_is_applied_to_images_and_points_and_evaluated(pair: Path) -> None:
    assert register(pair, "--preset", "rigid", "--quiet") == 0
    reference = ("--reference", pair / "f.nii.gz")
    assert run("apply", pair / "out", pair / "m.nii.gz", *reference, "--out", pair / "w.nii.gz", "--quiet") == 0
    stored = read_volume(pair / "out" / "warped.nii.gz").data
    assert float((read_volume(pair / "w.nii.gz").data - stored).abs().max()) < 1e-5
    assert run("apply", pair / "out", pair / "m_points.csv", "--out", pair / "p.csv", "--quiet") == 0
    back = read_transform(pair / "out" / "inverse.h5").affine_matrix
    moving, carried = (np.asarray(read_landmarks(pair / name).positions) for name in ("m_points.csv", "p.csv"))
    assert carried == pytest.approx(moving @ back[:3, :3].T + back[:3, 3], abs=1e-4)
    images = ("--fixed", pair / "f.nii.gz", "--moving", pair / "m.nii.gz")
    assert run("evaluate", "--transform", pair / "out", *images, "--quiet") == 0


def test_a_batch_skips_a_linear_result_that_is_there_and_settings_without_effect_make_no_other(pair: Path) -> None:
    lines = ["name,fixed,moving,preset", "a,f.nii.gz,m.nii.gz,rigid", "b,f.nii.gz,m.nii.gz,"]
    (pair / "pairs.csv").write_text("\n".join(lines), encoding="utf-8")
    again = ["register", "--batch", pair / "pairs.csv", "--out", pair / "all", "--preset", "affine", "--threads", 1, "--quiet"]
    states = []
    for _ in range(2):
        assert run(*again) == 0
        with (pair / "all" / "summary.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        states.append([row["state"] for row in rows])
        assert [row["folding_percent"] for row in rows] == ["", ""]
        report = pair / "all" / "a" / "report.json"
        content = json.loads(report.read_text(encoding="utf-8"))
        content["job"]["settings"]["lambda_max"] = 77.0
        report.write_text(json.dumps(content), encoding="utf-8")
    assert states == [["done", "done"], ["skipped", "skipped"]]


def test_a_batch_goes_on_over_results_of_a_version_that_always_deformed(pair: Path) -> None:
    (pair / "pairs.csv").write_text("name,fixed,moving\na,f.nii.gz,m.nii.gz\n", encoding="utf-8")
    again = ["register", "--batch", pair / "pairs.csv", "--out", pair / "all", "--quiet", *QUICK]
    assert run(*again) == 0
    report = pair / "all" / "a" / "report.json"
    content = json.loads(report.read_text(encoding="utf-8"))
    del content["job"]["settings"]["deformable"], content["files"]
    report.write_text(json.dumps(content), encoding="utf-8")
    assert run(*again) == 0
    assert "skipped" in (pair / "all" / "summary.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--lambda-max", 2], "--lambda-max has an effect with --deformable on only, and it is none: leave it out"),
        (["--prior", "uniform"], "--prior has an effect with --deformable on only"),
        (["--iterations", "1,1,1,1"], "--iterations has an effect with --deformable on only"),
        (["--working-spacing", 2], "--working-spacing has an effect with --deformable on only"),
        (["--affine", "none"], "There is nothing to find where both affine and deformable are none"),
        (["--model", "any-shapes-hyper"], "A model answers with a deformation, and nothing is to deform"),
    ],
)
def test_options_without_effect_and_contradictions_are_refused(
    pair: Path, more: list, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert register(pair, "--preset", "rigid", *more) == 2
    assert words in the_sentence(capsys)
    assert not (pair / "out").exists()


def test_any_preset_becomes_linear_and_a_linear_one_deforms_where_that_is_asked_for(pair: Path) -> None:
    assert register(pair, "--preset", "brain-mri", "--deformable", "none", "--quiet") == 0
    assert not (pair / "out" / "lambda.nrrd").exists()
    assert register(pair, "--preset", "rigid", "--deformable", "on", "--iterations", "1,1,1,1", "--quiet", "--force") == 0
    assert (pair / "out" / "lambda.nrrd").exists()
