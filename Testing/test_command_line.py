"""The command line: what it writes and says, and how it fails: one sentence, an exit code, nothing half-written."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from SpatialRegularizationLib.__main__ import main
from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.io.points import read_points, write_points
from SpatialRegularizationLib.io.results import FILES
from SpatialRegularizationLib.io.volumes import read_volume, write_volume
from SpatialRegularizationLib.registration.presets import PRESETS

REPOSITORY = Path(__file__).resolve().parent.parent
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
GRID = Grid((24, 24, 24), (2.0, 2.0, 2.0), (-23.0, -23.0, -23.0), IDENTITY)
STEPS = ",".join("3" for _ in PRESETS["generic"].levels)
QUICK = ["--affine", "none", "--global-search", "off", "--iterations", STEPS, "--threads", "2"]
OPTIONS = [
    *("preset", "prior", "lambda-max", "alpha-prime", "lambda-mean", "sigma-prime", "similarity", "affine", "initial"),
    *("fixed-mask", "moving-mask", "fixed-labels", "moving-labels", "fixed-points", "moving-points"),
    *("device", "threads", "precision", "json", "batch", "out"),
]
POINTS = np.array([[-5.0, 0.0, 0.0], [6.0, 2.0, 1.0], [0.0, 7.0, -3.0]])


def blob(shift_mm: float = 0.0) -> torch.Tensor:
    """Two nested ellipsoids with soft borders, moved along x."""
    index = np.moveaxis(np.indices(GRID.shape), 0, -1)
    x, y, z = np.moveaxis(GRID.index_to_point(index), -1, 0)
    radius = np.sqrt((x - shift_mm) ** 2 + (1.2 * y) ** 2 + z**2)
    return torch.from_numpy(1 / (1 + np.exp(radius - 14)) + 0.6 / (1 + np.exp(radius - 7)))[None].float()


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with f.nii.gz and m.nii.gz, labels, masks and points of both."""
    for name, shift in (("f", 0.0), ("m", 2.0)):
        image = blob(shift)
        write_volume(tmp_path / f"{name}.nii.gz", Volume(image, GRID))
        write_volume(tmp_path / f"{name}_labels.nii.gz", Volume((image > 0.5).int() + (image > 1.2).int(), GRID))
        write_volume(tmp_path / f"{name}_mask.nii.gz", Volume((image > 0.01).to(torch.uint8), GRID))
        write_points(tmp_path / f"{name}_points.csv", POINTS + np.array([shift, 0, 0]))
    return tmp_path


def run(*arguments: object) -> int:
    """One command in this process."""
    return main([str(a) for a in arguments])


def register(folder: Path, *more: object, fixed: str = "f.nii.gz", moving: str = "m.nii.gz") -> int:
    """Register two files of a folder into folder/out."""
    return run("register", folder / fixed, folder / moving, "--out", folder / "out", *QUICK, *more)


