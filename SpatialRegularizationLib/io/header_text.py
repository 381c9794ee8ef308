"""Parse what headers of plain text share (NRRD and MetaImage): checked numbers, and files that hold the voxels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

FARTHEST = 1e9
"""Numbers of a geometry beyond this are damage."""
LONGEST_HEADER = 1 << 20
"""Bytes; private fields can be long."""
MOST_FILES = 1 << 16


def numbers(text: str, count: int | None, name: str) -> list[float]:
    """Finite numbers apart by spaces.

    Raises:
        ValueError: another count, no number, not finite, or beyond `FARTHEST`.
    """
    words = text.split()
    try:
        found = [float(word.replace("_", "?")) for word in words]
    except ValueError as error:
        raise ValueError(f"its field {name} must hold numbers, got {_short(text)!r}") from error
    if count is not None and len(found) != count:
        raise ValueError(f"its field {name} must hold {count} numbers, got {len(found)}")
    if not all(math.isfinite(number) and abs(number) <= FARTHEST for number in found):
        raise ValueError(f"its field {name} must hold finite numbers, got {_short(text)!r}")
    return found


def whole_numbers(text: str, count: int | None, name: str) -> list[int]:
    """Whole numbers apart by spaces; raises as `numbers`."""
    found = numbers(text, count, name)
    if any(number != int(number) for number in found):
        raise ValueError(f"its field {name} must hold whole numbers, got {_short(text)!r}")
    return [int(number) for number in found]


def numbered_names(pattern: str, first: int, last: int, step: int) -> list[str]:
    """File names of a pattern such as "slice%03d.raw"; `last` belongs to them.

    Raises:
        ValueError: no such pattern, or an unlikely count.
    """
    count = (last - first) // step + 1 if step else 0
    if not 1 <= count <= MOST_FILES:
        raise ValueError(f"its voxels are said to be in {count} files")
    try:
        return [pattern % number for number in range(first, first + count * step, step)]
    except (TypeError, ValueError) as error:
        raise ValueError(f"its voxels are said to be in files named {_short(pattern)!r}") from error


def data_files(header: Path, names: Sequence[str]) -> list[Path]:
    """The files beside a header that hold its voxels.

    Raises:
        FileNotFoundError: one is not there.
    """
    found = [header.parent / name.strip() for name in names]
    for path in found:
        if not _is_file(path):
            raise FileNotFoundError(
                f"{header} keeps its voxels in {_short(path.name)}, which is not there: put all its files into one folder."
            )
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _short(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= 60 else shown[:57] + "..."
