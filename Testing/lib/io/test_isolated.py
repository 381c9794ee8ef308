"""A reader in a process of its own: its answer, its sentences, its limits, and nothing left of it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from SpatialRegularizationLib.io import isolated
from SpatialRegularizationLib.io.isolated import Content, read_isolated

REPOSITORY = Path(__file__).resolve().parents[3]
LARGE = np.random.default_rng(0).standard_normal((30, 40, 50))


def answers(path: str) -> Content:
    return Content({"path": path, "n": 3}, {"turned": (LARGE.T, np.float32), "plain": LARGE, "none": np.empty((0, 3))})


def refuses(path: str) -> Content:
    raise ValueError(f"{path} is not what was expected.")


def stumbles(path: str) -> Content:
    return {}[path]


def crashes(path: str) -> Content:
    ctypes.string_at(0)


def aborts(path: str) -> Content:
    os.abort()


def never_ends(path: str) -> Content:
    while True:
        pass


def sleeps(path: str) -> Content:
    time.sleep(600)


def floods(path: str) -> Content:
    return Content({}, {"flood": np.ones(1 << 33)})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file.bin").write_bytes(b"x")
    return tmp_path / "file.bin"


@pytest.fixture(params=["forked", "spawned"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Linux forks; elsewhere a fresh interpreter is started, which works on Linux, too."""
    if request.param == "forked" and sys.platform != "linux":
        pytest.skip("only Linux forks")
    monkeypatch.setattr(isolated.sys, "platform", "linux" if request.param == "forked" else "elsewhere")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return request.param


def children() -> set[str]:
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {pid for pid in found if "(" not in pid}


def test_values_and_arrays_arrive_in_order_and_can_be_changed(file: Path, way: str) -> None:
    about, arrays = read_isolated(answers, file)
    assert about == {"path": str(file), "n": 3}
    np.testing.assert_array_equal(arrays["plain"], LARGE)
    np.testing.assert_array_equal(arrays["turned"], LARGE.T.astype(np.float32))
    assert arrays["none"].shape == (0, 3)
    for array in arrays.values():
        assert array.flags.c_contiguous
        assert array.flags.writeable
    arrays["plain"][0] = 0


def test_what_a_reader_says_arrives_unchanged(file: Path, way: str) -> None:
    with pytest.raises(ValueError, match=r"^.*file\.bin is not what was expected\.$"):
        read_isolated(refuses, file)
    with pytest.raises(ValueError, match=r"file\.bin is damaged \(KeyError"):
        read_isolated(stumbles, file)


@pytest.mark.parametrize(("reader", "name"), [(crashes, "SIGSEGV"), (aborts, "SIGABRT")])
def test_a_crash_becomes_a_sentence_that_names_the_file(file: Path, way: str, reader, name: str) -> None:
    with pytest.raises(ValueError, match=rf"file\.bin is damaged: its reader crashed on it \({name}\)") as caught:
        read_isolated(reader, file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reader", [never_ends, sleeps])
def test_a_reader_that_does_not_end_is_ended(file: Path, way: str, reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "START_SECONDS", 0.0)
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"file\.bin could not be read within 1 s"):
        read_isolated(reader, file, seconds=1.0)
    assert time.monotonic() - start < 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_a_reader_that_floods_memory_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match=r"file\.bin asks for more than 1\.1 GB"):
        read_isolated(floods, file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.bin does not exist"):
        read_isolated(answers, tmp_path / "none.bin")


@pytest.mark.skipif(sys.platform != "linux", reason="children are counted in /proc")
def test_no_child_is_left_after_an_answer_a_refusal_or_an_end(file: Path) -> None:
    before = children()
    read_isolated(answers, file)
    for reader in (refuses, crashes, never_ends):
        with pytest.raises(ValueError, match=r"file\.bin"):
            read_isolated(reader, file, seconds=0.5)
    deadline = time.monotonic() + 5
    while not children() <= before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert children() <= before  # one of an earlier test may have ended meanwhile


WAITING = """
import signal, sys, test_isolated
from SpatialRegularizationLib.io.isolated import read_isolated
def interrupt(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, interrupt)
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs deaf to it
print("ready", flush=True)
try:
    read_isolated(test_isolated.sleeps, sys.argv[1], seconds=60)
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="children are counted in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_are_answered_at_once_and_end_the_child_too(file: Path, number: int) -> None:
    places = os.pathsep.join([str(REPOSITORY), str(Path(__file__).parent)])
    command = [sys.executable, "-B", "-c", WAITING, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": places}) as process:
        assert process.stdout.readline() == b"ready\n"
        place = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 10
        while not (child := place.read_text().split()) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        start = time.monotonic()
        process.send_signal(number)
        code = process.wait(10)
    assert time.monotonic() - start < 2
    assert code == (-number if number == signal.SIGKILL else 7)
    deadline = time.monotonic() + 2
    while Path(f"/proc/{child[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{child[0]}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_files_are_read_beside_threads_that_compute(file: Path) -> None:
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            np.sort(LARGE.ravel())

    threads = [threading.Thread(target=compute) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            np.testing.assert_array_equal(read_isolated(answers, file).arrays["plain"], LARGE)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
