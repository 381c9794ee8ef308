"""A place that somebody else is writing: what the tests of refusals start from."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from SpatialRegularizationLib.io.claims import claimed


@contextlib.contextmanager
def held(place: Path) -> Iterator[None]:
    """Another thread has claimed the place inside the block."""
    there, over = threading.Event(), threading.Event()

    def hold() -> None:
        with claimed(place):
            there.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    there.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()
