"""Wait for one request to the worker: it ends in exactly one of three ways, and can be cancelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .events import Failure, Step
from .failures import failure_of
from .worker import ProcessWorker

GRACE = 1.0
"""Seconds that the worker gets to stop by itself after a cancel; then its process is killed, with its children."""
FIRST_ESTIMATE = 0.03
"""Share of the work that must be done before a time left is told."""


@dataclass(frozen=True)
class Ends:
    """What is called: `progress` now and then, and one of the others once.

    Args:
        progress: takes a `Step`.
        done: takes the values of the result.
        failed: takes the failure.
        cancelled: takes nothing.
    """

    progress: Callable[[Step], None]
    done: Callable[[Mapping[str, Any]], None]
    failed: Callable[[Failure], None]
    cancelled: Callable[[], None]


class PendingRequest:
    """A request that the user waits for.

    Args:
        worker: who does it.
        now: the clock, s.
        ends: what is called.
        device: that was asked for, for the remedies.
    """

    def __init__(self, worker: ProcessWorker, now: Callable[[], float], ends: Ends, device: str = "auto") -> None:
        self._worker, self._now, self._ends, self._device = worker, now, ends, device
        self._id: int | None = None
        self._deadline: float | None = None
        self._over = False

    def submit(self, kind: str, values: Mapping[str, Any]) -> None:
        """Ask for it; a worker that cannot be started is a failure of it."""
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
                fraction = event["fraction"]
                self._ends.progress(Step(event["stage"], fraction, seconds_left(fraction, event["seconds"])))
        elif self._deadline is not None or kind in ("cancelled", "dropped"):
            self._end(self._ends.cancelled)
        elif kind == "error":
            self._end(self._ends.failed, failure_of(event, self._device))
        else:
            self._end(self._ends.done, event)

    def _end(self, call: Callable[..., None], *values: Any) -> None:
        self._over = True
        call(*values)


def seconds_left(fraction: float, seconds: float) -> float | None:
    """Of a run that has done this share in these seconds; None where nobody can say."""
    return seconds * (1 - fraction) / fraction if FIRST_ESTIMATE < fraction < 1 else None
