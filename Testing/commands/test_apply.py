"""spatialreg apply and evaluate: what is done with a result agrees with what register wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import POINTS, QUICK, register, run, the_sentence
from held import held

from SpatialRegularizationLib.io.points import read_landmarks, write_points
from SpatialRegularizationLib.io.volumes import read_volume


def test_apply_repeats_the_warped_image_and_carries_labels_and_points(pair: Path) -> None:
    assert register(pair, "--quiet") == 0
    apply = ["apply", pair / "out"]
    done = [
        run(*apply, pair / "m.nii.gz", "--reference", pair / "f.nii.gz", "--out", pair / "w.nii.gz", "--quiet"),
        run(*apply, pair / "m_labels.nii.gz", "--labels", "--reference", pair / "f.nii.gz", "--out", pair / "l.nii.gz"),
        run(*apply, pair / "f_points.csv", "--inverse", "--out", pair / "p.csv"),
        run(*apply, pair / "p.csv", "--out", pair / "back.csv"),
    ]
    assert done == [0, 0, 0, 0]
    warped, again = (read_volume(path).data for path in (pair / "out" / "warped.nii.gz", pair / "w.nii.gz"))
    assert torch.allclose(warped, again, atol=1e-4)
    assert set(read_volume(pair / "l.nii.gz", labels=True).data.unique().tolist()) == {0, 1, 2}
    assert np.allclose(read_landmarks(pair / "back.csv").positions, POINTS, atol=0.05)


def test_apply_does_not_replace_a_file_unasked(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("apply", pair / "t.tfm", pair / "m.nii.gz", "--out", pair / "f.nii.gz") == 2
    assert "--force" in the_sentence(capsys)


@pytest.mark.parametrize("command", ["apply", "evaluate"])
def test_a_file_that_another_process_writes_is_refused_before_the_work(
    command: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = ["--fixed", pair / "f.nii.gz", "--moving", pair / "m.nii.gz"]
    arguments = [pair / "t.tfm", pair / "m.nii.gz"] if command == "apply" else ["--transform", pair / "t.tfm", *images]
    for more in ([], ["--force"]):
        with held(pair / "x.csv"):
            assert run(command, *arguments, "--out", pair / "x.csv", *more) == 2
        assert "x.csv is being written by another" in the_sentence(capsys)
    assert run(command, *arguments, "--out", pair / "nowhere" / "x.csv") == 1
    assert "nowhere does not exist, create it first" in the_sentence(capsys)
    assert not (pair / "nowhere").exists()


def test_evaluate_agrees_with_the_report(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    companions = [
        "--fixed-labels", pair / "f_labels.nii.gz", "--moving-labels", pair / "m_labels.nii.gz",
        "--fixed-points", pair / "f_points.csv", "--moving-points", pair / "m_points.csv",
    ]  # fmt: skip
    assert register(pair, "--quiet", *companions) == 0
    images = ["--fixed", pair / "f.nii.gz", "--moving", pair / "m.nii.gz"]
    assert run("evaluate", "--transform", pair / "out", *images, *companions, "--json") == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    report = json.loads((pair / "out" / "report.json").read_text(encoding="utf-8"))
    for key in ("folding_percent", "ndv_percent", "sd_log_j"):
        assert found[key] == pytest.approx(report[key], abs=1e-4)
    assert found["dice_after"]["mean"] == pytest.approx(report["dice_after"]["mean"], abs=1e-3)
    assert found["tre_after_mm"]["mean"] == pytest.approx(report["tre_after_mm"]["mean"], abs=1e-2)
    assert run("evaluate", "--transform", pair / "out", *images, "--out", pair / "e.json", "--quiet") == 0
    assert json.loads((pair / "e.json").read_text(encoding="utf-8"))["folding_percent"] == 0


def test_landmarks_are_scored_by_their_labels_and_those_without_a_partner_are_told(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("tip", "root", "side")
    write_points(pair / "f_named.csv", POINTS, names)
    order = [2, 0, 1]
    rows = [f"{names[n]},{','.join(str(c) for c in POINTS[n] + [2, 0, 0])},1" for n in order]
    (pair / "m_named.csv").write_text("\n".join(["label,l,p,s,defined", *rows, "never,0,0,0,0"]))
    apart = ["--fixed-points", pair / "f_named.csv", "--moving-points", pair / "m_named.csv"]
    run("register", pair / "f.nii.gz", pair / "m.nii.gz", "--out", pair / "out", *QUICK, *apart)
    report = json.loads((pair / "out" / "report.json").read_text())
    assert report["tre_before_mm"]["max"] == pytest.approx(2.0, abs=1e-3)
    assert any("1 landmark was left out, not placed on both sides (never)" in note for note in report["notes"])
    capsys.readouterr()
    evaluate = ["--transform", pair / "out", "--fixed", pair / "f.nii.gz", "--moving", pair / "m.nii.gz", *apart]
    assert run("evaluate", *evaluate, "--json") == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["tre_before_mm"]["max"] == pytest.approx(2.0, abs=1e-3)
    assert any("never" in note for note in said["notes"])
