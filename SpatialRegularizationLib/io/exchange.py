"""Exchange two names in one step of the file system, where the system can do that."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Of renameat2 on Linux."""
_RENAME_SWAP = 2
"""Of renamex_np on macOS."""


def exchange(one: Path, other: Path) -> bool:
    """Both paths, which exist, trade places: nobody ever sees one of them missing.

    Returns:
        False where the system or the file system can't; nothing has happened then.
    """
    first, second = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "linux":
            return ctypes.CDLL(None).renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE) == 0
        if sys.platform == "darwin":
            return ctypes.CDLL(None).renamex_np(first, second, _RENAME_SWAP) == 0
    except AttributeError:  # a C library without it
        return False
    return False
