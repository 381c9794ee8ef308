"""spatialreg register: what it writes and says, what it keeps, and that an interruption leaves nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import GRID, QUICK, REPOSITORY, STEPS, blob, register, run, the_sentence, write_verdict_pairs

from SpatialRegularizationLib.geometry import Volume
from SpatialRegularizationLib.io.volumes import read_volume, write_volume
from SpatialRegularizationLib.registration.presets import PRESETS
from SpatialRegularizationLib.report.result_folder import FILES

OPTIONS = [
    *("preset", "prior", "lambda-max", "alpha-prime", "lambda-mean", "sigma-prime", "similarity", "affine", "initial"),
    *("fixed-mask", "moving-mask", "fixed-labels", "moving-labels", "fixed-points", "moving-points"),
    *("device", "threads", "precision", "json", "batch", "out"),
]


def test_register_writes_the_whole_folder_and_says_what_came_out(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    companions = [
        word
        for name in ("mask", "labels", "points")
        for side, letter in (("fixed", "f"), ("moving", "m"))
        for word in (f"--{side}-{name}", pair / f"{letter}_{name}{'.csv' if name == 'points' else '.nii.gz'}")
    ]
    assert register(pair, *companions) == 0
    assert set(FILES) <= {path.name for path in (pair / "out").iterdir()}
    content = json.loads((pair / "out" / "report.json").read_text(encoding="utf-8"))
    assert content["similarity_after"] > content["similarity_before"]
    assert content["dice_after"]["mean"] > content["dice_before"]["mean"]
    assert content["tre_after_mm"]["mean"] < content["tre_before_mm"]["mean"]
    assert content["folding_percent"] == 0
    assert content["command"].startswith("spatialreg register ")
    out = capsys.readouterr().out
    assert "Dice" in out
    assert "report.html" in out


def test_the_verdict_is_said_and_strict_ends_with_3_where_it_is_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_verdict_pairs(tmp_path)
    assert register(folder, "--strict", fixed="body.nii.gz", moving="bent.nii.gz") == 0
    assert "Verdict: good" in capsys.readouterr().out
    assert register(folder, "--force", fixed="body.nii.gz", moving="noise.nii.gz") == 0
    assert register(folder, "--force", "--strict", fixed="body.nii.gz", moving="noise.nii.gz") == 3
    assert "Verdict: failed" in capsys.readouterr().out
    content = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    assert content["verdict"]["level"] == "failed"
    assert content["verdict"]["reasons"]
    assert content["verdict"]["evidence"]["shared"] < 0.2


def test_json_is_one_object_per_line(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert register(pair, "--json") == 0
    captured = capsys.readouterr()
    events = [json.loads(line) for line in captured.out.splitlines()]
    assert {event["event"] for event in events} == {"progress", "result"}
    assert events[-1]["event"] == "result"
    assert events[-1]["folding_percent"] == 0
    assert captured.err == ""


def test_json_errors_are_events(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert register(pair, "--json", moving="nowhere.nii") == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "error"
    assert last["code"] == 1
    assert "does not exist" in last["message"]


def test_quiet_says_nothing(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert register(pair, "--quiet") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_debug_adds_the_traceback(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert register(pair, "--debug", moving="nowhere.nii") == 1
    assert "Traceback" in capsys.readouterr().err


def test_help_is_quick_and_complete() -> None:
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "SpatialRegularizationLib", "register", "--help"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert time.monotonic() - start < 5
    assert "torch" not in done.stderr
    assert "numpy" not in done.stderr
    for option in OPTIONS:
        assert f"--{option}" in done.stdout
    assert all(name in done.stdout for name in PRESETS)


def test_an_earlier_result_is_kept_unless_forced(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert register(pair, "--quiet") == 0
    kept = (pair / "out" / "report.json").read_bytes()
    assert register(pair) == 2
    assert "--force" in the_sentence(capsys)
    assert (pair / "out" / "report.json").read_bytes() == kept
    assert register(pair, "--quiet", "--force") == 0
    assert (pair / "out" / "report.json").read_bytes() != kept


def _in_a_process(pair: Path, *more: str, before: str = "") -> subprocess.Popen[str]:
    """The command in its own process, after some Python statements."""
    arguments = ["register", str(pair / "f.nii.gz"), str(pair / "m.nii.gz"), "--out", str(pair / "out"), *QUICK, *more]
    code = f"import sys\n{before}\nfrom SpatialRegularizationLib.__main__ import main\nsys.exit(main({arguments!r}))"
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a Unix notion")
def test_a_full_disk_leaves_nothing(pair: Path) -> None:
    before = sorted(path.name for path in pair.iterdir())
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))"
    process = _in_a_process(pair, before=limit)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "could not be written" in err.splitlines()[-1]
    assert "free some space" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert "HDF5" not in err
    assert sorted(path.name for path in pair.iterdir()) == before


def test_without_a_preset_the_pair_decides_and_an_option_stays_even_with_the_value_that_auto_has(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = read_volume(pair / "f.nii.gz")
    write_volume(pair / "f.nii.gz", fixed.with_data(2 - fixed.data))
    images = pair / "f.nii.gz", pair / "m.nii.gz"
    quick = "--affine", "none", "--iterations", STEPS, "--threads", 1
    assert run("register", *images, "--out", pair / "out", *quick, "--mind-radius", 1) == 0
    assert run("register", *images, "--out", pair / "kept", *quick, "--similarity", "lncc") == 0
    found = {name: json.loads((pair / name / "report.json").read_text(encoding="utf-8")) for name in ("out", "kept")}
    assert [report["settings"]["similarity"] for report in found.values()] == ["mind", "lncc"]
    assert found["out"]["chosen_preset"] == found["kept"]["chosen_preset"]
    assert f"The preset {found['out']['chosen_preset']} was chosen automatically" in capsys.readouterr().out
    assert register(pair, "--force") == 0
    assert json.loads((pair / "out" / "report.json").read_text(encoding="utf-8"))["chosen_preset"] is None, "generic was named"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without asking")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interruption_leaves_nothing(name: str, pair: Path) -> None:
    number = signal.Signals[name]
    before = sorted(path.name for path in pair.iterdir())
    many = ",".join("10000" for _ in PRESETS["generic"].levels)
    handler = "default_int_handler" if name == "SIGINT" else "SIG_DFL"
    heard = f"import signal\nsignal.signal(signal.{name}, signal.{handler})"  # background jobs may be deaf to it
    process = _in_a_process(pair, "--iterations", many, before=heard)
    while (line := process.stderr.readline()) and "level 1" not in line:  # in the middle of the work
        pass
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, err
    assert "Interrupted" in err
    assert "Traceback" not in err
    assert sorted(path.name for path in pair.iterdir()) == before


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_voxels_without_a_number_are_told_by_every_command(pair: Path, value: float, capsys: pytest.CaptureFixture[str]) -> None:
    """As masking and fMRI preparation leave them; inside a given mask they are refused."""
    data = blob(2.0)
    data[:, :4] = value
    write_volume(pair / "holes.nrrd", Volume(data, GRID))
    assert register(pair, moving="holes.nrrd") == 0
    assert "NaN or infinite: they were taken as background" in capsys.readouterr().out
    images = ("--fixed", pair / "f.nii.gz", "--moving", pair / "holes.nrrd")
    assert run("evaluate", "--transform", pair / "out", *images) == 0
    assert "NaN or infinite: they were taken as background" in capsys.readouterr().out
    write_volume(pair / "whole.nrrd", Volume(torch.ones(1, *GRID.shape, dtype=torch.uint8), GRID))
    assert register(pair, "--force", "--moving-mask", pair / "whole.nrrd", moving="holes.nrrd") == 1
    assert "inside its mask" in capsys.readouterr().err
