"""A process that dies, or is asked to end, at each of its steps in the file system: what the tests of result folders look at.

Run as `python killed.py FOLDER WAY SIGNAL`; prints one JSON list with what was found after each point, see `states`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from SpatialRegularizationLib.io import claims
from SpatialRegularizationLib.io.signals import Interrupted, signals_raise
from SpatialRegularizationLib.report import result_folder
from SpatialRegularizationLib.report.result_folder import FILES, OPTIONAL_FILES, REPORT, claimed_folder, replaced

STEPS = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod", "os.listdir", "shutil.rmtree", "ctypes.dlsym")
"""Audit events of Python that count as a step."""


def main() -> None:
    """All points of one way to write."""
    folder, way, number = Path(sys.argv[1]), sys.argv[2], signal.Signals[sys.argv[3]]
    if way == "one by one":
        result_folder.exchange = lambda one, other: False
    if way == "within":
        result_folder.hidden_folder = claims.hidden_folder = lambda place: place if place.is_dir() else place.parent
    found, ended = [], False
    while not ended:
        shutil.rmtree(folder, ignore_errors=True)
        place = folder / "r"
        folder.mkdir()
        if way != "new":
            write(place, "first")
        ended = not die(place, len(found), number)
        found.append(states(place))
    sys.stdout.write(json.dumps(found))


def write(place: Path, generation: str) -> None:
    """A result of which every file says when it was written; the second one has no warped labels."""
    optional = OPTIONAL_FILES if generation == "first" else ()
    with claimed_folder(place) as claimed, replaced(claimed, overwrite=True) as staged:
        for name in (*FILES, *optional):
            (staged / name).write_text(json.dumps(generation) if name == REPORT else generation, encoding="utf-8")


def die(place: Path, point: int, number: int) -> bool:
    """Write in a child that gets the signal at a point; False where it had ended before."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    count = -1

    def hook(event: str, _: Any) -> None:
        nonlocal count
        if event in STEPS:
            count += 1
            if count == point:
                os.kill(os.getpid(), number)

    sys.addaudithook(hook)
    code = 0
    try:
        with signals_raise():
            write(place, "second")
    except Interrupted as error:
        code = error.number
    os._exit(code or int(count >= point))


def states(place: Path) -> dict[str, Any]:
    """What is at the name now, and what is there once the next process has claimed it."""
    before, left = generation(place), hidden(place)
    with claimed_folder(place):
        pass
    return {"now": before, "left": left, "healed": generation(place), "hidden": hidden(place)}


def hidden(place: Path) -> list[str]:
    """Hidden names beside and in the folder."""
    names = [path.name for folder in (place.parent, place) if folder.is_dir() for path in folder.iterdir()]
    return [name for name in names if name.startswith(".")]


def generation(place: Path) -> str | None:
    """ "first" or "second" where all files are of it; "mixed"; None where there is nothing."""
    if not place.exists():
        return None
    found = {path.name: path.read_text(encoding="utf-8").strip('"') for path in place.iterdir() if path.name[0] != "."}
    for name, files in (("first", {*FILES, *OPTIONAL_FILES}), ("second", {*FILES})):
        if found == dict.fromkeys(files, name):
            return name
    return "mixed"


if __name__ == "__main__":
    main()
