"""Lists of images: CSV or JSON, one line for each image and what belongs to it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.text import parse_json, read_text, table_rows

FILE_COLUMNS = ("image", "labels", "mask", "points")
COLUMNS = ("name", *FILE_COLUMNS, "group")


@dataclass(frozen=True)
class Entry:
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
        return {column: getattr(self, column) for column in FILE_COLUMNS if getattr(self, column) is not None}


def read_list(path: str | os.PathLike) -> tuple[Entry, ...]:
    """The images of a list.

    Args:
        path: a .csv file (comma or semicolon, a header line), or a .json file with a list of objects or of file names. Paths
            in it are relative to it.

    Raises:
        FileNotFoundError: no such list.
        ValueError: not readable, unknown columns, lines without an image, two images of one name, or nothing in it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"The list of images {path} does not exist: check the path.")
    try:
        text = read_text(path)
        rows = _json_rows(text) if path.suffix.lower() == ".json" else _csv_rows(text)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable list of images ({error}).") from error
    entries = tuple(_entry(row, number, path) for number, row in rows)
    if not entries:
        raise ValueError(f"{path} holds no images: write one line for each below the header ({', '.join(COLUMNS)}).")
    names = [entry.name for entry in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"{path} names two images {twice!r}: give each its own name in the column name.")
    return entries


def missing_files(entries: Iterable[Entry]) -> list[str]:
    """One line for each file of a list that is not there."""
    return [
        f"{entry.name}: the {column} {file} does not exist"
        for entry in entries
        for column, file in entry.files.items()
        if not file.exists()
    ]


def _csv_rows(text: str) -> list[tuple[int, dict[str, Any]]]:
    return table_rows(text)[1]


def _json_rows(text: str) -> list[tuple[int, dict[str, Any]]]:
    values = parse_json(text)
    if not isinstance(values, list) or not all(isinstance(row, (dict, str)) for row in values):
        raise ValueError("a list of objects with image, labels, …, or of file names, is expected")
    return [(number, {"image": row} if isinstance(row, str) else row) for number, row in enumerate(values, start=1)]


def _entry(row: dict[str, Any], number: int, table: Path) -> Entry:
    unknown = [column for column in row if column not in COLUMNS]
    if unknown:
        raise ValueError(f"{table} has the unknown column {unknown[0]!r}: the columns are {', '.join(COLUMNS)}.")
    stray = next((column for column, value in row.items() if not isinstance(value, str | int | float | None)), None)
    if stray is not None:
        raise ValueError(f"{table}, line {number}: the column {stray} must hold a text, got {type(row[stray]).__name__}.")
    if not row.get("image") and not row.get("labels"):
        raise ValueError(f"{table}, line {number}: the column image is empty, and labels too; name at least one file.")
    files = {name: table.parent / Path(str(row[name])).expanduser() for name in FILE_COLUMNS if row.get(name)}
    first = files.get("image") or files["labels"]
    name = str(row.get("name") or first.name.split(".")[0])
    return Entry(name=name, group=str(row.get("group") or ""), **({"image": None} | files))