def the_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The error message, checked to be one line without a traceback, with standard output empty."""
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("spatialreg: ")]
    assert len(errors) == 1, captured.err
    assert captured.err.rstrip().endswith(errors[0]), "the error is the last thing said"
    assert "Traceback" not in captured.err
    assert captured.out == ""
    return errors[0]


def test_register_writes_the_whole_folder_and_says_what_came_out(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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


# ---------------------------------------------------------------------------------------------------- bad input


def _nifti(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> None:
    nib.save(nib.Nifti1Image(data.astype(np.float32), np.diag([2, 2, 2, 1]) if affine is None else affine), path)


def _sheared(path: Path) -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[0, 1] = 1.0
    image = nib.Nifti1Image(blob()[0].numpy(), affine)
    image.set_sform(affine, code=1)
    image.set_qform(None, code=0)
    nib.save(image, path)


def _without_spacing(path: Path) -> None:
    _nifti(path, blob()[0].numpy())
    raw = bytearray(path.read_bytes())
    raw[80:84] = np.float32(0).tobytes()  # pixdim[1]
    path.write_bytes(bytes(raw))


def _with(value: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        data = blob()[0].numpy().copy()
        data[3, 4, 5] = value
        _nifti(path, data)

    return write


def _truncated(path: Path) -> None:
    _nifti(path, np.random.default_rng(0).random((24, 24, 24)))
    path.write_bytes(path.read_bytes()[:20000])


def _far_away(path: Path) -> None:
    write_volume(path, Volume(blob(), Grid(GRID.shape, GRID.spacing, (5000.0, 0.0, 0.0), IDENTITY)))


BAD_IMAGES = {
    "missing": (lambda path: None, "bad.nii", "does not exist"),
    "not an image": (lambda path: path.write_text("hello"), "bad.nii", "not a readable image"),
    "truncated": (_truncated, "bad.nii", "damaged or incomplete"),
    "2-D": (lambda path: _nifti(path, np.random.rand(24, 24)), "bad.nii", "2-D image"),
    "4-D": (lambda path: _nifti(path, np.random.rand(8, 8, 8, 5)), "bad.nii", "series of 5 volumes"),
    "NaN": (_with(np.nan), "bad.nii", "NaN or infinite"),
    "infinite": (_with(np.inf), "bad.nii", "NaN or infinite"),
    "constant": (lambda path: _nifti(path, np.ones((24, 24, 24))), "bad.nii", "is constant"),
    "sheared": (_sheared, "bad.nii", "sheared"),
    "zero spacing": (_without_spacing, "bad.nii", "spacing"),
    "no overlap": (_far_away, "bad.nii.gz", "overlap"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_a_bad_image_is_refused_in_one_sentence(kind: str, pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, name, words = BAD_IMAGES[kind]
    make(pair / name)
    before = sorted(path.name for path in pair.iterdir())
    assert register(pair, moving=name) == 1
    sentence = the_sentence(capsys)
    assert words in sentence
    assert any(mark in sentence for mark in (": ", "; ")), "what is wrong, then the remedy"
    assert sorted(path.name for path in pair.iterdir()) == before


def _other_grid(pair: Path) -> list[object]:
    labels = read_volume(pair / "f_labels.nii.gz", labels=True)
    smaller = Grid((20, 24, 24), GRID.spacing, GRID.origin, IDENTITY)
    write_volume(pair / "bad.nii.gz", Volume(labels.data[:, :20], smaller))
    return ["--fixed-labels", pair / "bad.nii.gz", "--moving-labels", pair / "m_labels.nii.gz"]


def _gray_labels(pair: Path) -> list[object]:
    return ["--fixed-labels", pair / "f.nii.gz", "--moving-labels", pair / "m_labels.nii.gz"]


def _empty_mask(pair: Path) -> list[object]:
    write_volume(pair / "bad.nii.gz", Volume(torch.zeros(1, *GRID.shape, dtype=torch.uint8), GRID))
    return ["--fixed-mask", pair / "bad.nii.gz"]


def _points_outside(pair: Path) -> list[object]:
    write_points(pair / "bad.csv", POINTS + 500)
    return ["--fixed-points", pair / "bad.csv", "--moving-points", pair / "m_points.csv"]


def _too_few_points(pair: Path) -> list[object]:
    write_points(pair / "bad.csv", POINTS[:2])
    return ["--fixed-points", pair / "bad.csv", "--moving-points", pair / "m_points.csv"]


def _bad_points(pair: Path) -> list[object]:
    (pair / "bad.csv").write_text("nothing here")
    return ["--fixed-points", pair / "bad.csv", "--moving-points", pair / "m_points.csv"]


def _bad_initial(pair: Path) -> list[object]:
    (pair / "bad.h5").write_text("nothing here")
    return ["--initial", pair / "bad.h5"]


BAD_COMPANIONS = {
    "label map of another grid": (_other_grid, "another grid"),
    "label map with gray values": (_gray_labels, "not integers"),
    "empty mask": (_empty_mask, "empty"),
    "landmarks outside": (_points_outside, "outside"),
    "landmark counts": (_too_few_points, "2"),
    "unreadable points": (_bad_points, "bad.csv"),
    "unreadable initial transform": (_bad_initial, "not a readable transform"),
}


@pytest.mark.parametrize("kind", BAD_COMPANIONS)
def test_a_bad_companion_is_refused_in_one_sentence(kind: str, pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, words = BAD_COMPANIONS[kind]
    arguments = make(pair)
    before = sorted(path.name for path in pair.iterdir())
    assert register(pair, *arguments) == 1
    assert words in the_sentence(capsys)
    assert sorted(path.name for path in pair.iterdir()) == before


USAGE = {
    "unknown option": (["--lamda-max", "1"], "Unknown option --lamda-max: did you mean --lambda-max?"),
    "abbreviated option": (["--lambda", "1"], "Unknown option --lambda"),
    "unknown choice": (["--prior", "betta"], "'beta'"),
    "unknown preset": (["--preset", "brain"], "Did you mean 'brain-mri'?"),
    "not a number": (["--lambda-max", "much"], "--lambda-max"),
    "out of range": (["--lambda-max", "-3"], "--lambda-max must be a number from"),
    "even window": (["--lncc-window", "8"], "--lncc-window must be odd, got 8; use 9"),
    "no effect": (["--lambda-mean", "0.5"], "--prior gaussian"),
    "one-sided labels": (["--fixed-labels", "x.nii"], "--moving-labels"),
    "wrong number of steps": (["--iterations", "1,2,3,4,5,6,7,8,9"], "--iterations needs"),
    "three images": (["third.nii"], "third.nii"),
}


@pytest.mark.parametrize("kind", USAGE)
def test_wrong_usage_ends_with_code_2(kind: str, pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more, words = USAGE[kind]
    assert register(pair, *more) == 2
    assert words in the_sentence(capsys)
    assert not (pair / "out").exists()


def test_missing_arguments_are_wrong_usage(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("register", "--out", pair / "out") == 2
    assert "FIXED and MOVING" in the_sentence(capsys)
    assert run("register", pair / "f.nii.gz", pair / "m.nii.gz") == 2
    assert "--out" in the_sentence(capsys)
    assert run() == 2
    assert "COMMAND" in the_sentence(capsys)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_an_absent_device_is_an_error_and_no_fallback(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert register(pair, "--device", "cuda") == 1
    assert "--device cpu" in the_sentence(capsys)
    assert not (pair / "out").exists()


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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without asking")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing(number: signal.Signals, pair: Path) -> None:
    before = sorted(path.name for path in pair.iterdir())
    many = ",".join("10000" for _ in PRESETS["generic"].levels)
    process = _in_a_process(pair, "--iterations", many)
    while (line := process.stderr.readline()) and "level 1" not in line:  # in the middle of the work
        pass
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Interrupted" in err
    assert "Traceback" not in err
    assert sorted(path.name for path in pair.iterdir()) == before


# ------------------------------------------------------------------------------------------------ the other commands


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


def test_batch_does_not_skip_a_result_of_other_settings(pair: Path) -> None:
    table = _table(pair, "fixed;moving", "f.nii.gz;m.nii.gz")
    assert run("register", "--batch", table, "--out", pair / "all", "--quiet", *QUICK) == 0
    again = ["register", "--batch", table, "--out", pair / "all", "--quiet", "--lambda-max", "2", *QUICK]
    assert run(*again) == 1
    assert "--force" in _summary(pair / "all")[0]["message"]
    assert run(*again, "--force") == 0
    assert _summary(pair / "all")[0]["state"] == "done"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["fixed,mowing", "f.nii.gz,m.nii.gz"], "unknown column 'mowing'"),
        (["fixed", "f.nii.gz"], "lacks the columns"),
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
    assert np.allclose(read_points(pair / "back.csv").positions, POINTS, atol=0.05)


def test_apply_does_not_replace_a_file_unasked(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("apply", pair / "t.tfm", pair / "m.nii.gz", "--out", pair / "f.nii.gz") == 2
    assert "--force" in the_sentence(capsys)


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
