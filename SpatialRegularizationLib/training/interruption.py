"""Turn SIGTERM and Ctrl+C into a stop request that is honored after the current step."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from ..io.signals import ENDING, Interrupted


class Interruption:
    """Whether somebody asked the training to stop."""

    def __init__(self) -> None:
        self.number: int | None = None

    @property
    def wished(self) -> bool:
        """True once a signal has come."""
        return self.number is not None

    def wish(self, number: int = signal.SIGINT, _: object = None) -> None:
        """Ask for a stop; asked a second time (Ctrl+C twice), stop at once.

        Raises:
            Interrupted: the second time.
        """
        if self.wished:
            raise self.granted()
        self.number = number

    def granted(self) -> Interrupted:
        """What ends the training."""
        return Interrupted(signal.SIGINT if self.number is None else self.number)


@contextlib.contextmanager
def termination_signals() -> Iterator[Interruption]:
    """Ending signals inside the block become a wish; outside of the main thread signals stay as they are."""
    interruption = Interruption()
    before = {}
    try:
        for number in ENDING:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, interruption.wish)
    except ValueError:  # not the main thread: the caller owns the signals
        yield interruption
        return
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
