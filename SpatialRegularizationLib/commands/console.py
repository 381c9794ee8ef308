"""What a command says and where: results on standard output, progress and errors on standard error.

With --json, standard output holds one JSON object per line instead, and standard error stays silent:
{"event": "progress" | "result" | "error", …}.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..registration.result import Progress

SHORTEST_PAUSE = 0.2
"""Seconds between two progress messages of the same stage."""
FIRST_ESTIMATE = 0.03
"""Share of the work that must be done before a time left is told."""

MEMORY_WORDS = ("not enough memory", "out of memory", "allocate memory")
"""What PyTorch, CUDA and the system say when memory has run out."""


class UsageError(ValueError):
    """The command line itself is wrong; ends the program with code 2."""


class Console:
    """Writes for people or for programs.

    Args:
        as_json: one JSON object per line on standard output.
        quiet: no progress and no results for people; errors only.
        between: called with every progress, for programs whose window must stay alive.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, between: Callable[[], None] | None = None) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._between = between
        self._live = sys.stderr.isatty()
        self._stage = ""
        self._told = 0.0
        self._width = 0

    def progress(self, progress: Progress) -> None:
        """One state of a running registration; a monitor for `register`."""
        if self._between is not None:
            self._between()
        now = time.monotonic()
        same = progress.stage == self._stage
        if self.quiet or (same and now - self._told < SHORTEST_PAUSE and progress.fraction < 1):
            return
        if self.as_json:
            self._event("progress", vars(progress))
        elif self._live:
            self._update(_progress_line(progress))
        elif not same:
            self._write(sys.stderr, f"{_progress_line(progress)}\n")
        self._stage, self._told = progress.stage, now

    def step(self, stage: str) -> None:
        """A stage without a measure, such as reading or writing files."""
        if self.quiet:
            return
        if self.as_json:
            self._event("progress", {"stage": stage, "fraction": None, "seconds": None, "energy": None, "message": ""})
        elif self._live:
            self._update(f"{stage} …")
        else:
            self._write(sys.stderr, f"{stage}\n")
        self._stage = stage

    def result(self, values: dict[str, Any], text: str) -> None:
        """What came out: values for programs, text for people."""
        self.clear()
        if self.as_json:
            self._event("result", values)
        elif not self.quiet:
            self._write(sys.stdout, f"{text}\n")

    def error(self, message: str, code: int) -> None:
        """One sentence on standard error, or an event."""
        self.clear()
        if self.as_json:
            self._event("error", {"message": message, "code": code})
        else:
            self._write(sys.stderr, f"spatialreg: {message}\n")

    def trace(self, text: str) -> None:
        """A traceback, on standard error."""
        self._write(sys.stderr, text)

    def clear(self) -> None:
        """Remove the progress line, if there is one."""
        if self._width:
            self._write(sys.stderr, "\r" + " " * self._width + "\r")
            self._width = 0

    def _update(self, line: str) -> None:
        columns = max(20, _terminal_columns() - 1)
        line = line if len(line) <= columns else line[: columns - 1] + "…"
        self._write(sys.stderr, "\r" + line.ljust(self._width))
        self._width = len(line)

    def _event(self, kind: str, values: dict[str, Any]) -> None:
        self._write(sys.stdout, json.dumps({"event": kind} | values, ensure_ascii=False, allow_nan=False) + "\n")

    @staticmethod
    def _write(stream: Any, text: str) -> None:
        """A reader that has gone away (head, a closed terminal) is no failure of the work."""
        with contextlib.suppress(BrokenPipeError):
            stream.write(text)
            stream.flush()


@contextlib.contextmanager
def silent_libraries(*, debug: bool) -> Iterator[None]:
    """Drops what C libraries write to standard error inside the block (HDF5 prints pages when a disk is full)."""
    if debug:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def is_memory_error(error: BaseException) -> bool:
    """True where memory of the machine or of its GPU has run out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in MEMORY_WORDS)


def one_sentence(error: BaseException) -> str:
    """The message of an error in one line, with what to do about errors that say nothing themselves."""
    text = " ".join(str(error).split())
    if is_memory_error(error):
        return "Not enough memory: close other programs, or work coarser (for example --working-spacing 2)."
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}."
    if isinstance(error, (ValueError, OSError, RuntimeError)) and text:
        return text
    return f"Internal error ({type(error).__name__}: {text}): run again with --debug and report what it prints."


def _progress_line(progress: Progress) -> str:
    parts = [f"{100 * progress.fraction:3.0f} %  {progress.stage}"]
    if FIRST_ESTIMATE < progress.fraction < 1:
        left = progress.seconds * (1 - progress.fraction) / progress.fraction
        parts.append(f"about {_duration(left)} left")
    if progress.message:
        parts.append(progress.message)
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _terminal_columns() -> int:
    try:
        return os.get_terminal_size(2).columns or 80
    except OSError:
        return 80
