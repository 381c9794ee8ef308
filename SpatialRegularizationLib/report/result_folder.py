"""Put a result folder into its place whole or not at all; an earlier one stays until the new one is complete.

The new files are written into a hidden folder (`.NAME.….part`), which then
    gets the name, where nothing was there;
    exchanges its place with the earlier result in one step, where the system can (Linux, macOS);
    else gives its files over one by one, while the earlier ones wait in a second hidden folder. report.json leaves first and
    comes last, so that a folder with a report is whole.
Whatever a killed process leaves, the next one that claims the folder puts right (`heal`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.atomic import followed
from ..io.claims import claimed, hidden_folder, hidden_stem
from ..io.exchange import exchange
from ..io.signals import signals_held

REPORT = "report.json"
MAPS = ("lambda.nrrd", "jacobian.nrrd", "displacement.nrrd")
"""What a result folder holds of a deformation."""
FILES = ("transform.h5", "inverse.h5", "warped.nii.gz", *MAPS, REPORT, "report.html")
"""What a result folder holds, as "files" of its report says: all of it, or all but the maps where nothing deforms."""
OPTIONAL_FILES = ("warped_labels.nii.gz",)
KNOWN = (*FILES, *OPTIONAL_FILES)


def check_destination(folder: str | os.PathLike, *, overwrite: bool = False) -> Path:
    """The folder, if a result may be written there; called before the work, so that a mistake costs no time.

    Args:
        folder: where the result shall be; need not exist. A symbolic link is followed.
        overwrite: whether an earlier result may be replaced. A folder with other files never is.

    Raises:
        FileExistsError: it holds something that may not be replaced.
        NotADirectoryError: it, or a folder above it, is a file.
        OSError: nothing can be created there.
    """
    folder = _place(folder)
    found = _visible(folder)
    strangers = [name for name in found if name not in KNOWN]
    if strangers:
        raise FileExistsError(
            f"{folder} holds files that are no registration result ({strangers[0]}): choose another folder or empty it."
        )
    if found and not overwrite:
        raise FileExistsError(f"{folder} holds an earlier result: choose another folder, or allow to replace it (--force).")
    return folder


def _place(folder: str | os.PathLike) -> Path:
    """The folder itself, where something can be created there."""
    folder = followed(folder)
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is a file: choose another folder for the result.")
    if not os.access(nearest, os.W_OK):
        raise PermissionError(f"{nearest} cannot be written to: choose another folder for the result.")
    return folder


@contextlib.contextmanager
def claimed_folder(folder: str | os.PathLike) -> Iterator[Path]:
    """The only process that works on a result folder, among all that ask here; what a killed one left is put right first.

    Yields:
        The folder, a symbolic link followed.

    Raises:
        TakenError: another one has it; one sentence.
        NotADirectoryError, OSError: nothing can be created there.
    """
    place = _place(folder)
    with claimed(place) as alone:
        if alone:
            heal(place)
        yield place


def read_report(folder: str | os.PathLike) -> dict[str, Any] | None:
    """The content of report.json of a complete result folder, or None where there is none."""
    folder = Path(folder)
    if not (folder / REPORT).is_file():
        return None
    try:
        content = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except ValueError:
        return None
    files = content.get("files") if isinstance(content, dict) else None  # earlier versions do not name them
    return content if all((folder / name).is_file() for name in files or FILES) else None


@contextlib.contextmanager
def replaced(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A new hidden folder that takes the place of `folder` when the block ends well; an earlier result is removed then.

    Args:
        folder: from `check_destination`.
        overwrite: whether an earlier result may be replaced.

    Raises:
        FileExistsError: somebody has put something there meanwhile.
        OSError: it can't be done; the earlier result is there as before.
    """
    hidden = _Hidden(folder, secrets.token_hex(4))
    try:
        hidden.staged.mkdir(parents=True)
        yield hidden.staged
        with signals_held():
            _publish(hidden, folder, overwrite=overwrite)
    finally:
        with signals_held():
            _discard(hidden.staged, folder)


