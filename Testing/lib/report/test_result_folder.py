"""A result folder under processes that are killed, interrupted, or two at once: the earlier result, or the new one, whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from SpatialRegularizationLib.io import claims
from SpatialRegularizationLib.io.claims import TakenError
from SpatialRegularizationLib.io.exchange import exchange
from SpatialRegularizationLib.report import result_folder
from SpatialRegularizationLib.report.result_folder import FILES, REPORT, check_destination, claimed_folder, read_report, replaced

TESTING = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals that kill at once")


def _points(folder: Path, way: str, number: str) -> list[dict[str, Any]]:
    command = [sys.executable, str(TESTING / "killed.py"), str(folder / "work"), way, number]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) > 10, "the process was stopped at many points"
    assert found[-1] == {"now": "second", "left": [], "healed": "second", "hidden": []}, "the last one was not stopped"
    return found


def _write(folder: Path, generation: str, *, overwrite: bool = False) -> None:
    with replaced(folder, overwrite=overwrite) as staged:
        for name in FILES:
            (staged / name).write_text(json.dumps(generation) if name == REPORT else generation)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@posix
@pytest.mark.parametrize("way", ["exchange", "one by one", "within"])
def test_a_process_killed_at_any_point_leaves_the_earlier_or_the_new_result(tmp_path: Path, way: str) -> None:
    found = _points(tmp_path, way, "SIGKILL")
    assert {state["healed"] for state in found} == {"first", "second"}
    assert not [state["hidden"] for state in found if state["hidden"]], "the next run removes what was left"
    if way == "exchange" and sys.platform in ("linux", "darwin"):
        assert {state["now"] for state in found} == {"first", "second"}, "the name is never empty, not even for a moment"


@posix
def test_a_first_result_of_a_killed_process_is_whole_or_absent(tmp_path: Path) -> None:
    found = _points(tmp_path, "new", "SIGKILL")
    assert {state["now"] for state in found} == {None, "second"}
    assert not [state["hidden"] for state in found if state["hidden"]]


@posix
@pytest.mark.parametrize("way", ["exchange", "one by one", "within", "new"])
def test_a_signal_at_any_point_leaves_a_whole_result_and_nothing_hidden(tmp_path: Path, way: str) -> None:
    found = _points(tmp_path, way, "SIGTERM")
    assert {state["now"] for state in found} == {None if way == "new" else "first", "second"}
    assert not [state["left"] for state in found if state["left"]]


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="other systems cannot exchange two names")
def test_two_folders_exchange_their_places(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert (_names(tmp_path / "a"), _names(tmp_path / "b")) == (["b"], ["a"])
    assert not exchange(tmp_path / "a", tmp_path / "nowhere")


def test_what_an_earlier_version_left_between_its_two_renames_comes_back(tmp_path: Path) -> None:
    _write(tmp_path / "r", "first")
    os.rename(tmp_path / "r", tmp_path / ".r.0123abcd.old")
    (tmp_path / ".r.4567cdef.part").mkdir()
    _write(tmp_path / "other", "other")
    os.rename(tmp_path / "other", tmp_path / ".rr.0123abcd.old")
    with claimed_folder(tmp_path / "r"):
        assert read_report(tmp_path / "r") == "first"
    assert _names(tmp_path) == [".rr.0123abcd.old", "r"], "what belongs to another name stays"


def test_the_leftovers_of_a_process_that_works_stay(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from SpatialRegularizationLib.report.result_folder import claimed_folder, replaced\n"
        "with claimed_folder(sys.argv[1]) as folder, replaced(folder) as staged:\n"
        "    (staged / 'report.json').touch(); print('here', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(tmp_path / "r")]
    with subprocess.Popen(command, cwd=TESTING.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()
        before = _names(tmp_path)
        with pytest.raises(TakenError, match=rf"r is being written by another process \({other.pid}\): wait until"):
            claimed_folder(tmp_path / "r").__enter__()
        assert _names(tmp_path) == before
        other.kill()
    with claimed_folder(tmp_path / "r") as folder:
        assert _names(tmp_path) == [".r.lock"], "a dead process blocks nobody, and what it left goes"
        _write(folder, "mine")
    assert _names(tmp_path) == ["r"]


def test_a_file_that_comes_into_the_earlier_result_meanwhile_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "r", "first")

    def late(one: Path, other: Path) -> bool:
        (tmp_path / "r" / "notes.txt").write_text("years of work")
        return exchange(one, other)

    monkeypatch.setattr(result_folder, "exchange", late)
    _write(tmp_path / "r", "second", overwrite=True)
    assert (tmp_path / "r" / "notes.txt").read_text() == "years of work"
    assert _names(tmp_path) == ["r"]


def test_without_locks_nobody_replaces_what_came_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="holds an earlier result"), replaced(tmp_path / "r"):
        _write(tmp_path / "r", "faster")
    assert read_report(tmp_path / "r") == "faster"
    assert _names(tmp_path) == ["r"]


def test_where_the_file_system_has_no_locks_nothing_is_healed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(file: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(claims, "_lock", no_locks)
    (tmp_path / ".r.0123abcd.part").mkdir()  # perhaps of somebody who works
    with claimed_folder(tmp_path / "r") as folder:
        _write(folder, "mine")
    assert _names(tmp_path) == [".r.0123abcd.part", "r"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_is_followed(tmp_path: Path, exists: bool) -> None:
    target, link = tmp_path / "disk" / "results", tmp_path / "link"
    if exists:
        target.mkdir(parents=True)
    link.symlink_to(target)
    for generation in ("first", "second"):
        with claimed_folder(link) as folder:
            _write(folder, generation, overwrite=True)
    assert link.is_symlink()
    assert read_report(target) == "second"
    assert _names(tmp_path) == ["disk", "link"]
    assert _names(tmp_path / "disk") == ["results"]


def test_a_link_to_itself_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="loop is a symbolic link that leads to itself"):
        check_destination(tmp_path / "loop")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not remove the current folder")
def test_a_relative_path_in_a_folder_that_is_gone_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        with pytest.raises(FileNotFoundError, match="current folder does not exist any more: give the full path instead of out"):
            check_destination("out")
    finally:
        os.chdir(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="names are Unicode there")
def test_a_name_that_is_no_utf_8_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"result\\udcff' is not UTF-8"):
        check_destination(os.fsdecode(os.fsencode(tmp_path / "result") + b"\xff"))


def test_a_name_of_255_bytes_gets_its_result(tmp_path: Path) -> None:
    folder = tmp_path / ("λ" * 127)
    for generation in ("first", "second"):
        with claimed_folder(folder) as place:
            _write(place, generation, overwrite=True)
    assert read_report(folder) == "second"
    assert _names(tmp_path) == [folder.name]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_whose_parent_is_read_only_takes_results(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    tmp_path.chmod(0o555)
    try:
        for generation in ("first", "second"):
            with claimed_folder(folder) as place:
                _write(place, generation, overwrite=True)
        assert read_report(folder) == "second"
        assert _names(folder) == sorted(FILES)
    finally:
        tmp_path.chmod(0o755)


def test_the_permissions_of_the_folder_stay(tmp_path: Path) -> None:
    _write(tmp_path / "r", "first")
    (tmp_path / "r").chmod(0o770)
    _write(tmp_path / "r", "second", overwrite=True)
    assert sys.platform == "win32" or (tmp_path / "r").stat().st_mode & 0o777 == 0o770


def test_folders_that_were_made_for_a_claim_alone_are_removed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no image"), claimed_folder(tmp_path / "a" / "b" / "r"):
        raise ValueError("no image")
    assert _names(tmp_path) == []
