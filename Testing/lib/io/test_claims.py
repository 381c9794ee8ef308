"""A claim belongs to one process and one thread; it ends with them, and leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from held import held

from SpatialRegularizationLib.io.claims import TakenError, claimed

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_thread_that_has_a_claim_may_ask_again(tmp_path: Path) -> None:
    with claimed(tmp_path / "a") as first, claimed(tmp_path / "a") as second:
        assert (first, second) == (True, False)
        assert [path.name for path in tmp_path.iterdir()] == [".a.lock"]
    assert not list(tmp_path.iterdir())


def test_another_thread_is_refused_or_waits(tmp_path: Path) -> None:
    with held(tmp_path / "a"):
        with pytest.raises(TakenError, match="a is being written by another thread of this program: wait until it has finished"):
            claimed(tmp_path / "a").__enter__()
        with claimed(tmp_path / "b") as other:
            assert other
    with claimed(tmp_path / "a") as mine:
        assert mine


def test_a_link_and_its_target_are_one_place(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with held(tmp_path / "link"), pytest.raises(TakenError):
        claimed(tmp_path / "a").__enter__()


def test_processes_that_wait_for_one_another_count_right(tmp_path: Path) -> None:
    """Four processes add one to a number twenty times each; without the claim some would be lost."""
    number = tmp_path / "number"
    number.write_text("0")
    code = (
        "import sys, pathlib\nfrom SpatialRegularizationLib.io.claims import claimed\nnumber = pathlib.Path(sys.argv[1])\n"
        "for _ in range(20):\n    with claimed(number, wait=True):\n        number.write_text(str(int(number.read_text()) + 1))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(number)], cwd=REPOSITORY) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert number.read_text() == "80"
    assert [path.name for path in tmp_path.iterdir()] == ["number"]


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_a_child_has_not_inherited_the_claim(tmp_path: Path) -> None:
    with claimed(tmp_path / "a"):
        child = os.fork()
        if not child:
            try:
                with claimed(tmp_path / "a"):
                    os._exit(1)
            except TakenError:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="no such protection here")
def test_a_link_in_the_place_of_the_hidden_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("years of work")
    (tmp_path / ".a.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"):
        claimed(tmp_path / "a").__enter__()
    assert (tmp_path / "precious").read_text() == "years of work"
