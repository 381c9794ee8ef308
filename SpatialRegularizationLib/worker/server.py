"""Run `spatialreg worker`: hold a model and a pair and answer requests, JSON lines in and out.

One thread reads the requests, so that ping, cancel and newer requests are seen while the main thread computes. The protocol
is written down in protocol.md beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import IO, Any

import torch

from .. import __version__
from ..commands.console import Console, is_memory_error, one_sentence
from ..registration.progress import Cancelled
from .loaded_pair import LoadedPair
from .protocol import LONGEST, MessageError, Request, parse_request

PROTOCOL = 2
"""Version of the protocol; raised when there are new messages, or one changes its meaning."""
INPUT_ERRORS = (ValueError, OSError)
"""What is wrong with what was asked for; anything else is a failure of the work."""


def run(options: argparse.Namespace, console: Console, arguments: Sequence[str]) -> int:
    """Serve until standard input ends; returns the exit code."""
    if options.attached and os.name == "posix" and os.getpid() != os.getpgid(0):
        os.setpgid(0, 0)  # so that the starting program can end this process together with its children
    # Without a buffer: one that the reading thread holds while it waits cannot be closed when the process ends.
    with _own_stdout() as output, open(0, "rb", buffering=0, closefd=False) as lines:
        return Worker(output, attached=options.attached).serve(lines)


@contextlib.contextmanager
def _own_stdout() -> Iterator[IO[str]]:
    """Standard output for answers alone: what libraries print goes to standard error."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or full
        sys.stdout.flush()
    output = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    try:
        yield output
    finally:
        os.dup2(2, 1)
        with contextlib.suppress(OSError):  # answers that could not be written are no failure of the work
            output.close()


def _ready() -> dict[str, Any]:
    """What a client must know of the process."""
    return {"version": __version__, "protocol": PROTOCOL, "pid": os.getpid(), "group": process_group(), "devices": devices()}


def devices() -> list[dict[str, str]]:
    """Where this process can compute: {"device", "name"} each, the CPU first."""
    found = [{"device": "cpu", "name": platform.processor() or platform.machine()}]
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        found += [{"device": f"cuda:{n}", "name": torch.cuda.get_device_name(n)} for n in range(count)]
    if torch.backends.mps.is_available():
        found.append({"device": "mps", "name": "Apple GPU"})
    return found


def process_group() -> int | None:
    """Of this process, where it leads one of its own; None elsewhere."""
    return os.getpid() if os.name == "posix" and os.getpgid(0) == os.getpid() else None


