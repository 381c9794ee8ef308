"""Tell how far a registration is to whoever waits for it, and stop it on request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


class Cancelled(Exception):
    """Raised by a monitor to stop a registration; nothing has been written when it arrives at the caller."""


@dataclass(frozen=True)
class Progress:
    """How far a registration is.

    Args:
        stage: what is being done now, in words for the user ("affine start", "level 2 of 3").
        fraction: share of the whole job that is done, 0 to 1.
        seconds: time since the start, s.
        energy: present value of the energy, or None outside the optimization.
        message: one more sentence for the user, or "".
    """

    stage: str
    fraction: float
    seconds: float
    energy: float | None = None
    message: str = ""


Monitor = Callable[[Progress], None]
"""Called often during a registration; raises `Cancelled` to stop it."""


class Reporter:
    """Turns stages with a share of the whole into `Progress`.

    Args:
        monitor: who is told.
        faster: how much faster than the stages say the bar moves, for a job that leaves its last stages out.
    """

    def __init__(self, monitor: Monitor | None, *, faster: float = 1.0) -> None:
        self.monitor, self._faster = monitor, faster
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the start, s."""
        return time.perf_counter() - self.start

    def tell(self, stage: str, fraction: float, energy: float | None = None, message: str = "") -> None:
        """Tell the monitor, which may raise `Cancelled`."""
        if self.monitor is not None:
            self.monitor(Progress(stage, min(1.0, self._faster * fraction), self.seconds, energy, message))
