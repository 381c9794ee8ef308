"""Turn signals that end a program into an exception, and hold them back where a change must come to its end."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

ENDING = tuple(signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__)
"""Ctrl+C, a wish to end, a terminal that was closed."""
SAME_WISH_S = 2.0
"""Signals that follow one another this closely are one wish: the second does not disturb what the first makes clean up."""


class Interrupted(KeyboardInterrupt):
    """A signal asked for the end.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = int(number)


class _Doorman:
    """The handler of all ending signals: raises, or notes those that come while they are held."""

    def __init__(self) -> None:
        self.held = 0
        self.noted: list[int] = []
        self.last = -SAME_WISH_S

    def __call__(self, number: int, _: object) -> None:
        if self.held:
            self.noted.append(number)
            return
        before, self.last = self.last, time.monotonic()
        if self.last - before >= SAME_WISH_S:
            raise Interrupted(number)


_DOORMAN = _Doorman()


def interrupted_code(error: KeyboardInterrupt) -> int:
    """Exit code of a program that a signal has ended: 128 and its number (130 Ctrl+C, 143 SIGTERM, 129 SIGHUP)."""
    return 128 + (error.number if isinstance(error, Interrupted) else int(signal.SIGINT))


@contextlib.contextmanager
def signals_raise(*, program_ends: bool = False) -> Iterator[None]:
    """Ending signals inside the block raise `Interrupted`; ignored ones (nohup) stay ignored.

    Outside of the main thread signals stay as they are: the caller owns them.

    Args:
        program_ends: after the block; once a signal has come, further ones do not change the exit code.
    """
    before: dict[signal.Signals, object] = {}
    _DOORMAN.last = start = -SAME_WISH_S
    try:
        for number in ENDING:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):  # None: of the program that embeds Python
                signal.signal(number, _DOORMAN)
                before[number] = handler
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        deaf = program_ends and _DOORMAN.last != start
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if deaf else handler)  # type: ignore[arg-type]


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Ending signals that come inside the block act at its end; for changes of a moment that must be whole.

    It holds those that `signals_raise` has taken over; a signal that kills at once can't be held.
    """
    _DOORMAN.held += 1
    try:
        yield
    finally:
        _DOORMAN.held -= 1
        if not _DOORMAN.held:
            noted, _DOORMAN.noted = _DOORMAN.noted, []
            for number in noted[:1]:
                signal.raise_signal(number)
