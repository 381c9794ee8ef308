"""One thing that the worker was asked for and that the user waits for: it ends in exactly one of three ways."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .request import Failure
from .worker import Worker

GRACE = 1.0
"""Seconds that the worker gets to stop by itself after a cancel; then its process is killed, with its children."""


@dataclass(frozen=True)
class Ends:
    """What is called: `progress` now and then, and one of the others once.

    Args:
        progress: takes stage, fraction, seconds.
        done: takes the values of the result.
        failed: takes the failure.
        cancelled: takes nothing.
    """

    progress: Callable[[str, float, float], None]
    done: Callable[[Mapping[str, Any]], None]
    failed: Callable[[Failure], None]
    cancelled: Callable[[], None]


class Task:
    """A request that the user waits for.

    Args:
        worker: who does it.
        now: the clock, s.
        ends: what is called.
        device: that was asked for, for the remedies.
    """

    def __init__(self, worker: Worker, now: Callable[[], float], ends: Ends, device: str = "auto") -> None:
        self._worker, self._now, self._ends, self._device = worker, now, ends, device
        self._id: int | None = None
        self._deadline: float | None = None
        self._over = False

    def submit(self, kind: str, values: Mapping[str, Any]) -> None:
        """Ask for it; a worker that cannot be started is a failure of the task."""
        try:
            self._id = self._worker.submit(kind, values, self._answer)
        except OSError as error:
            sentence = f"{' '.join(str(error).split())}: reinstall the extension, or restart Slicer."
            self._end(self._ends.failed, Failure(sentence, remedies=("install",)))

    def cancel(self) -> None:
        """Ask the worker to stop; `poll` kills it when it does not."""
        self._deadline = self._now() + GRACE
        self._worker.cancel(self._id)

    def poll(self) -> None:
        """Look at the clock."""
        if self._deadline is not None and not self._over and self._now() >= self._deadline:
            self._worker.stop()

    def _answer(self, event: Mapping[str, Any]) -> None:
        if self._over:
            return
        kind = event["event"]
        if kind == "progress":
            if self._deadline is None:
                self._ends.progress(event["stage"], event["fraction"], event["seconds"])
        elif self._deadline is not None or kind in ("cancelled", "dropped"):
            self._end(self._ends.cancelled)
        elif kind == "error":
            self._end(self._ends.failed, failure_of(event, self._device))
        else:
            self._end(self._ends.done, event)

    def _end(self, call: Callable[..., None], *values: Any) -> None:
        self._over = True
        call(*values)


def failure_of(event: Mapping[str, Any], device: str) -> Failure:
    """Of an error of the worker."""
    kind, sentence = event.get("kind", "internal"), str(event.get("message", ""))
    on_gpu = not device.startswith("cpu")
    remedies = {"memory": ("half-resolution", *(("cpu",) if on_gpu else ())), "install": ("install",)}.get(kind, ())
    if kind == "crash" and on_gpu:
        remedies = ("cpu",)
    if kind == "memory" and sentence.startswith("Not enough memory"):
        other = "compute on the CPU" if on_gpu else "close other programs"
        sentence = f"There is not enough memory for this pair: work at half resolution, or {other}."
    return Failure(sentence, str(event.get("details", "")), remedies)


def failure_of_error(error: Exception) -> Failure:
    """Of something that went wrong in this process."""
    details = "".join(traceback.format_exception(error))
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        words = "There is not enough memory beside the scene: every node is as it was; close other volumes or programs, or work"
        return Failure(f"{words} at half resolution.", details, ("half-resolution",))
    if isinstance(error, OSError) and error.errno is not None:  # of the system: a number and three words
        about = f" ({error.filename})" if error.filename else ""
        reason = (error.strerror or said).lower()
        return Failure(
            f"A file could not be written or read{about}: {reason}. Every node is as it was; make room or give access there, "
            "then try again.",
            details,
        )
    if isinstance(error, (ValueError, OSError)) and said:
        return Failure(said, details)
    if type(error) is RuntimeError and said.endswith("."):  # a sentence of ours
        return Failure(said, details)
    words = f"{type(error).__name__}: {said}"
    return Failure(f"The result could not be shown ({words:.200}): every node is as it was; the log says more.", details)