class Worker:
    """Takes requests from a stream and writes answers to another.

    What takes time is done one after the other; `ping`, `memory`, `cancel` and `quit` are answered at once. A newer `predict`
    drops those that still wait; a newer `load` or `preview` drops everything that belongs to the pair before.

    Args:
        output: text stream; every answer is one line.
        attached: work belongs to the program that started this process: it is given up when the requests end.
    """

    def __init__(self, output: IO[str], *, attached: bool = False) -> None:
        self._output = output
        self._attached = attached
        self._pair = LoadedPair()
        self._waiting: list[Request] = []
        self._running: Request | None = None
        self._verdict: str | None = None
        self._ended = False
        self._turn = threading.Condition()
        self._writing = threading.RLock()  # an answer may be heard, and answered, before it is written to its end

    def serve(self, lines: IO[bytes]) -> int:
        """Answer all requests of a stream; what waits when it ends is still done, unless the worker is attached."""
        self.greet()
        reader = threading.Thread(target=self._read, args=(lines,), daemon=True)
        reader.start()
        try:
            while (request := self._next()) is not None:
                self._do(request)
        finally:
            self._pair.close()
        return 0

    def greet(self) -> None:
        """Write the first line."""
        self.tell("ready", None, _ready())

    def tell(self, event: str, request: Request | None, values: dict[str, Any]) -> None:
        """Write one answer; a reader that has gone away, or an output that is closed or full, is no failure of the work."""
        about = {} if request is None else {"request": request.kind, "id": request.id}
        line = json.dumps({"event": event} | about | values, ensure_ascii=False, allow_nan=False)
        with self._writing, contextlib.suppress(OSError, ValueError):
            self._output.write(line + "\n")
            self._output.flush()

    def _read(self, lines: IO[bytes]) -> None:
        """The reading thread."""
        with contextlib.suppress(OSError):  # standard input can't be read: it has ended
            while line := lines.readline(LONGEST + 1):
                whole = line
                while not line.endswith(b"\n") and len(line) > LONGEST:  # the rest of a line that is too long
                    line = lines.readline(LONGEST + 1)
                if whole.strip():
                    self.take(whole)
        with self._turn:
            if self._attached:
                self._drop(lambda _: True, "cancelled")
            self._ended = True
            self._turn.notify()

    def take(self, line: bytes) -> None:
        """Understand one line: answer it at once, or put it among the requests that wait."""
        try:
            self._take(parse_request(line))
        except MessageError as error:
            values = {"request": None, "id": error.id, "message": str(error), "kind": "input", "details": ""}
            self.tell("error", None, values)

    def work(self) -> None:
        """Do what waits, in this thread; for programs that run the worker in their own process."""
        while self._waiting:
            self._do(self._next())
        with self._turn:
            self._running = None

    def close(self) -> None:
        """Forget the pair and delete its files."""
        self._pair.close()

    def _take(self, request: Request) -> None:
        if request.kind == "ping":
            with self._turn:
                busy = None if self._running is None else {"request": self._running.kind, "id": self._running.id}
                state = {"busy": busy, "waiting": len(self._waiting), "loaded": self._pair.loaded, "version": __version__}
            self.tell("result", request, state)
        elif request.kind == "memory":
            self.tell("result", request, self._pair.memory())
        elif request.kind == "cancel":
            self._cancel(request)
        elif request.kind == "quit":
            with self._turn:
                self._drop(lambda _: True, "cancelled")
                self._ended = True
                self._turn.notify()
        else:
            self._queue(request)

    def _queue(self, request: Request) -> None:
        with self._turn:
            if request.kind in ("load", "preview"):
                self._drop(lambda _: True, "dropped")
            elif request.kind == "predict":
                self._drop_waiting(lambda old: old.kind == "predict", "dropped")
            self._waiting.append(request)
            self._turn.notify()

    def _cancel(self, request: Request) -> None:
        def meant(other: Request) -> bool:
            return "id" not in request.values or other.id == request.values["id"]

        with self._turn:
            ids = [other.id for other in (*self._waiting, *([self._running] if self._running else ())) if meant(other)]
            self._drop(meant, "cancelled")
        self.tell("result", request, {"cancelled": ids})

    def _drop(self, meant: Any, verdict: str) -> None:
        """Requests that wait are answered now, the running one as soon as it notices."""
        self._drop_waiting(meant, verdict)
        if self._running is not None and meant(self._running):
            self._verdict = self._verdict or verdict

    def _drop_waiting(self, meant: Any, verdict: str) -> None:
        for old in [old for old in self._waiting if meant(old)]:
            self._waiting.remove(old)
            self.tell(verdict, old, {})

    def _next(self) -> Request | None:
        with self._turn:
            self._running, self._verdict = None, None
            while not self._waiting:
                if self._ended:
                    return None
                self._turn.wait(0.5)  # in turns, so that an interrupt of the process is noticed everywhere
            self._running = self._waiting.pop(0)
            return self._running

    def _do(self, request: Request) -> None:
        def check() -> None:
            if self._verdict is not None:
                raise Cancelled

        try:
            values = self._pair.do(request, check, lambda told: self.tell("progress", request, told))
            self.tell("result", request, values)
        except Cancelled:
            self.tell(self._verdict or "cancelled", request, {})
        except Exception as error:
            kind = "memory" if is_memory_error(error) else "input" if isinstance(error, INPUT_ERRORS) else "internal"
            details = "".join(traceback.format_exception(error))
            self.tell("error", request, {"message": one_sentence(error), "kind": kind, "details": details})
            self._pair.after_error(kind)
