"""Read and write point lists of Slicer, ITK and tables; in memory they are LPS millimeters.

.csv                comma, semicolon or tab (then decimal commas, too); columns x,y,z (LPS), l,p,s or r,a,s, perhaps label and
                    defined, as 3D Slicer's tables have them; lines that start with # are comments unless they are points
.fcsv               3D Slicer's older fiducial list
.mrk.json           3D Slicer's markups: points, lines, curves, angles, planes
.txt                elastix: "index" or "point", the count, then three numbers a line

A list may name points that were never placed: `.mrk.json` says so with positionStatus, a table with defined 0, `.fcsv` with
a number after its named columns. What stands in the place of their coordinates means nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..geometry.grid import Grid
from .atomic import atomic_path
from .text import parse_csv, parse_json, read_text

LPS_FROM_RAS = np.array([-1.0, -1.0, 1.0])
FORMATS = (".mrk.json", ".json", ".fcsv", ".csv", ".txt")
FCSV_COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"
OLD_FCSV_COLUMNS = "label,x,y,z,sel,vis"
FCSV_STATUS = 14
"""Column of `.fcsv` that Slicer 5 writes without naming it: 0 undefined, 1 preview, 2 defined, 3 missing."""
STATUSES = ("undefined", "preview", "defined", "missing")
NO = ("0", "false", "no")
SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


@dataclass(frozen=True)
class Landmarks:
    """A point list with what says which point is which.

    Args:
        positions: (n, 3) float64 mm LPS of the points that were placed.
        names: their n labels; numbers where the file has none.
        places: their n numbers in the list, from 0, counted with those that were not placed.
        unplaced: labels of the points that were never placed.
        labeled: whether the file has labels.
    """

    positions: np.ndarray
    names: tuple[str, ...]
    places: tuple[int, ...]
    unplaced: tuple[str, ...] = ()
    labeled: bool = True


class _Row(NamedTuple):
    """A line of a list: three numbers in LPS, or None where the point was never placed, and its label or None."""

    position: np.ndarray | None
    name: str | None


def points_suffix(path: str | os.PathLike) -> str:
    """The ending that decides the format, lower case; ".mrk.json" counts as one."""
    name = Path(path).name.lower()
    return ".mrk.json" if name.endswith(".mrk.json") else Path(name).suffix


def read_landmarks(path: str | os.PathLike, *, grid: Grid | None = None) -> Landmarks:
    """A point list of any of the formats above.

    Args:
        path: the file.
        grid: the image whose voxels an "index" file of elastix counts; not used otherwise.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: unknown ending, no placed points, not three finite numbers each, unknown frame, unit or status, or an
            index file without a grid.
    """
    path = Path(path)
    suffix = points_suffix(path)
    if path.is_file() and suffix not in FORMATS:
        raise ValueError(f"{path} is no point list: expected one of the endings {', '.join(FORMATS)}.")
    text = read_text(path)
    if suffix in (".mrk.json", ".json"):
        rows = list(_from_markups(_markups(text, path), path))
    elif suffix == ".txt":
        rows = _from_elastix(text, grid, path)
    else:
        rows = list(_from_table(text, path))
    placed = [n for n, row in enumerate(rows) if row.position is not None]
    if not placed:
        raise ValueError(f"{path} holds no points{', only such as were never placed' if rows else ''}: place them first.")
    positions = np.array([rows[n].position for n in placed]).reshape(-1, 3)
    if not np.isfinite(positions).all():
        raise ValueError(f"{path} holds NaN or infinite coordinates.")
    names = [str(n) if row.name is None else row.name for n, row in enumerate(rows, start=1)]
    return Landmarks(
        positions,
        tuple(names[n] for n in placed),
        tuple(placed),
        tuple(name for name, row in zip(names, rows, strict=True) if row.position is None),
        labeled=all(row.name for row in rows),
    )


def write_points(
    path: str | os.PathLike,
    positions: np.ndarray,
    names: tuple[str, ...] = (),
    *,
    like: str | os.PathLike | None = None,
) -> None:
    """Write a point list in LPS mm; the file is whole or absent.

    Args:
        path: ends in .csv, .fcsv, .mrk.json or .txt (elastix, "point").
        positions: (n, 3) mm LPS.
        names: n names, or none: then they are numbered.
        like: a .mrk.json file with as many defined points: for a .mrk.json, everything but the positions is taken from
            it, so that a curve stays a curve.

    Raises:
        ValueError: unknown ending, or counts that differ.
        OSError: the file cannot be written.
    """
    path = Path(path)
    positions = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    names = tuple(names) or tuple(str(n + 1) for n in range(len(positions)))
    if len(names) != len(positions):
        raise ValueError(f"Every point needs a name: got {len(positions)} points and {len(names)} names.")
    suffix = points_suffix(path)
    if suffix in (".mrk.json", ".json"):
        text = json.dumps(_to_markups(positions, names, like), indent=1)
    elif suffix == ".txt":
        text = "\n".join(["point", str(len(positions)), *(_row(p, " ") for p in positions)])
    elif suffix == ".fcsv":
        text = _fcsv(positions, names)
    elif suffix == ".csv":
        rows = [f"{_quoted(name)},{_row(p, ',')}" for p, name in zip(positions, names, strict=True)]
        text = "\n".join(["# coordinates: LPS, mm", "label,x,y,z", *rows])
    else:
        raise ValueError(f"Cannot write points as {path.name!r}: use one of the endings {', '.join(FORMATS)}.")
    with atomic_path(path, suffix) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _row(position: np.ndarray, separator: str) -> str:
    return separator.join(f"{value:.6f}" for value in position)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if re.search(r'[",\n]', name) else name


def _fcsv(positions: np.ndarray, names: tuple[str, ...]) -> str:
    head = ["# Markups fiducial file version = 4.11", "# CoordinateSystem = LPS", f"# columns = {FCSV_COLUMNS}"]
    return "\n".join(
        [
            *head,
            *(
                f"{n},{_row(p, ',')},0,0,0,1,1,1,0,{_quoted(name)},,"
                for n, (p, name) in enumerate(zip(positions, names, strict=True), start=1)
            ),
        ]
    )


def _to_lps(frame: str | None, default: str, path: Path) -> np.ndarray:
    frame = {"0": "RAS", "1": "LPS"}.get(str(frame), str(frame).upper()) if frame is not None else default
    if frame not in ("RAS", "LPS"):
        raise ValueError(f"{path} states the coordinate system {frame!r}: expected LPS or RAS.")
    return LPS_FROM_RAS if frame == "RAS" else np.ones(3)


def _markups(text: str, path: Path) -> list[dict[str, Any]]:
    """The markups of a document, checked to be what they must be."""
    try:
        document = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable point list ({error}): export it again.") from error
    markups = document.get("markups") if isinstance(document, dict) else None
    if not isinstance(markups, list) or not all(isinstance(markup, dict) for markup in markups):
        raise ValueError(f'{path} is not a readable point list: expected Slicer\'s {{"markups": [{{…}}]}}; export it again.')
    for markup in markups:
        points = markup.setdefault("controlPoints", [])
        if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
            raise ValueError(f"{path} is not a readable point list: controlPoints must be a list of points; export it again.")
        units = markup.get("coordinateUnits") or "mm"
        if (units[0] if isinstance(units, list) else units) != "mm":
            raise ValueError(f"{path} states coordinates in {units!r}: expected mm; save it in millimetres.")
    return markups


def _is_placed(point: dict[str, Any], path: Path) -> bool:
    status = point.get("positionStatus", "defined")
    if status not in STATUSES:
        raise ValueError(f"{path} has the position status {status!r}: expected one of {', '.join(STATUSES)}.")
    return status == "defined"


def _from_markups(markups: list[dict[str, Any]], path: Path) -> Iterator[_Row]:
    for markup in markups:
        sign = _to_lps(markup.get("coordinateSystem"), "LPS", path)
        for point in markup["controlPoints"]:
            placed = _is_placed(point, path)
            position = _three(point.get("position"), path) * sign if placed else None
            yield _Row(position, str(point.get("label") or ""))


def _to_markups(positions: np.ndarray, names: tuple[str, ...], like: str | os.PathLike | None) -> dict:
    if like is None or points_suffix(like) not in (".mrk.json", ".json"):
        points = [
            {"id": str(n), "label": name, "position": p.tolist()}
            for n, (p, name) in enumerate(zip(positions, names, strict=True), start=1)
        ]
        markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}
        return {"@schema": SCHEMA, "markups": [markup]}
    markups = _markups(text := read_text(like), Path(like))
    document = parse_json(text) | {"markups": markups}
    points = [(p, markup) for markup in markups for p in markup["controlPoints"] if _is_placed(p, Path(like))]
    if len(points) != len(positions):
        raise ValueError(f"{like} has {len(points)} points, but {len(positions)} are to be written in its form.")
    for (point, markup), position in zip(points, positions, strict=True):
        sign = _to_lps(markup.get("coordinateSystem"), "LPS", Path(like))
        point["position"] = (position * sign).tolist()
    for markup in markups:
        markup.pop("measurements", None)  # lengths and angles of the old positions
    return document


def _from_elastix(text: str, grid: Grid | None, path: Path) -> list[_Row]:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    kind = lines[0][0].lower() if lines and len(lines[0]) == 1 else ""
    if kind not in ("index", "point"):
        raise ValueError(f"{path} is no elastix point file: its first line must be 'index' or 'point'.")
    rows = [_three(row, path) for row in lines[2:]]
    announced = lines[1][0] if len(lines) > 1 else "no"
    if announced != str(len(rows)):
        raise ValueError(f"{path} announces {announced} points and holds {len(rows)}.")
    if kind == "index" and grid is None:
        raise ValueError(f"{path} counts voxels of an image: name that image, or convert the points to millimetres.")
    positions = np.array(rows).reshape(-1, 3)
    return [_Row(position, None) for position in (grid.index_to_point(positions) if kind == "index" else positions)]


def _from_table(text: str, path: Path) -> Iterator[_Row]:
    fcsv = path.suffix.lower() == ".fcsv"
    lines = [line for line in text.splitlines() if line.strip()]
    notes = [line for line in lines if line.startswith("#")]
    frame = re.search(r"(?:coordinate ?system|coordinates?|space)\s*[=:]\s*(\w+)", "\n".join(notes), re.IGNORECASE)
    first = next((line for line in lines if not line.startswith("#")), "")
    separator = next((s for s in (";", "\t") if first.count(s) > 1), ",")
    header, rows = _header_of(lines, separator, path)
    columns, implied = _columns(header, path)
    sign = _to_lps(implied or (frame.group(1) if frame else None), "RAS" if fcsv else "LPS", path)
    label, defined = (next((header.index(n) for n in names if n in header), None) for names in (("label", "name"), ("defined",)))
    for row in rows:
        cells = [_decimal(row[c], separator) if c < len(row) else "" for c in columns]
        if not any(cell.strip() for cell in row) or (row[0].startswith("#") and not all(map(_is_number, cells))):
            continue  # nothing, or a comment
        if len(row) <= max(columns):
            raise ValueError(
                f"{path} is not a readable point list: the line {_short(separator.join(row))!r} has {len(row)} values, expected "
                f"{', '.join(header)}."
            )
        if not fcsv and len(row) != len(header) and any(cell.strip() for cell in row[len(header) :]):
            raise ValueError(
                f"{path} has {len(row)} values ({_short(separator.join(row))}) under {len(header)} columns: give every value a "
                "column, and numbers a decimal point, or put semicolons between the columns."
            )
        status = row[FCSV_STATUS] if fcsv and len(row) > FCSV_STATUS else "2"
        empty = label is not None and not any(cell.strip() for cell in cells)
        absent = defined is not None and defined < len(row) and row[defined].strip().lower() in NO
        placed = not (empty or absent or status.strip() != "2")
        name = None if label is None else row[label].strip() if label < len(row) else ""
        yield _Row(_three(cells, path) * sign if placed else None, name)


def _header_of(lines: list[str], separator: str, path: Path) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, lower case, and the lines below them in cells; lines that start with # may be among those."""
    stated = next((m for line in lines if (m := re.match(r"#\s*columns\s*=\s*(.*)", line))), None)
    first = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    try:
        rows = [row for line in lines[:first] for row in parse_csv([line], separator)] + parse_csv(lines[first:], separator)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable point list ({error}): export it again.") from error
    if stated:
        return _names(re.split("[,;\t]", stated.group(1))), rows
    if path.suffix.lower() == ".fcsv":
        short = first < len(rows) and len(rows[first]) <= len(OLD_FCSV_COLUMNS.split(","))
        return (OLD_FCSV_COLUMNS if short else FCSV_COLUMNS).split(","), rows
    if first < len(rows) and not _is_number(_decimal(rows[first][0], separator)) and rows[first][0].strip():
        return _names(rows[first]), rows[:first] + rows[first + 1 :]
    for n in range(first):  # a header that is a comment, as numpy writes it
        names = _names(re.split("[,;\t] *| +", lines[n].lstrip("# ")))
        if {"x", "y", "z"} <= set(names) or {"r", "a", "s"} <= set(names) or {"l", "p", "s"} <= set(names):
            return names, rows[n + 1 :]
    return ["x", "y", "z"], rows


