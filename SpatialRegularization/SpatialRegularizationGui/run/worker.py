"""Talk with the persistent worker process: requests go in, answers come back, and it can be stopped.

    logic ─▶ Worker.submit(kind, values, answer) ─▶ channel ─▶ spatialreg worker      (worker/protocol.md)
          ◀─────────── answer(event) ◀───────────────┘

It starts at the first request, or before when a request is to be expected, and again after it was stopped or has died.
"""

from __future__ import annotations

import json
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .channels import Callbacks, Channel, Command, InProcessChannel, PipeChannel, QtChannel, python_program

Answer = Callable[[Mapping[str, Any]], None]
"""Takes the events of one request; those of `LAST` are the last of it, and exactly one of them comes."""
LAST = ("result", "error", "dropped", "cancelled")
MODULE = ("-m", "SpatialRegularizationLib", "worker", "--attached")
LOG_LINES = 400
"""Lines of the worker's log that are kept."""
LONGEST_LINE = 64 << 20
"""Bytes without an end of line after which what was received is given up."""


class LineReader:
    """Cuts a stream of bytes into lines; a chunk may end anywhere, also within a character."""

    def __init__(self, limit: int = LONGEST_LINE) -> None:
        self._rest = bytearray()
        self._limit = limit

    def lines(self, chunk: bytes) -> list[str]:
        """The lines that this chunk ends."""
        self._rest += chunk
        *whole, rest = bytes(self._rest).split(b"\n") if b"\n" in chunk else [bytes(self._rest)]
        self._rest = bytearray(rest if len(rest) <= self._limit else b"")
        return [line.decode("utf-8", errors="replace") for line in whole]


