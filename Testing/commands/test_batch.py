"""spatialreg register --batch: a table of pairs, what is skipped and what fails, and tables that are refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from command_line import GRID, QUICK, blob, run, the_sentence, write_verdict_pairs

from SpatialRegularizationLib.geometry import Volume
from SpatialRegularizationLib.io.volumes import write_volume
from SpatialRegularizationLib.registration.presets import PRESETS


def _table(folder: Path, *rows: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def _summary(folder: Path) -> list[dict[str, str]]:
    with (folder / "summary.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_batch_goes_on_after_a_failure_and_skips_what_is_done(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = _table(
        pair, "name,fixed,moving,fixed_labels,moving_labels", "a,f.nii.gz,m.nii.gz,f_labels.nii.gz,m_labels.nii.gz",
        "b,f.nii.gz,nowhere.nii,,", "c,m.nii.gz,f.nii.gz,,",
    )  # fmt: skip
    out = pair / "all"
    assert run("register", "--batch", table, "--out", out, *QUICK) == 1
    captured = capsys.readouterr()
    assert captured.err.count("spatialreg: ") == 1
    assert "nowhere.nii does not exist" in captured.out
    assert [row["state"] for row in _summary(out)] == ["done", "failed", "done"]
    assert float(_summary(out)[0]["dice_after"]) > 0.5
    assert sorted(path.name for path in out.iterdir()) == ["a", "c", "summary.csv"]
    written = (out / "a" / "report.json").stat().st_mtime_ns
    write_volume(pair / "nowhere.nii", Volume(blob(1.0), GRID))
    assert run("register", "--batch", table, "--out", out, *QUICK) == 0
    assert [row["state"] for row in _summary(out)] == ["skipped", "done", "skipped"]
    assert _summary(out)[0]["dice_after"] != ""
    assert (out / "a" / "report.json").stat().st_mtime_ns == written


def test_batch_skips_a_result_of_a_version_that_lacked_settings_without_effect(pair: Path) -> None:
    table = _table(pair, "name,fixed,moving", "a,f.nii.gz,m.nii.gz")
    again = ["register", "--batch", table, "--out", pair / "all", "--quiet", *QUICK]
    assert run(*again) == 0
    report = pair / "all" / "a" / "report.json"
    content = json.loads(report.read_text(encoding="utf-8"))
    for name in ("mind_radius", "mind_dilation"):
        del content["job"]["settings"][name]
    report.write_text(json.dumps(content), encoding="utf-8")
    assert run(*again) == 0
    assert _summary(pair / "all")[0]["state"] == "skipped"
    content["job"]["settings"]["lncc_window"] = 5  # this one has an effect
    report.write_text(json.dumps(content), encoding="utf-8")
    assert run(*again) == 1


def test_batch_tells_the_verdict_on_each_pair_and_strict_ends_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_verdict_pairs(tmp_path)
    table = _table(folder, "name,fixed,moving", "a,body.nii.gz,bent.nii.gz", "b,body.nii.gz,noise.nii.gz")
    again = ["register", "--batch", table, "--out", folder / "all", *QUICK]
    assert run(*again) == 0
    rows = _summary(folder / "all")
    assert [row["verdict"] for row in rows] == ["good", "failed"]
    assert rows[0]["reasons"] == ""
    assert "little to do with one another" in rows[1]["reasons"]
    assert f"b: {rows[1]['reasons'][:40]}" in capsys.readouterr().out
    assert run(*again, "--strict") == 3
    report = folder / "all" / "b" / "report.json"
    content = json.loads(report.read_text(encoding="utf-8"))
    del content["verdict"]  # as an earlier version wrote it
    report.write_text(json.dumps(content), encoding="utf-8")
    assert run(*again, "--strict") == 0
    assert _summary(folder / "all")[1]["verdict"] == ""


def test_batch_does_not_skip_a_result_of_other_settings(pair: Path) -> None:
    table = _table(pair, "fixed;moving", "f.nii.gz;m.nii.gz")
    assert run("register", "--batch", table, "--out", pair / "all", "--quiet", *QUICK) == 0
    other = 2 * PRESETS["generic"].lambda_max
    again = ["register", "--batch", table, "--out", pair / "all", "--quiet", "--lambda-max", other, *QUICK]
    assert run(*again) == 1
    assert "--force" in _summary(pair / "all")[0]["message"]
    assert run(*again, "--force") == 0
    assert _summary(pair / "all")[0]["state"] == "done"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["fixed,mowing", "f.nii.gz,m.nii.gz"], "unknown column 'mowing'"),
        (["fixed", "f.nii.gz"], "line 2: the column moving is empty, or not there"),
        (["fixed,moving"], "holds no pairs"),
        (["fixed,moving", "f.nii.gz,"], "line 2: the column moving is empty"),
        (["name,fixed,moving", "a,f.nii.gz,m.nii.gz", "a,m.nii.gz,f.nii.gz"], "names two pairs 'a'"),
        (["name,fixed,moving", "../a,f.nii.gz,m.nii.gz"], "cannot be a folder"),
    ],
)
def test_a_bad_table_is_refused_before_anything_runs(
    rows: list[str], words: str, pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("register", "--batch", _table(pair, *rows), "--out", pair / "all", *QUICK) == 2
    assert words in the_sentence(capsys)
    assert not (pair / "all").exists()
