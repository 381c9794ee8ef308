"""Start the worker, exchange bytes with it, and end it. Everything is called back in the thread that polls.

QtChannel         qt.QProcess, in the application: its event loop calls back, no polling needed
PipeChannel       a child process and reading threads: without Qt, in tests and scripts
InProcessChannel  this process, synchronously: where no interpreter can be started
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SECONDS_TO_DIE = 5.0
"""A killed process is gone by then, or never."""


@dataclass(frozen=True)
class Callbacks:
    """What a channel calls.

    Args:
        received: bytes of standard output, cut anywhere.
        logged: bytes of standard error.
        ended: the process is gone; its exit code, negative for a signal.
    """

    received: Callable[[bytes], None]
    logged: Callable[[bytes], None]
    ended: Callable[[int], None]


@dataclass(frozen=True)
class Command:
    """What to start.

    Args:
        program: interpreter or launcher.
        arguments: of it.
        environment: variables that differ from this process's.
    """

    program: str
    arguments: Sequence[str]
    environment: Mapping[str, str]


class Channel(ABC):
    """A worker that can be spoken to.

    Attributes:
        apart: True where it is a process of its own, which starts beside this one.
    """

    apart = True

    @abstractmethod
    def start(self, command: Command, callbacks: Callbacks) -> None:
        """Begin; raises OSError where the program cannot be started."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens where the process is gone."""

    @abstractmethod
    def poll(self, seconds: float = 0.0) -> None:
        """Call back what has arrived, and wait up to that long where nothing has."""

    @abstractmethod
    def kill(self, tree: Sequence[int] = ()) -> None:
        """End it at once, without a call back.

        Args:
            tree: process and process group of the worker as it told them; the launcher knows only itself.
        """