def heal(folder: Path) -> None:
    """Put right what a process left that was killed while it wrote there; only for one who has claimed the folder.

    An earlier result whose place is not taken by a whole new one comes back; everything else that is hidden goes.
    """
    if any(name not in KNOWN for name in _visible(folder)) or (folder.exists() and not folder.is_dir()):
        return  # the place is somebody else's
    with signals_held():
        for hidden in _leftovers(folder):
            _restore(hidden, folder)


@dataclass(frozen=True)
class _Hidden:
    """Hidden folders of one writing process.

    Args:
        folder: of the result.
        token: eight hexadecimal digits.
    """

    folder: Path
    token: str

    @property
    def staged(self) -> Path:
        """Files of the new result."""
        return self._path("part")

    @property
    def leaving(self) -> Path:
        """Files of the earlier result, on their way out or back."""
        return self._path("back")

    @property
    def earlier(self) -> Path:
        """All files of the earlier result."""
        return self._path("old")

    def _path(self, ending: str) -> Path:
        return hidden_folder(self.folder) / f"{hidden_stem(self.folder)}{self.token}.{ending}"


def _publish(hidden: _Hidden, folder: Path, *, overwrite: bool) -> None:
    """The staged files become the result in `folder`, at once or not at all."""
    check_destination(folder, overwrite=overwrite)
    if folder.is_dir():
        shutil.copymode(folder, hidden.staged)
    if hidden.staged.parent != folder and _in_one_step(hidden.staged, folder):
        return
    check_destination(folder, overwrite=overwrite)
    try:
        folder.mkdir(exist_ok=True)
        hidden.leaving.mkdir()
        _move(folder, hidden.leaving, report_first=True)
        os.replace(hidden.leaving, hidden.earlier)
        _move(hidden.staged, folder)
    finally:
        _restore(hidden, folder)


def _in_one_step(staged: Path, folder: Path) -> bool:
    """Whether `staged` has got the name; after an exchange it holds the earlier result."""
    if _visible(folder):
        return exchange(staged, folder)
    try:
        if os.name == "nt" and folder.is_dir():
            folder.rmdir()
        os.rename(staged, folder)
    except OSError:
        return False
    return True


def _restore(hidden: _Hidden, folder: Path) -> None:
    """Bring back the earlier result unless the new one is whole, and remove the hidden folders."""
    if hidden.earlier.is_dir() and not (folder / REPORT).is_file():
        for name in _results_in(folder):
            (folder / name).unlink()
        os.replace(hidden.earlier, hidden.leaving)
    if hidden.leaving.is_dir():
        folder.mkdir(exist_ok=True)
        _move(hidden.leaving, folder)
    for leftover in (hidden.staged, hidden.leaving, hidden.earlier):
        _discard(leftover, folder)


def _move(source: Path, target: Path, *, report_first: bool = False) -> None:
    """Files of a result from one folder into another; the report last, or first, so that a folder with a report is whole."""
    for name in sorted(_results_in(source), key=lambda name: name == REPORT, reverse=report_first):
        os.replace(source / name, target / name)


def _discard(hidden: Path, folder: Path) -> None:
    """Remove a hidden folder; a file of somebody else that has come into an earlier result meanwhile stays in the new one."""
    if not hidden.is_dir():
        return
    for name in (name for name in _names_in(hidden) if name not in KNOWN and not name.startswith(".")):
        os.replace(hidden / name, folder / name)
    shutil.rmtree(hidden, ignore_errors=True)


def _leftovers(folder: Path) -> list[_Hidden]:
    """What processes have left that no longer run, the newest first."""
    pattern = re.compile(re.escape(hidden_stem(folder)) + r"([0-9a-f]{8})\.(?:part|back|old)")
    place = hidden_folder(folder)
    found = {match[1]: (place / name).stat().st_mtime for name in _names_in(place) if (match := pattern.fullmatch(name))}
    return [_Hidden(folder, token) for token in sorted(found, key=lambda token: -found[token])]


def _visible(folder: Path) -> list[str]:
    """Names in a folder but those that are hidden on behalf of it."""
    return [name for name in _names_in(folder) if not name.startswith(hidden_stem(folder))]


def _results_in(folder: Path) -> list[str]:
    return [name for name in _names_in(folder) if name in KNOWN]


def _names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []
