"""Write what a command says: results to standard output, progress and errors to standard error, whatever state they are in.

With --json, standard output holds one JSON object per line instead, and standard error stays silent:
{"event": "progress" | "result" | "error", …}.

Results and errors that one of the two streams can't take (closed, disk full) go to the other one. The exit code tells of the
work: it is 0 for a finished result that nobody could be told of, unless the answer is nowhere else.
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
    from ..registration.progress import Progress
from typing import Literal

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
        self._out, self._err = Stream("stdout"), Stream("stderr")
        self._live = self._err.is_terminal
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
            self._out.write(_event("progress", vars(progress)) + "\n")
        elif self._live:
            self._update(_progress_line(progress))
        elif not same:
            self._err.write(f"{_progress_line(progress)}\n")
        self._stage, self._told = progress.stage, now

    def step(self, stage: str) -> None:
        """A stage without a measure, such as reading or writing files."""
        if self.quiet:
            return
        if self.as_json:
            told = {"stage": stage, "fraction": None, "seconds": None, "energy": None, "message": ""}
            self._out.write(_event("progress", told) + "\n")
        elif self._live:
            self._update(f"{stage} …")
        else:
            self._err.write(f"{stage}\n")
        self._stage = stage

    def result(self, values: dict[str, Any], text: str, *, only_here: bool = False) -> None:
        """What came out: values for programs, text for people.

        Args:
            values, text: the result in both forms.
            only_here: it is in no file; not to be able to tell it is a failure.

        Raises:
            OSError: `only_here`, and standard output takes nothing.
        """
        self.clear()
        if self.as_json:
            text = _event("result", values)
        elif self.quiet:
            return
        if not self._out.write(f"{text}\n"):
            if only_here:
                raise self._out.refusal()
            self._err.write(f"{text}\n")

    def error(self, message: str, code: int) -> None:
        """One sentence on standard error, or an event."""
        self.clear()
        if self.as_json:
            text, streams = _event("error", {"message": message, "code": code}), (self._out, self._err)
        else:
            text, streams = f"spatialreg: {message}", (self._err, self._out)
        if not streams[0].write(f"{text}\n"):
            streams[1].write(f"{text}\n")

    def trace(self, text: str) -> None:
        """A traceback, on standard error."""
        self._err.write(text)

    def clear(self) -> None:
        """Remove the progress line, if there is one."""
        if self._width:
            self._err.write("\r" + " " * self._width + "\r")
            self._width = 0

    def _update(self, line: str) -> None:
        columns = max(20, _terminal_columns() - 1)
        line = line if len(line) <= columns else line[: columns - 1] + "…"
        self._err.write("\r" + line.ljust(self._width))
        self._width = len(line)


def _event(kind: str, values: dict[str, Any]) -> str:
    return json.dumps({"event": kind} | values, allow_nan=False)


@contextlib.contextmanager
def silent_libraries(*, debug: bool) -> Iterator[None]:
    """Drops what C libraries write to standard error inside the block (HDF5 prints pages when a disk is full)."""
    if debug:
        yield
        return
    with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or full
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


def open_streams() -> None:
    """File descriptors 0 to 2 are open afterwards; the next file would get a free one, and with it what libraries print."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


class Stream:
    """A standard stream that is never the reason why work fails.

    Args:
        name: of the stream in `sys`.
    """

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self._name = name
        self.lost = ""
        """Why it takes nothing any more; "" where it does, or where its reader has gone away (head, a closed terminal)."""
        self._silent = False

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks at it."""
        stream = getattr(sys, self._name)
        return stream is not None and not stream.closed and stream.isatty()

    def write(self, text: str) -> bool:
        """Write at once; False where it could not be written. A reader that has gone away wants nothing more: True."""
        stream = getattr(sys, self._name)
        if self._silent:
            return not self.lost
        try:
            if stream is None:
                raise ValueError("it is closed")
            stream.write(_in_its_letters(text, stream))
            stream.flush()
        except (OSError, ValueError) as error:  # ValueError: closed
            self._silent = True
            self.lost = "" if isinstance(error, BrokenPipeError) else getattr(error, "strerror", None) or str(error)
            _to_nowhere(stream)
        return not self.lost

    def refusal(self) -> OSError:
        """The sentence for an answer that is nowhere but here."""
        words = {"stdout": "standard output", "stderr": "standard error"}[self._name]
        return OSError(f"The answer could not be written to {words} ({self.lost.rstrip('.')}): send it where there is room.")


def _in_its_letters(text: str, stream: object) -> str:
    """The text with "?" for what the stream's encoding does not have."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def _to_nowhere(stream: object) -> None:
    """What is left in its buffer must not fail again when the program ends."""
    try:
        number = stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):  # none, or one of a program that embeds Python
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
