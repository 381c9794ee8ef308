"""Read text files that people and other programs write; hostile ones end in a sentence."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MOST_BYTES = 1 << 26
DEEPEST = 60
"""Levels of nesting that a list, a configuration or a markups file may have."""


def read_text(path: str | os.PathLike) -> str:
    """The content of a UTF-8 file, with or without a byte order mark.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: not UTF-8, or larger than 67 MB, which no list or configuration is.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the path.")
    size = path.stat().st_size
    if size > MOST_BYTES:
        most = MOST_BYTES / 1e6
        raise ValueError(f"{path} has {size / 1e6:.0f} MB: a text of at most {most:.0f} MB is expected, check the path.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a readable text (byte {error.start} is not UTF-8): save it as UTF-8.") from error


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: not JSON, or nested beyond `DEEPEST`.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from error
    check_depth(value)
    return value


def parse_csv(lines: Iterable[str], separator: str) -> list[list[str]]:
    """The cells of the lines of a table.

    Raises:
        ValueError: not a table: a cell of more than 131072 characters, or a character that no text has.
    """
    try:
        return list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"it is no table ({error})") from error


def table_rows(text: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """A table with a header line, comma or semicolon: the names of its columns, and (line, {column: cell}) of each row.

    Cells are without surrounding blanks; missing ones are "", those beyond the header are left out, empty rows, too.

    Raises:
        ValueError: not a table.
    """
    lines = text.splitlines() or [""]
    rows = parse_csv(lines, ";" if lines[0].count(";") > lines[0].count(",") else ",") or [[]]
    header = [column.strip() for column in rows[0]]
    cells = [(number, [cell.strip() for cell in row]) for number, row in enumerate(rows[1:], start=2)]
    return header, [
        (number, {column: row[n] if n < len(row) else "" for n, column in enumerate(header)}) for number, row in cells if any(row)
    ]


def check_depth(value: Any) -> None:
    """Refuses what is nested beyond `DEEPEST`.

    Raises:
        ValueError: it is.
    """
    level, depth = [value], 0
    while level:
        if depth > DEEPEST:
            raise ValueError(f"it is nested deeper than {DEEPEST} levels")
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level, depth = [item for items in inner for item in items if isinstance(item, dict | list)], depth + 1
