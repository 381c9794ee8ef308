"""Lists of pairs: CSV or JSON, one line for each pair and what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..io.text import parse_json, read_text, table_rows
from .console import UsageError
from .options import INPUTS

FILE_COLUMNS = ("fixed", "moving", *INPUTS, "initial")
COLUMNS = (*FILE_COLUMNS, "name", "preset")


@dataclass(frozen=True)
class PairLine:
    """One pair of a list.

    Args:
        name: unique in its list, fit for a folder; default: moving_to_fixed.
        fixed, moving: images; paths in a list are relative to it.
        inputs: files of `INPUTS` and "initial", those that were given.
        preset: "" where none is named.
    """

    name: str
    fixed: Path
    moving: Path
    inputs: dict[str, Path] = field(default_factory=dict)
    preset: str = ""


def read_pair_list(path: Path) -> tuple[PairLine, ...]:
    """The pairs of a CSV file (comma or semicolon, a header line) or of a JSON file with a list of objects.

    Raises:
        FileNotFoundError: no such file.
        UsageError: not readable, unknown or missing columns, empty cells, or two pairs of one name.
    """
    try:
        text = read_text(path)
        rows = _json_rows(text, path) if path.suffix.lower() == ".json" else _csv_rows(text, path)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{path} is no readable list of pairs ({error}): repair that place.") from error
    lines = tuple(_line(row, where, path) for where, row in rows)
    if not lines:
        raise UsageError(f"{path} holds no pairs: write one line for each below the header.")
    names = [line.name for line in lines]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"{path} names two pairs {twice!r}: give each its own name in the column name.")
    return lines


def _csv_rows(text: str, path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    columns, rows = table_rows(text)
    _check_columns(columns, path)
    return [(f"line {number}", row) for number, row in rows]


def _json_rows(text: str, path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    rows = parse_json(text)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path} must hold a list of objects with fixed, moving, …: one for each pair.")
    for row in rows:
        _check_columns([*row], path)
    return [(f"pair {number}", row) for number, row in enumerate(rows, start=1)]


def _check_columns(columns: list[str], path: Path) -> None:
    unknown = [column for column in columns if column not in COLUMNS]
    if unknown or not {"fixed", "moving"} <= set(columns):
        problem = f"has the unknown column {unknown[0]!r}" if unknown else "lacks the columns fixed and moving"
        raise UsageError(f"{path} {problem}: the columns are {', '.join(COLUMNS)}.")


def _line(row: Mapping[str, Any], where: str, table: Path) -> PairLine:
    stray = next((key for key, value in row.items() if not isinstance(value, str | int | float | None)), None)
    if stray is not None:
        raise UsageError(f"{table}, {where}: the column {stray} must hold a text, got {type(row[stray]).__name__}.")
    cells = {key: text for key, value in row.items() if value is not None and (text := str(value).strip())}
    for side in ("fixed", "moving"):
        if side not in cells:
            raise UsageError(f"{table}, {where}: the column {side} is empty.")
    files = {name: table.parent / Path(cells[name]).expanduser() for name in FILE_COLUMNS if name in cells}
    name = cells.get("name") or f"{_stem(files['moving'])}_to_{_stem(files['fixed'])}"
    if Path(name).name != name or name.startswith("."):
        raise UsageError(f"{table}, {where}: the name {name!r} cannot be a folder, leave out slashes and leading dots.")
    inputs = {key: value for key, value in files.items() if key not in ("fixed", "moving")}
    return PairLine(name, files["fixed"], files["moving"], inputs, cells.get("preset", ""))


def _stem(path: Path) -> str:
    return path.name.split(".")[0] or path.name
