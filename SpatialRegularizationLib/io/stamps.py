"""Stamp a file by path, size and time, to tell whether it is still the one that was read."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def stamp_of(path: Path) -> dict[str, Any]:
    """Path, size and time of a file, or of all files of a folder together."""
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    states = [file.stat() for file in files if file.exists()]
    return {
        "path": str(path.absolute()),
        "bytes": sum(state.st_size for state in states),
        "modified": max((int(state.st_mtime) for state in states), default=0),
    }