class PipeChannel(Channel):
    """A child process with pipes, read by threads; `poll` hands over what they have read."""

    def __init__(self) -> None:
        self._child: subprocess.Popen | None = None
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._callbacks: Callbacks | None = None

    def start(self, command: Command, callbacks: Callbacks) -> None:
        self._callbacks, self._events = callbacks, queue.SimpleQueue()
        self._child = subprocess.Popen(
            [command.program, *command.arguments], env=os.environ | dict(command.environment),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
        pipes = (("received", self._child.stdout), ("logged", self._child.stderr))
        self._threads = [threading.Thread(target=_read, args=(*pipe, self._events), daemon=True) for pipe in pipes]
        for thread in self._threads:
            thread.start()

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._child.stdin.write(data)

    def poll(self, seconds: float = 0.0) -> None:
        open_, wait = self._child is not None, seconds > 0
        while open_:
            try:
                name, data = self._events.get(wait, seconds or None)
            except queue.Empty:
                return
            wait = False
            open_ = self._hand_over(name, data)

    def _hand_over(self, name: str, data: Any) -> bool:
        """Call back one event; False when there will be no more."""
        if data:
            getattr(self._callbacks, name)(data)
            return self._child is not None  # the call may have killed it
        if any(thread.is_alive() for thread in self._threads):
            for thread in self._threads:
                thread.join(0.05)
        if self._events.empty() and not any(thread.is_alive() for thread in self._threads):
            code, callbacks = self._child.wait(), self._callbacks
            self._forget()
            callbacks.ended(code)
            return False
        return True

    def kill(self, tree: Sequence[int] = ()) -> None:
        if self._child is None:
            return
        kill_tree(tree)
        with contextlib.suppress(OSError):
            self._child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(SECONDS_TO_DIE)
        self._forget()

    def _forget(self) -> None:
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        self._child, self._threads = None, []


def _read(name: str, pipe: Any, events: queue.SimpleQueue) -> None:
    """A reading thread: blocks of bytes, and None at the end. It owns the pipe, which a grandchild may hold open for a while."""
    with pipe:
        while block := os.read(pipe.fileno(), 1 << 16):
            events.put((name, block))
    events.put((name, None))


class QtChannel(Channel):
    """qt.QProcess; the event loop of the application calls back.

    Python never deletes a process: it is let go of within its own signals. It has a parent, and Qt deletes it later.
    """

    _parent: Any = None

    def __init__(self) -> None:
        self._process: Any = None
        self._callbacks: Callbacks | None = None

    def start(self, command: Command, callbacks: Callbacks) -> None:
        import qt

        self._callbacks = callbacks
        if QtChannel._parent is None:
            QtChannel._parent = qt.QObject()
        process = qt.QProcess(QtChannel._parent)
        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in command.environment.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.connect("readyReadStandardOutput()", self._on_output)
        process.connect("readyReadStandardError()", self._on_log)
        process.connect("finished(int,QProcess::ExitStatus)", self._on_finished)
        self._process = process
        process.start(command.program, list(command.arguments))
        if not process.waitForStarted(int(1000 * SECONDS_TO_DIE)):
            reason = process.errorString()
            self._release()
            raise OSError(f"{command.program} could not be started ({reason})")

    def write(self, data: bytes) -> None:
        if self._process is not None:
            self._process.write(data)

    def poll(self, seconds: float = 0.0) -> None:
        """Nothing to do: the event loop calls back. With a time to wait, for callers without one, answers are waited for."""
        if seconds and self._process is not None:
            self._process.waitForReadyRead(int(1000 * seconds))

    def kill(self, tree: Sequence[int] = ()) -> None:
        process, self._process = self._process, None  # first: whatever it still emits is no failure
        if process is None:
            return
        kill_tree(tree)
        process.kill()
        process.waitForFinished(int(1000 * SECONDS_TO_DIE))
        process.deleteLater()

    def _release(self) -> None:
        """Let go of the process, which Qt deletes once its signals are through."""
        process, self._process = self._process, None
        process.deleteLater()

    def _on_output(self) -> None:
        if self._process is not None:
            self._callbacks.received(bytes(self._process.readAllStandardOutput().data()))

    def _on_log(self) -> None:
        if self._process is not None:
            self._callbacks.logged(bytes(self._process.readAllStandardError().data()))

    def _on_finished(self, code: int, *_: Any) -> None:
        if self._process is None:
            return
        self._on_output()
        self._on_log()
        crashed = self._process is not None and int_of(self._process.exitStatus()) == 1
        self._release()
        self._callbacks.ended(-abs(code) if crashed and code else code or -int(crashed))


def int_of(value: Any) -> int:
    """An enumerator of Qt as a number, however the binding gives it."""
    return int(getattr(value, "value", value))


@dataclass(frozen=True)
class _Answers:
    """The stream that the worker writes its answers to."""

    receive: Callable[[str], None]

    def write(self, text: str) -> None:
        self.receive(text)

    def flush(self) -> None:
        """Nothing is kept back."""


class InProcessChannel(Channel):
    """The worker's code in this process: nothing answers while it computes, but `between` is called.

    Args:
        between: called with every answer, so that the window can repaint and a click on Cancel arrives.
    """

    apart = False

    def __init__(self, between: Callable[[], None] = lambda: None) -> None:
        self._worker: Any = None
        self._gone: Any = None
        self._between = between
        self._working = False
        self._callbacks: Callbacks | None = None

    def start(self, command: Command, callbacks: Callbacks) -> None:
        """Import the library; raises OSError where that fails."""
        try:
            from SpatialRegularizationLib.worker.server import Worker
        except ImportError as error:
            raise OSError(f"The library cannot be imported ({error})") from error
        self._callbacks, self._worker = callbacks, Worker(_Answers(self.receive))
        self._worker.greet()

    def write(self, data: bytes) -> None:
        """Take requests; they are done in `poll`."""
        for line in data.splitlines(keepends=True):
            if self._worker is not None:
                self._worker.take(line)

    def poll(self, seconds: float = 0.0) -> None:
        """Do what waits, unless this is called from within."""
        if self._worker is None or self._working:
            return
        self._working = True
        try:
            self._worker.work()
        finally:
            self._working = False
            if self._worker is None:
                self._gone.close()

    def kill(self, tree: Sequence[int] = ()) -> None:
        """Stop at the next step of the work."""
        if self._worker is None:
            return
        self._worker.take(b'{"cancel": {}}\n')
        self._gone, self._worker = self._worker, None
        if not self._working:
            self._gone.close()

    def receive(self, text: str) -> None:
        """One answer of the worker."""
        if self._worker is not None:
            self._callbacks.received(text.encode())
        self._between()


def kill_tree(tree: Sequence[int]) -> None:
    """End processes with all their children; those that are gone are no failure.

    Args:
        tree: process and, where it leads one, process group.
    """
    for pid in dict.fromkeys(tree):
        if pid == os.getpid():
            continue
        if os.name == "nt":
            subprocess.run(
                ["taskkill", "/T", "/F", "/PID", str(pid)], capture_output=True, creationflags=subprocess.CREATE_NO_WINDOW
            )
            continue
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if pid != os.getpgid(0):
                os.killpg(pid, signal.SIGKILL)


def python_program() -> str | None:
    """The interpreter that can run the library: PythonSlicer beside the application, or this one; None where there is none."""
    launcher = shutil.which("PythonSlicer")
    if launcher:
        return launcher
    here = os.path.basename(sys.executable or "").lower()
    return sys.executable if here.startswith("python") else None
