"""How the command line ends: exit codes where a stream is closed or full, and where two processes want one place."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import QUICK, REPOSITORY, register, run, the_sentence

from SpatialRegularizationLib.report.result_folder import FILES, read_report

posix = pytest.mark.skipif(sys.platform == "win32", reason="closed and full streams are a Unix notion")
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "SpatialRegularizationLib", *map(str, arguments)]


def _shell(redirection: str, *arguments: object, text: str = "") -> subprocess.CompletedProcess[str]:
    """The command with a redirection of the shell."""
    shell = ["bash", "-c", f'exec "$@" {redirection}', "-", *_command(*arguments)]
    return subprocess.run(shell, input=text, capture_output=True, cwd=REPOSITORY, text=True, timeout=120, check=False)


def _pair_arguments(pair: Path, out: str) -> list[object]:
    return ["register", pair / "f.nii.gz", pair / "m.nii.gz", "--out", pair / out, *QUICK]


@contextlib.contextmanager
def _holding(place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has claimed a place."""
    hold = (
        "import sys; from SpatialRegularizationLib.io.claims import claimed\n"
        "with claimed(sys.argv[1]):\n    print('here', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", hold, str(place)], cwd=REPOSITORY, **pipes) as other:
        other.stdout.readline()
        yield other
        other.stdin.close()