def _names(cells: list[str]) -> list[str]:
    return [re.sub(r"\s*[\[(]mm[\])]$", "", cell.strip().strip('"').lower()) for cell in cells]


def _columns(header: list[str], path: Path) -> tuple[list[int], str | None]:
    """The three columns of a position, and the frame if their names imply it."""
    for names, frame in ((("x", "y", "z"), None), (("r", "a", "s"), "RAS"), (("l", "p", "s"), "LPS")):
        if all(name in header for name in names):
            return [header.index(name) for name in names], frame
    raise ValueError(f"{path} has the columns {', '.join(header)}: expected x,y,z (LPS mm), l,p,s or r,a,s.")


def _decimal(text: str, separator: str) -> str:
    """The text with a decimal point, where commas do not separate columns."""
    return text if separator == "," else re.sub(r"^(\s*[-+]?\d*),(\d+([eE][-+]?\d+)?\s*)$", r"\1.\2", text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _three(values: Any, path: Path) -> np.ndarray:
    values = list(values) if isinstance(values, list | tuple) else [values]
    if len(values) != 3 or not all(isinstance(v, str | int | float) and _is_number(str(v)) for v in values):
        raise ValueError(f"{path} has the position {_short(values)}: expected three numbers.")
    return np.array([float(str(value)) for value in values])


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 80 else f"{text[:80]}…"
