"""Claim a place in the file system for one writing process: a second one is told, a dead one blocks nobody.

The claim is a lock of the operating system on a hidden file beside the place. The system takes it back when the process ends,
however it ends, so that a file that is left over means nothing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .atomic import followed
from .signals import signals_held

LONGEST_NAME = 200
"""Bytes of a name that hidden names repeat; a longer one is named by its hash."""
PAUSE_S = 0.05
"""Between two tries of somebody who waits."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
_TAKEN = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_TURN = threading.Lock()
_HELD: dict[tuple[int, Path], int] = {}
"""(process, place) → the thread that holds it."""


class TakenError(FileExistsError):
    """Somebody else is writing there at this moment."""


def hidden_folder(place: Path) -> Path:
    """Where hidden files about a place lie: beside it; within a folder that can't be renamed, or has nothing writable above."""
    alone = place.is_dir() and (os.path.ismount(place) or not os.access(place.parent, os.W_OK))
    return place if alone else place.parent


def hidden_stem(place: Path) -> str:
    """How hidden names about a place begin."""
    raw = os.fsencode(place.name)
    return f".{place.name}." if len(raw) <= LONGEST_NAME else f".{hashlib.sha256(raw).hexdigest()[:32]}."


@contextlib.contextmanager
def claimed(place: str | os.PathLike, *, wait: bool = False) -> Iterator[bool]:
    """The block is the only one that writes a file or folder, among all processes that ask here.

    A thread that has the claim may ask for it again. Folders above the place are made, and removed where they stay empty.

    Args:
        place: of the file or folder; need not exist. A symbolic link is followed.
        wait: for others to finish.

    Yields:
        True; False where the file system knows no locks, so that others may be at work. Asked again: False, what a claim begins
        with was done before.

    Raises:
        TakenError: somebody else has it.
        OSError: nothing can be created there.
    """
    place = followed(place)
    key, me = (os.getpid(), place), threading.get_ident()
    while (owner := _enter(key, me)) is not None:
        if owner == me:
            yield False
            return
        if not wait:
            raise _taken(place, "another thread of this program")
        time.sleep(PAUSE_S)
    try:
        with _locked(place, wait=wait) as alone:
            yield alone
    finally:
        del _HELD[key]


def _enter(key: tuple[int, Path], me: int) -> int | None:
    """The thread that has a place already; None: it is this one's from now on."""
    with _TURN:
        owner = _HELD.get(key)
        if owner is None:
            _HELD[key] = me
        return owner


@contextlib.contextmanager
def _locked(place: Path, *, wait: bool) -> Iterator[bool]:
    nearest = next(path for path in (place, *place.parents) if path.exists())
    path = hidden_folder(place) / f"{hidden_stem(place)}lock"
    file: int | None = None
    try:
        while file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # whoever has finished has removed the file, or the empty folder
            with contextlib.suppress(FileNotFoundError), signals_held():
                file, locks = _try_lock(path)
                if file is None and not wait:
                    raise _taken(place, _owner(path))
            if file is None:
                time.sleep(PAUSE_S)
        yield locks
    finally:
        with signals_held():
            _unlock(path, file, nearest)


def _unlock(path: Path, file: int | None, nearest: Path) -> None:
    """Give the claim back, and remove the folders below `nearest` that are empty."""
    if file is not None:
        with contextlib.suppress(OSError):  # Windows: somebody looks at it at this moment, and removes it later
            path.unlink()
        os.close(file)
    for parent in path.parents:
        if parent == nearest or nearest not in parent.parents:
            break
        with contextlib.suppress(OSError):  # it holds something
            parent.rmdir()


def _try_lock(path: Path) -> tuple[int | None, bool]:
    """(open file with the lock, whether there are locks here at all); no file where somebody else has the lock.

    Raises:
        FileNotFoundError: file or folder was removed meanwhile: try again.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        _lock(file)
        if not os.path.samestat(os.fstat(file), os.stat(path)):
            raise FileNotFoundError(path)
        with contextlib.suppress(OSError):  # no room: it is for the other's message only
            os.ftruncate(file, 0)
            os.write(file, str(os.getpid()).encode())
        return file, True
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return file, False
        os.close(file)
        if error.errno in _TAKEN:
            return None, True
        raise


if os.name == "nt":
    import msvcrt

    def _lock(file: int) -> None:
        os.lseek(file, 1 << 30, os.SEEK_SET)  # beyond the content, which others may read
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _owner(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        text = ""
    return f"another process ({text})" if text.isdigit() else "another process"


def _taken(place: Path, owner: str) -> TakenError:
    return TakenError(f"{place} is being written by {owner}: wait until it has finished, or choose another name.")
