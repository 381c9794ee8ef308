"""Read lists of images and lists of pairs: CSV or JSON, one line for each and what belongs to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .companions import KINDS
from .stamps import stamp_of
from .text import parse_json, read_text, table_rows

IMAGE_FILES = ("image", "labels", "mask", "points")
IMAGE_COLUMNS = (*IMAGE_FILES, "name", "group")
PAIR_FILES = ("fixed", "moving", *KINDS, "initial")
PAIR_COLUMNS = (*PAIR_FILES, "name", "preset")


@dataclass(frozen=True)
class ListedImage:
    """One image of a list.

    Args:
        name: unique in its list; default: the file's name without endings.
        image: the image file; None for a label map alone, from which images can be synthesized.
        labels: label map on the image's grid, or None.
        mask: where the similarity counts when this image is fixed, or None.
        points: landmarks that correspond to those of the other images, or None.
        group: images of one person have one group; "" where it does not matter.
    """

    name: str
    image: Path | None
    labels: Path | None = None
    mask: Path | None = None
    points: Path | None = None
    group: str = ""

    @property
    def main(self) -> Path:
        """The file that says on which grid this is: the image, else the label map."""
        return self.image or self.labels

    @property
    def files(self) -> dict[str, Path]:
        """The files that there should be, by column."""
        return {column: getattr(self, column) for column in IMAGE_FILES if getattr(self, column) is not None}


@dataclass(frozen=True)
class ListedPair:
    """Two images of a list and what goes with them.

    Args:
        name: unique in its list, fit for a folder; default: moving_to_fixed.
        fixed, moving: image files or DICOM folders.
        inputs: files by `companions.KINDS`, and "initial", those that were given.
        preset: for methods that take the preset of the pair; "" where the list names none.
    """

    name: str
    fixed: Path
    moving: Path
    inputs: Mapping[str, Path] = field(default_factory=dict)
    preset: str = ""

    def identity(self) -> dict[str, Any]:
        """The files as they are now: what must be the same for a figure to be kept."""
        files = {"fixed": self.fixed, "moving": self.moving} | dict(self.inputs)
        return {name: stamp_of(path) for name, path in files.items()} | {"preset": self.preset}


def read_images(path: str | os.PathLike) -> tuple[ListedImage, ...]:
    """The images of a list.

    Args:
        path: a .csv file (comma or semicolon, a header line), or a .json file with a list of objects or of file names. Paths
            in it are relative to it.

    Raises:
        FileNotFoundError: no such list.
        ValueError: not readable, unknown columns, lines without an image, two images of one name, or nothing in it.
    """
    return _read(Path(path), "images", IMAGE_COLUMNS, _image)


def read_pairs(path: str | os.PathLike) -> tuple[ListedPair, ...]:
    """The pairs of a list; path and errors as `read_images`."""
    return _read(Path(path), "pairs", PAIR_COLUMNS, _pair)


def missing_files(entries: Iterable[ListedImage]) -> list[str]:
    """One line for each file of a list that is not there."""
    return [
        f"{entry.name}: the {column} {file} does not exist"
        for entry in entries
        for column, file in entry.files.items()
        if not file.exists()
    ]


def _read(path: Path, what: str, columns: Sequence[str], build: Callable[[dict[str, str], Path], Any]) -> tuple[Any, ...]:
    """What `build` makes of each line: of its cells, those that hold nothing left out, and of the folder of the list."""
    text = read_text(path)
    try:
        lines = _objects(text, columns) if path.suffix.lower() == ".json" else table_rows(text)[1]
    except ValueError as error:
        raise ValueError(f"{path} is no readable list of {what} ({error}): repair that place.") from error
    found = []
    for number, row in lines:
        unknown = next((column for column in row if column not in columns), None)
        if unknown is not None:
            raise ValueError(f"{path} has the unknown column {unknown!r}: the columns are {', '.join(columns)}.")
        try:
            found.append(build(_cells(row), path.parent))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    if not found:
        raise ValueError(f"{path} holds no {what}: write one line for each below the header ({', '.join(columns)}).")
    names = [entry.name for entry in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"{path} names two {what} {twice!r}: give each its own name in the column name.")
    return tuple(found)


def _objects(text: str, columns: Sequence[str]) -> list[tuple[int, Mapping[str, Any]]]:
    """The lines of a JSON list; a text stands for the first column."""
    rows = parse_json(text)
    if not isinstance(rows, list) or not all(isinstance(row, (dict, str)) for row in rows):
        raise ValueError(f"a list of objects with {columns[0]}, {columns[1]}, … is expected")
    return [(number, {columns[0]: row} if isinstance(row, str) else row) for number, row in enumerate(rows, start=1)]


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    stray = next((column for column, value in row.items() if not isinstance(value, str | int | float | None)), None)
    if stray is not None:
        raise ValueError(f"the column {stray} must hold a text, got {type(row[stray]).__name__}.")
    filled = {column: str(value).strip() for column, value in row.items() if value is not None}
    return {column: value for column, value in filled.items() if value}


def _image(cells: dict[str, str], folder: Path) -> ListedImage:
    files = _files(cells, IMAGE_FILES, folder)
    if "image" not in files and "labels" not in files:
        raise ValueError("the column image is empty, and labels too; name at least one file.")
    name = cells.get("name") or _stem(files.get("image") or files["labels"])
    return ListedImage(name=name, group=cells.get("group", ""), **({"image": None} | files))


def _pair(cells: dict[str, str], folder: Path) -> ListedPair:
    files = _files(cells, PAIR_FILES, folder)
    for side in ("fixed", "moving"):
        if side not in files:
            raise ValueError(f"the column {side} is empty, or not there; name an image.")
    fixed, moving = files.pop("fixed"), files.pop("moving")
    name = cells.get("name") or f"{_stem(moving)}_to_{_stem(fixed)}"
    if Path(name).name != name or name.startswith("."):
        raise ValueError(f"the name {name!r} cannot be a folder, leave out slashes and leading dots.")
    return ListedPair(name, fixed, moving, files, cells.get("preset", ""))


def _files(cells: Mapping[str, str], columns: Sequence[str], folder: Path) -> dict[str, Path]:
    return {column: folder / Path(cells[column]).expanduser() for column in columns if column in cells}


def _stem(path: Path) -> str:
    return path.name.split(".")[0] or path.name
