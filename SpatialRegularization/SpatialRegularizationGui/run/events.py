"""Tell how a run goes: its states, steps, outcome and failures, and the signals that carry them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..inputs.request import Outputs, RegistrationRequest


class RunState(Enum):
    """What the logic is doing."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"


@dataclass(frozen=True)
class Step:
    """How far a run is.

    Args:
        stage: in words for the user.
        fraction: 0 to 1.
        seconds_left: s; None where nobody can say.
    """

    stage: str
    fraction: float
    seconds_left: float | None = None


@dataclass(frozen=True)
class Shown:
    """A registration that the nodes hold already.

    Args:
        outputs: with every node that was made.
        figures: of report.json; of a preview the quick ones: folding_percent, sd_log_j, jacobian_min, ...
        seconds: wall time.
        device: that was used.
        request: what was asked for.
        settings: that were used, by name; those that were chosen where the pair decides the preset.
    """

    outputs: Outputs
    figures: Mapping[str, Any]
    seconds: float
    device: str
    request: RegistrationRequest
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome(Shown):
    """A finished run.

    Args:
        notes: sentences for the user.
        report: path of report.html, "" where there is none.
    """

    notes: tuple[str, ...] = ()
    report: str = ""


@dataclass(frozen=True)
class Preview(Shown):
    """The answer to one live update.

    Args:
        id: of `RegistrationLogic.preview`.
    """

    id: int = 0


@dataclass(frozen=True)
class Failure:
    """A run that came to nothing; every node is as it was.

    Args:
        sentence: for the panel: what, expected, got, remedy.
        details: for the log.
        remedies: what the panel can offer then: "half-resolution", "cpu", "install".
    """

    sentence: str
    details: str = ""
    remedies: tuple[str, ...] = ()


class Signal:
    """A list of callables that are called in the order in which they were connected; Qt has no part in it.

    A listener that raises does not keep the others from being called; its error is raised when all have been.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[..., Any]] = []

    def connect(self, listener: Callable[..., Any]) -> None:
        """Call it from now on; once, however often it is connected."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def disconnect(self, listener: Callable[..., Any]) -> None:
        """Call it no more; nothing happens where it was not connected."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def emit(self, *values: Any) -> None:
        """Call every listener with these values.

        Raises:
            Exception: the first that a listener raised.
        """
        first: Exception | None = None
        for listener in tuple(self._listeners):
            try:
                listener(*values)
            except Exception as error:
                first = first or error
        if first is not None:
            raise first
