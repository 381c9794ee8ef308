"""Write files so that they are either whole or absent."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .itk import reason_of

if TYPE_CHECKING:
    pass


def followed(path: str | os.PathLike) -> Path:
    """The place that a path means: absolute, symbolic links followed, whether or not there is something.

    Raises:
        OSError: a relative path in a folder that was removed, a link that leads to itself, or a name that is no UTF-8, at which
            libraries in C++ crash.
    """
    try:
        place = Path(os.path.realpath(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"The current folder does not exist any more: give the full path instead of {path}.") from error
    if place.is_symlink():
        raise OSError(f"{path} is a symbolic link that leads to itself: give another path, or remove the link.")
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in str(place)):  # how Python keeps bytes that are no letters
        raise OSError(f"The name {str(place)!a} is not UTF-8, as names must be: give another one.")
    return place


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike, suffix: str, *, needed_bytes: int = 0) -> Iterator[Path]:
    """A temporary path in the folder of `path`, renamed to `path` when the block ends, removed when it fails.

    Args:
        path: where the file shall be in the end; an existing file is replaced, a symbolic link is followed.
        suffix: ending that the temporary name must keep, because writers choose the format by it (".nii.gz").
        needed_bytes: refuse at once when less than this is free, for writers that do not survive a full disk (HDF5).

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: the file cannot be written (disk full, no permission); what was there before is untouched.
    """
    path = followed(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} could not be written: the folder {path.parent} does not exist, create it first.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it.")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is a device or a pipe: give the name of a file.")
    free = shutil.disk_usage(path.parent).free
    if free < needed_bytes:
        raise OSError(
            f"{path} needs {needed_bytes / 1e6:.0f} MB but only {free / 1e6:.0f} MB are free: free some space or write "
            "to another folder."
        )
    temporary = path.with_name(f".{secrets.token_hex(4)}.part{suffix}")
    try:
        yield temporary
        _check_room(temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        raise OSError(f"{path} could not be written ({reason_of(error)}): check free space and permissions.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _check_room(path: Path) -> None:
    """Raises OSError where not one byte more fits: writers in C that say nothing of a full disk end just there."""
    size = path.stat().st_size
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, b"\0")
        os.ftruncate(file, size)
    finally:
        os.close(file)


NAMES = "backslashreplace"
"""How file names are written that are no UTF-8."""


def write_text(path: str | os.PathLike, text: str) -> None:
    """A text file (UTF-8), whole or absent; what was there before survives a failure.

    Raises:
        OSError: it cannot be written, see `atomic_path`.
    """
    with atomic_path(path, ".txt") as temporary:
        temporary.write_text(text, encoding="utf-8", errors=NAMES)