class ProcessWorker:
    """A worker behind a channel.

    Args:
        make_channel: a new channel for every start.
        program: interpreter; None chooses one at the start.
        environment: more variables for it.
    """

    def __init__(
        self,
        make_channel: Callable[[], Channel] = PipeChannel,
        program: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.ready: Mapping[str, Any] = {}
        self.starts = 0
        self._environment = dict(environment or {})
        self._more: dict[str, str] = {}
        self._make_channel, self._program = make_channel, program
        self._channel: Channel | None = None
        self._open: dict[int, Answer] = {}
        self._last_id = 0
        self._lines, self._log_lines = LineReader(), LineReader()
        self._log: deque[str] = deque(maxlen=LOG_LINES)

    @property
    def generation(self) -> int:
        """Which process this is, counted from 1; 0 where none runs."""
        return self.starts if self._channel is not None else 0

    @property
    def busy(self) -> bool:
        """True while a request waits for its last event."""
        return bool(self._open)

    @property
    def pid(self) -> int | None:
        """Of the process that computes; None where there is none, or it has not said so yet."""
        return self.ready.get("pid")

    @property
    def log(self) -> str:
        """The last lines of what it wrote beside the protocol."""
        return "\n".join(self._log)

    def submit(self, kind: str, values: Mapping[str, Any], answer: Answer) -> int:
        """Ask for something of the protocol; starts the worker where there is none. Returns the id of the request.

        Raises:
            OSError: it cannot be started.
        """
        if self._channel is None:
            self._start(self._make_channel())
        self._last_id += 1
        self._open[self._last_id] = answer
        self._send({kind: dict(values), "id": self._last_id})
        return self._last_id

    def prepare(self) -> None:
        """Start it where none runs, so that the next request need not wait; nothing happens where it has no process of its own.

        Raises:
            OSError: it cannot be started.
        """
        if self._channel is None and (channel := self._make_channel()).apart:
            self._start(channel)

    def cancel(self, id: int | None = None) -> None:
        """Ask to stop one request, or all; answered by their last events."""
        if self._channel is not None:
            self._send({"cancel": {} if id is None else {"id": id}})

    def stop(self) -> None:
        """End the process and its children at once; open requests are answered "cancelled"."""
        if self._channel is None:
            return
        channel, self._channel = self._channel, None
        tree = [pid for pid in (self.ready.get("pid"), self.ready.get("group")) if pid]
        self.ready = {}
        channel.kill(tree)
        self._answer_all({"event": "cancelled"})

    def poll(self, seconds: float = 0.0) -> None:
        """Hand over answers; waits up to that long where there are none."""
        if self._channel is not None:
            self._channel.poll(seconds)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of `use`."""
        return self._more

    def use(self, environment: Mapping[str, str]) -> None:
        """Give the process these variables; one that runs with others is stopped, and starts again with the next request."""
        if dict(environment) != self._more:
            self.stop()
            self._more = dict(environment)

    def _start(self, channel: Channel) -> None:
        program = self._program or python_program() or ""
        self._lines, self._log_lines = LineReader(), LineReader()
        self._log.clear()
        self.ready = {}
        here = Path(__file__).resolve().parents[1]
        callbacks = Callbacks(
            lambda data: self._received(channel, data), lambda data: self._logged(channel, data),
            lambda code: self._ended(channel, code),
        )  # fmt: skip
        self._channel = channel
        try:
            channel.start(Command(program, MODULE, {**library_path(here), **self._environment, **self._more}), callbacks)
        except OSError:
            self._channel = None
            raise
        self.starts += 1

    def _send(self, message: Mapping[str, Any]) -> None:
        self._channel.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    def _received(self, channel: Channel, data: bytes) -> None:
        for line in self._lines.lines(data):
            if channel is not self._channel:
                return  # stopped by the answer before
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            if isinstance(event, dict):
                self._hand_over(event)
            elif line.strip():
                self._note(line)

    def _hand_over(self, event: Mapping[str, Any]) -> None:
        if event.get("event") == "ready":
            self.ready = event
            return
        last = event.get("event") in LAST
        answer = self._open.pop(event.get("id"), None) if last else self._open.get(event.get("id"))
        if answer is not None:
            answer(event)

    def _logged(self, channel: Channel, data: bytes) -> None:
        if channel is self._channel:
            for line in self._log_lines.lines(data):
                self._note(line)

    def _note(self, line: str) -> None:
        line = line.rstrip("\r").rsplit("\r", 1)[-1]  # the last state of a progress bar
        if line:
            self._log.append(line)

    def _ended(self, channel: Channel, code: int) -> None:
        """It ended by itself, or somebody else ended it."""
        if channel is not self._channel:
            return
        self._logged(channel, b"\n")
        started = bool(self.ready)
        self._channel, self.ready = None, {}
        kind, message = _obituary(code, self.log, started)
        self._answer_all({"event": "error", "kind": kind, "message": message, "details": self.log})

    def _answer_all(self, event: Mapping[str, Any]) -> None:
        waiting, self._open = self._open, {}
        for id, answer in waiting.items():
            answer({**event, "id": id})


def _obituary(code: int, log: str, started: bool) -> tuple[str, str]:
    """(kind, sentence) about a worker that died."""
    if "No module named" in log and not started:
        missing = log.rsplit("No module named", 1)[1].split("\n")[0].strip(" '\"")
        return "install", f"The worker process could not start, because the Python package {missing} is missing: install it."
    if not started:
        last = log.strip().splitlines()[-1:] or ["no reason was given"]
        return "crash", f"The worker process could not start ({last[0]}): look into the log, or reinstall the extension."
    if code in (-getattr(signal, "SIGKILL", 9), 128 + 9):
        return "memory", (
            "The worker process was ended from outside, as systems do when memory has run out: close other programs, or work "
            "at half resolution. The next run starts a new one."
        )
    return "crash", (
        f"The worker process has crashed (exit code {code}): nothing was changed, the next run starts a new one; if it happens "
        "again, compute on the CPU, and report what the log says."
    )


def library_path(package: Path) -> dict[str, str]:
    """PYTHONPATH with the folder that holds the library, for a module that runs from its source.

    The folder that the application happens to run in has no part in it.

    Args:
        package: this package's folder; the library lies two folders above it, or beside it when installed.
    """
    folders = [folder for folder in (package.parent.parent, package.parent) if (folder / MODULE[1]).is_dir()]
    before = os.environ.get("PYTHONPATH")
    path = {"PYTHONPATH": os.pathsep.join([str(folders[0]), *([before] if before else [])])} if folders else {}
    return {"PYTHONSAFEPATH": "1"} | path


def best_worker(between: Callable[[], None] = lambda: None) -> ProcessWorker:
    """A worker for the program that this is: QProcess under Qt, a child process elsewhere, in-process without an interpreter.

    Args:
        between: called while a worker in this process computes.
    """
    if python_program() is None:
        return ProcessWorker(lambda: InProcessChannel(between), program="")
    try:
        import qt  # the application has it
    except ImportError:
        return ProcessWorker(PipeChannel)
    del qt
    return ProcessWorker(QtChannel)