def _summary(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return {row["name"]: row for row in csv.DictReader(stream)}


FULL_STREAMS = [pytest.param(f"{number}>/dev/full", marks=FULL) for number in (1, 2)]


@posix
@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&-", *FULL_STREAMS])
def test_a_finished_result_is_a_success_whatever_the_streams_are(redirection: str, pair: Path) -> None:
    done = _shell(redirection, *_pair_arguments(pair, "out"))
    assert done.returncode == 0, done.stderr
    assert read_report(pair / "out") is not None
    told = done.stderr if redirection in (">&-", "1>/dev/full") else done.stdout
    assert "Report: " in told or redirection == ">&- 2>&-"
    assert not any(word in done.stdout + done.stderr for word in ("Internal error", "Traceback", "Exception ignored"))


@posix
@FULL
def test_events_that_standard_output_cannot_take_go_to_standard_error(pair: Path) -> None:
    done = _shell(">/dev/full", *_pair_arguments(pair, "out"), "--json")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["event"] == "result"
    failed = _shell(">/dev/full", *_pair_arguments(pair, "out"), "--json")
    assert failed.returncode == 2
    assert json.loads(failed.stderr)["code"] == 2


@posix
@pytest.mark.parametrize(
    ("redirection", "arguments"),
    [
        (">&-", ["models", "list"]),
        pytest.param(">/dev/full", ["models", "list", "--json"], marks=FULL),
        pytest.param(">/dev/full", ["--help"], marks=FULL),
    ],
)
def test_an_answer_that_is_nowhere_else_is_a_failure(redirection: str, arguments: list[str]) -> None:
    done = _shell(redirection, *arguments)
    assert done.returncode == 1
    assert "could not be written to standard output" in done.stderr
    assert "Exception ignored" not in done.stderr


@posix
def test_an_error_is_told_on_the_other_stream(pair: Path) -> None:
    done = _shell("2>&-", "register", pair / "nowhere.nii", pair / "m.nii.gz", "--out", pair / "out")
    assert done.returncode == 1
    assert "nowhere.nii" in done.stdout


@posix
def test_a_reader_that_has_gone_away_is_no_failure() -> None:
    done = subprocess.run(["bash", "-c", '"$@" | true; exit ${PIPESTATUS[0]}', "-", *_command("train", "--settings")],
                          cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_letters_that_the_stream_does_not_have_do_not_stop_the_work() -> None:
    command, environment = _command("models", "info", "head-any-hyper"), os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"hyper-tm-spr" in done.stdout


@posix
@pytest.mark.parametrize("redirection", [">&-", pytest.param(">/dev/full", marks=FULL)])
def test_a_worker_that_cannot_answer_finishes_its_work(redirection: str, pair: Path) -> None:
    settings = {"affine": "none", "global_search": "off", "levels": [[2, 2, 2]], "device": "cpu"}
    values = {"fixed": str(pair / "f.nii.gz"), "moving": str(pair / "m.nii.gz"), "out": str(pair / "out"), "settings": settings}
    done = _shell(redirection, "worker", text=json.dumps({"register": values}) + "\n")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert read_report(pair / "out") is not None


@posix
def test_a_worker_whose_input_cannot_be_read_ends() -> None:
    done = _shell("0>/dev/null", "worker")
    assert done.returncode == 0
    assert json.loads(done.stdout)["event"] == "ready"


@posix
def test_many_signals_are_one_wish(pair: Path) -> None:
    assert register(pair, "--quiet") == 0
    kept = (pair / "out" / "report.json").read_bytes()
    arguments = [*_pair_arguments(pair, "out"), "--force", "--iterations", ",".join(["10000"] * 4)]
    with subprocess.Popen(_command(*arguments), cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as process:
        while (line := process.stderr.readline()) and "level 1" not in line:
            pass
        for _ in range(5):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        told = process.stderr.read()
    assert process.returncode == 143, told
    assert told.splitlines()[-1] == "spatialreg: Interrupted; nothing is half-written."
    assert "Traceback" not in told
    assert (pair / "out" / "report.json").read_bytes() == kept
    assert not [path.name for path in pair.iterdir() if path.name.startswith(".")]


def test_a_second_run_into_a_folder_is_refused_before_its_work(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--force"]):
        with _holding(pair / "out") as other:
            assert register(pair, *more, fixed="nowhere.nii") == 2
            assert f"is being written by another process ({other.pid})" in the_sentence(capsys)
    assert not (pair / "out").exists()
    assert register(pair, "--quiet") == 0


def test_two_runs_at_once_leave_one_result(pair: Path) -> None:
    others = [(("f.nii.gz", "m.nii.gz"), []), (("m.nii.gz", "f.nii.gz"), []), (("m.nii.gz", "f.nii.gz"), ["--force"])]
    processes = [
        subprocess.Popen(
            _command("register", *(pair / name for name in names), "--out", pair / "out", *QUICK, "--quiet", *more),
            cwd=REPOSITORY, stderr=subprocess.PIPE, text=True,
        ) for names, more in others
    ]  # fmt: skip
    told = [process.communicate(timeout=120)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert codes[:2].count(0) <= 1, "without --force one of them at most"
    assert set(codes) in ({0, 2}, {0}), told
    report = read_report(pair / "out")
    winners = [arguments for (arguments, _), code in zip(others, codes, strict=True) if code == 0]
    assert any(f"{names[0]} {pair}" in report["command"] for names in winners)
    assert sorted(path.name for path in (pair / "out").iterdir()) == sorted(FILES)


def test_two_batches_on_one_list_agree_that_all_is_done(pair: Path) -> None:
    table = pair / "pairs.csv"
    rows = [f"p{n},{pair / a},{pair / b}" for n, (a, b) in enumerate([("f.nii.gz", "m.nii.gz"), ("m.nii.gz", "f.nii.gz")] * 2)]
    table.write_text("\n".join(["name,fixed,moving", *rows, f"bad,{pair / 'nowhere.nii'},{pair / 'm.nii.gz'}"]) + "\n")
    command = _command("register", "--batch", table, "--out", pair / "all", *QUICK, "--json")
    processes = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=240)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [1, 1], "one pair has no image"
    summary = _summary(pair / "all" / "summary.csv")
    assert [summary[f"p{n}"]["state"] in ("done", "skipped") for n in range(4)] == [True] * 4
    assert summary["bad"]["state"] == "failed"
    results = [json.loads(lines[-1]) for lines in told]
    assert [result["done"] + result["skipped"] for result in results] == [4, 4]
    assert sum(result["done"] for result in results) == 4, "no pair was registered twice"


def test_a_pair_in_work_elsewhere_is_told_and_taken_over_when_the_other_gives_up(
    pair: Path,
) -> None:
    table = pair / "pairs.csv"
    table.write_text("name,fixed,moving\na,f.nii.gz,m.nii.gz\nb,m.nii.gz,f.nii.gz\n")
    summary, seen = pair / "all" / "summary.csv", {}
    with _holding(pair / "all" / "a") as other:
        command = _command("register", "--batch", table, "--out", pair / "all", *QUICK)
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as batch:
            while batch.poll() is None:
                if not seen and summary.is_file() and "b,done" in summary.read_text():
                    seen = _summary(summary)
                    other.kill()
                time.sleep(0.05)
            told = batch.stderr.read()
    assert batch.returncode == 0, told
    assert (seen["a"]["state"], seen["b"]["state"]) == ("in work", "done")
    assert f"another process ({other.pid})" in seen["a"]["message"]
    assert "Waiting for a: in work elsewhere" in told
    assert [row["state"] for row in _summary(summary).values()] == ["done", "done"]


@posix
def test_an_interrupted_batch_keeps_a_true_table(pair: Path) -> None:
    table = pair / "pairs.csv"
    table.write_text("name,fixed,moving\na,f.nii.gz,m.nii.gz\nb,m.nii.gz,f.nii.gz\n")
    command = _command("register", "--batch", table, "--out", pair / "all", *QUICK)
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while (line := process.stderr.readline()) and "Pair 2 of 2" not in line:
            pass
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 143
    assert {name: row["state"] for name, row in _summary(pair / "all" / "summary.csv").items()} == {"a": "done"}
    assert sorted(path.name for path in (pair / "all").iterdir()) == ["a", "summary.csv"]


def test_a_link_to_a_file_is_followed(pair: Path) -> None:
    assert register(pair, "--quiet") == 0
    (pair / "link.json").symlink_to(pair / "kept" / "figures.json")
    (pair / "kept").mkdir()
    images = ["--fixed", pair / "f.nii.gz", "--moving", pair / "m.nii.gz"]
    transform = pair / "out" / "transform.h5"
    assert run("evaluate", "--transform", transform, *images, "--out", pair / "link.json", "--quiet") == 0
    assert (pair / "link.json").is_symlink()
    assert "similarity_after" in json.loads((pair / "kept" / "figures.json").read_text())


@posix
def test_a_current_folder_that_is_gone_is_a_sentence(pair: Path) -> None:
    gone = pair / "gone"
    gone.mkdir()
    shell = ["bash", "-c", f'cd {gone}; rmdir {gone}; exec "$@"', "-", *_command(*_pair_arguments(pair, "out"))]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "spatialreg: The current folder does not exist any more: change to another one.\n"
