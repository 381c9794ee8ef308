"""Standard output and standard error as they are found: open, closed, full, or left by their reader."""

from __future__ import annotations

import os
import sys
from typing import Literal


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
