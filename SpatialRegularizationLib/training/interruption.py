"""A termination signal as a wish that the loop grants after its step."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


class Interruption:
    """Whether somebody asked the training to stop."""

    def __init__(self) -> None:
        self.wished = False

    def wish(self, *_: object) -> None:
        """Ask for a stop; asked a second time (Ctrl+C twice), stop at once."""
        if self.wished:
            raise KeyboardInterrupt
        self.wished = True


@contextlib.contextmanager
def termination_signals() -> Iterator[Interruption]:
    """SIGTERM and Ctrl+C inside the block become a wish; outside of the main thread signals stay as they are."""
    interruption = Interruption()
    before = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, interruption.wish)
    except ValueError:  # not the main thread: the caller owns the signals
        yield interruption
        return
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
