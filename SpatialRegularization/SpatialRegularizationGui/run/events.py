"""Signals of pure Python: PythonQt cannot define Qt signals in Python, and the logic shall run without Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Signal:
    """A list of callables that are called in the order in which they were connected.

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
