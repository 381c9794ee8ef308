"""The worker process through every channel: with Qt, with pipes, in this process; how it starts, answers, dies and is killed."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import textwrap
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from SpatialRegularizationGui.run import channels
from SpatialRegularizationGui.run import worker as worker_module
from SpatialRegularizationGui.run.channels import (
    Callbacks,
    Command,
    InProcessChannel,
    PipeChannel,
    QtChannel,
    kill_tree,
    python_program,
)
from SpatialRegularizationGui.run.worker import LineReader, ProcessWorker, best_worker, library_path
from worker_talk import SETTINGS

SECONDS = 60.0
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
ENDLESS = SETTINGS | {"levels": [[1, 1, 10_000]], "tolerance": 0.0}
posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups are POSIX's")

FAKE = """
    import json, os, subprocess, sys, time
    os.setpgid(0, 0)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(json.dumps({"event": "ready", "pid": os.getpid(), "group": os.getpid(), "child": child.pid}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        EXTRA
"""


@pytest.fixture
def made() -> Iterator[Callable[..., ProcessWorker]]:
    """Makes workers that are stopped at the end."""
    workers = []

    def make(*values: Any, **options: Any) -> ProcessWorker:
        workers.append(ProcessWorker(*values, **({"environment": ENVIRONMENT} | options)))
        return workers[-1]

    yield make
    for worker in workers:
        worker.stop()


def channel_of(name: str) -> Callable[[], Any]:
    if name != "qt":
        return {"pipe": PipeChannel, "in process": InProcessChannel}[name]
    pytest.importorskip("PySide6", reason="needs the PySide6-Essentials package")
    pytest.importorskip("slicer", reason="needs the slicer-core package")
    import qt_layer
    from slicer_scene import start_slicer

    qt_layer.install(start_slicer())
    return QtChannel


def fake(folder: Path, extra: str = "pass") -> dict[str, str]:
    """The environment in which another program answers in place of the library."""
    package = folder / "SpatialRegularizationLib"
    package.mkdir()
    (package / "__main__.py").write_text(textwrap.dedent(FAKE).replace("EXTRA", extra), encoding="utf-8")
    return ENVIRONMENT | {"PYTHONPATH": str(folder)}


def until(worker: ProcessWorker, condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, worker.log
        worker.poll(0.05)
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def pair(folder: Path, **more: Any) -> dict[str, Any]:
    files = {"fixed": str(folder / "f.nii.gz"), "moving": str(folder / "m.nii.gz"), "folder": str(folder / "arrays")}
    return files | {"preset": "generic", "settings": SETTINGS} | more


@pytest.mark.slicer
@pytest.mark.parametrize("name", ["pipe", "qt", "in process"])
def test_every_channel_carries_a_registration_a_cancel_and_an_error(
    made: Callable[..., ProcessWorker], folder: Path, name: str
) -> None:
    worker, events = made(channel_of(name)), []
    assert worker.pid is None
    first = worker.submit("register", pair(folder), events.append)
    until(worker, lambda: events and events[-1]["event"] == "result")
    assert {event["id"] for event in events} == {first}
    assert [event["event"] for event in events[:-1]] == ["progress"] * (len(events) - 1)
    assert np.load(events[-1]["arrays"]["displacement"]).shape == (3, 32, 32, 32)
    assert worker.pid is not None
    assert worker.ready["protocol"] == 2
    events.clear()
    worker.submit("register", pair(folder, settings={"lambda_max": "much"}), events.append)
    assert "lambda_max must be a number" in until(worker, lambda: events)[0]["message"]
    events.clear()
    long = worker.submit("register", pair(folder, settings=ENDLESS), lambda event: _cancel_at_level(worker, long, event, events))
    until(worker, lambda: events and events[-1]["event"] == "cancelled")
    assert worker.starts == 1
    worker.stop()
    assert worker.generation == 0
    assert not any((folder / "arrays").glob("*"))


def _cancel_at_level(worker: ProcessWorker, id: int, event: dict[str, Any], events: list) -> None:
    events.append(event)
    if event["event"] == "progress" and "level" in event["stage"]:
        worker.cancel(id)


@posix
@pytest.mark.slicer
@pytest.mark.parametrize("name", ["pipe", "qt"])
def test_stopping_kills_the_process_behind_a_launcher_and_its_children(
    made: Callable[..., ProcessWorker], tmp_path: Path, name: str
) -> None:
    launcher = tmp_path / "launcher"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n', encoding="utf-8")
    launcher.chmod(0o755)
    worker, answers = made(channel_of(name), program=str(launcher), environment=fake(tmp_path)), []
    worker.submit("ping", {}, answers.append)
    until(worker, lambda: worker.pid)
    killed = worker.ready["pid"], worker.ready["child"]
    assert all(map(alive, killed))
    begin = time.monotonic()
    worker.stop()
    assert time.monotonic() - begin < 3
    end = time.monotonic() + 5
    while any(map(alive, killed)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(alive, killed))
    assert [answer["event"] for answer in answers] == ["cancelled"]
    worker.poll(0.1)
    assert len(answers) == 1, "a deliberate end is no failure"


@posix
@pytest.mark.slicer
@pytest.mark.parametrize("name", ["pipe", "qt"])
@pytest.mark.parametrize(
    ("extra", "kind", "words"),
    [
        ("os.kill(os.getpid(), 9)", "memory", "ended from outside"),
        ("os.kill(os.getpid(), 11)", "crash", "has crashed (exit code -11)"),
        ("sys.exit(3)", "crash", "has crashed (exit code 3)"),
    ],
)
def test_a_worker_that_dies_answers_with_a_sentence_and_the_next_request_starts_another(
    made: Callable[..., ProcessWorker], tmp_path: Path, name: str, extra: str, kind: str, words: str
) -> None:
    worker, answers = made(channel_of(name), environment=fake(tmp_path, f"child.kill(); {extra}")), []
    for number in (1, 2):
        worker.submit("ping", {}, answers.append)
        until(worker, lambda number=number: len(answers) == number)
        assert (answers[-1]["event"], answers[-1]["kind"]) == ("error", kind)
        assert words in answers[-1]["message"]
        assert worker.starts == number


def test_a_worker_without_torch_says_what_is_missing(made: Callable[..., ProcessWorker], tmp_path: Path) -> None:
    package = tmp_path / "SpatialRegularizationLib"
    package.mkdir()
    (package / "__main__.py").write_text("import nothing_of_this_name\n", encoding="utf-8")
    worker, answers = made(environment={"PYTHONPATH": str(tmp_path)}), []
    worker.submit("ping", {}, answers.append)
    (answer,) = until(worker, lambda: answers)
    assert answer["kind"] == "install"
    assert "the Python package nothing_of_this_name is missing" in answer["message"]
    assert "ModuleNotFoundError" in answer["details"]


@pytest.mark.slicer
@pytest.mark.parametrize("name", ["pipe", "qt"])
def test_a_program_that_is_not_there_raises(made: Callable[..., ProcessWorker], name: str) -> None:
    worker = made(channel_of(name), program="/no/such/PythonSlicer")
    with pytest.raises(OSError, match="PythonSlicer"):
        worker.submit("ping", {}, lambda event: None)
    assert worker.generation == 0


def test_what_is_no_message_goes_to_the_log_and_disturbs_nobody(made: Callable[..., ProcessWorker], tmp_path: Path) -> None:
    extra = (
        "sys.stderr.write('loading 10 %\\rloading 99 %\\n'); sys.stderr.flush(); print('stray print'); print('[1, 2]'); "
        "print(json.dumps({'event': 'result', 'id': request['id'], 'text': 'λ'})); print('{\"event\": \"resu', flush=True)"
    )
    worker, answers = made(environment=fake(tmp_path, extra)), []
    worker.submit("ping", {}, answers.append)
    assert until(worker, lambda: answers)[0]["text"] == "λ"
    until(worker, lambda: len(worker.log.splitlines()) >= 4)
    assert set(worker.log.splitlines()) == {"loading 99 %", "stray print", "[1, 2]", '{"event": "resu'}


def test_lines_survive_any_cut_also_within_a_character() -> None:
    text = "".join(json.dumps({"n": n, "text": "λ → ü"}, ensure_ascii=False) + "\n" for n in range(3))
    data = text.encode()
    for size in (1, 2, 3, 7, len(data)):
        reader, lines = LineReader(), []
        for start in range(0, len(data), size):
            lines += reader.lines(data[start : start + size])
        assert lines == text.splitlines()
    endless = LineReader(limit=10)
    assert endless.lines(b"x" * 11) == []
    assert endless.lines(b"\nnext\n")[-1] == "next"


@posix
def test_only_the_processes_meant_are_killed_and_never_this_one() -> None:
    kill_tree([os.getpid(), 2**22 + 12345])
    assert alive(os.getpid())


def test_other_variables_start_another_process(made: Callable[..., ProcessWorker], tmp_path: Path) -> None:
    seen = "os.environ.get('CUDA_VISIBLE_DEVICES')"
    extra = f"print(json.dumps({{'event': 'result', 'id': request['id'], 'seen': {seen}}}), flush=True)"
    worker, answers = made(environment=fake(tmp_path, extra)), []
    for number, (variables, seen) in enumerate((({}, None), ({"CUDA_VISIBLE_DEVICES": "1"}, "1"), ({}, None)), start=1):
        worker.use(variables)
        worker.submit("ping", {}, answers.append)
        until(worker, lambda number=number: len(answers) == number)
        assert answers[-1]["seen"] == seen
        assert worker.starts == worker.generation == number
        worker.use(variables)
        assert worker.generation == number


def test_the_program_fits_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert python_program() == sys.executable
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text("#!/bin/sh\n", encoding="utf-8")
    launcher.chmod(0o755)
    with monkeypatch.context() as host:
        host.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        assert python_program() == str(launcher)
    monkeypatch.setattr(channels.sys, "executable", "/opt/Slicer/SlicerApp-real")
    assert python_program() is None
    assert isinstance(best_worker()._make_channel(), InProcessChannel)


def test_the_library_is_found_from_source_and_beside_the_package(tmp_path: Path) -> None:
    here = Path(worker_module.__file__).parents[1]
    assert library_path(here)["PYTHONPATH"].split(os.pathsep)[0] == str(here.parent.parent)
    for place in (tmp_path / "installed" / "Gui", tmp_path / "deep" / "Module" / "Gui"):
        place.mkdir(parents=True)
    (tmp_path / "installed" / "SpatialRegularizationLib").mkdir()
    found = library_path(tmp_path / "installed" / "Gui")["PYTHONPATH"].split(os.pathsep)[0]
    assert found == str(tmp_path / "installed")
    assert "PYTHONPATH" not in library_path(tmp_path / "deep" / "Module" / "Gui")


@posix
def test_an_orphan_ends_with_its_input(made: Callable[..., ProcessWorker], folder: Path) -> None:
    """What a crash of the application leaves behind: nobody calls stop."""
    worker, events = made(), []
    worker.submit("register", pair(folder, settings=ENDLESS), events.append)
    until(worker, lambda: any("level" in event.get("stage", "") for event in events))
    pid = worker.pid
    os.kill(pid, signal.SIGCONT)
    worker._channel._child.stdin.close()
    end = time.monotonic() + 20
    while alive(pid) and time.monotonic() < end:
        worker.poll(0.05)
    assert not alive(pid)


class _Process:
    """qt.QProcess as PythonQt has it: a wrapper of Python around an object of Qt.

    The wrapper that goes takes the object along, unless that has a parent; within a signal of its own this is a crash.
    """

    def __init__(self, parent: Any = None) -> None:
        self.core = types.SimpleNamespace(parent=parent, slots={}, emitting=False, deleted="", running=True)
        _Process.last = self.core

    def __del__(self) -> None:
        if self.core.parent is None and not self.core.deleted:
            self.core.deleted = "within its own signal" if self.core.emitting else "with the wrapper"

    def connect(self, signal: str, slot: Callable[..., Any]) -> None:
        self.core.slots[signal.partition("(")[0]] = slot

    def deleteLater(self) -> None:
        self.core.deleted = self.core.deleted or "later"

    def setProcessEnvironment(self, environment: Any) -> None: ...

    def start(self, program: str, arguments: list[str]) -> None: ...

    def waitForStarted(self, milliseconds: int) -> bool:
        return self.core.running

    def waitForFinished(self, milliseconds: int) -> bool:
        emit(self.core, "finished", 9, 1)
        return True

    def kill(self) -> None: ...

    def errorString(self) -> str:
        return "not there"

    def exitStatus(self) -> int:
        return 0

    def readAllStandardOutput(self) -> Any:
        return types.SimpleNamespace(data=lambda: b"")

    readAllStandardError = readAllStandardOutput


def emit(core: Any, signal: str, *values: Any) -> None:
    before, core.emitting = core.emitting, True
    core.slots[signal](*values)
    core.emitting = before


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Starts a channel over `_Process`; returns what Qt holds of it."""
    environment = types.SimpleNamespace(systemEnvironment=lambda: types.SimpleNamespace(insert=lambda name, value: None))
    qt = types.SimpleNamespace(QProcess=_Process, QProcessEnvironment=environment, QObject=object)
    monkeypatch.setitem(sys.modules, "qt", qt)
    monkeypatch.setattr(QtChannel, "_parent", None, raising=False)

    def start(channel: QtChannel, received: Callable[[bytes], None] = lambda data: None) -> Any:
        callbacks = Callbacks(received, lambda data: None, lambda code: gc.collect())
        channel.start(Command("python", (), {"A": "b"}), callbacks)
        return _Process.last

    return start


def test_a_process_that_ends_is_not_deleted_within_its_own_signal(running: Callable[..., Any]) -> None:
    core = running(QtChannel())
    emit(core, "finished", 0, 0)
    gc.collect()
    assert core.deleted == "later"


def test_a_process_that_is_killed_by_what_it_says_is_not_deleted_within_its_own_signal(running: Callable[..., Any]) -> None:
    channel = QtChannel()
    core = running(channel, lambda data: channel.kill())
    emit(core, "readyReadStandardOutput")
    gc.collect()
    assert core.deleted == "later"


def test_a_process_that_does_not_start_is_let_go_of(running: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Process, "waitForStarted", lambda self, milliseconds: False)
    with pytest.raises(OSError, match="could not be started"):
        running(QtChannel())
    assert _Process.last.deleted == "later"
