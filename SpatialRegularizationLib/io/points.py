"""Point lists from and to files. In memory they are millimetres LPS; a file says which frame it uses.

.csv                comma, semicolon or tab; columns x,y,z (LPS), l,p,s or r,a,s, and perhaps label
.fcsv               3D Slicer's older fiducial list
.mrk.json           3D Slicer's markups: points, lines, curves, angles, planes
.txt                elastix: "index" or "point", the count, then three numbers a line
"""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..geometry.grid import Grid
from .atomic import atomic_path

LPS_FROM_RAS = np.array([-1.0, -1.0, 1.0])
FORMATS = (".mrk.json", ".json", ".fcsv", ".csv", ".txt")
FCSV_COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"
SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


class PointList(NamedTuple):
    """Points and what they are called: `positions` (n, 3) float64 mm LPS, `names` n strings (may be empty)."""

    positions: np.ndarray
    names: tuple[str, ...]


def points_suffix(path: str | os.PathLike) -> str:
    """The ending that decides the format, lower case; ".mrk.json" counts as one."""
    name = Path(path).name.lower()
    return ".mrk.json" if name.endswith(".mrk.json") else Path(name).suffix


def read_points(path: str | os.PathLike, *, grid: Grid | None = None) -> PointList:
    """A point list of any of the formats above.

    Args:
        path: the file.
        grid: the image whose voxels an "index" file of elastix counts; not used otherwise.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: unknown ending, no points, not three finite numbers each, unknown frame, or an index file without
            a grid.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the path.")
    suffix = points_suffix(path)
    if suffix not in FORMATS:
        raise ValueError(f"{path} is no point list: expected one of the endings {', '.join(FORMATS)}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if suffix in (".mrk.json", ".json"):
            positions, names = _from_markups(_markups(text), path)
        elif suffix == ".txt":
            positions, names = _from_elastix(text, grid, path)
        else:
            positions, names = _from_table(text, path)
        array = np.array(positions, dtype=np.float64).reshape(-1, 3)
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path} is not a readable point list ({type(error).__name__}: {error}).") from error
    if len(array) == 0:
        raise ValueError(f"{path} holds no points.")
    if not np.isfinite(array).all():
        raise ValueError(f"{path} holds NaN or infinite coordinates.")
    return PointList(array, tuple(names))


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


def _markups(text: str) -> list[dict]:
    return json.loads(text)["markups"]


def _defined(markup: dict) -> list[dict]:
    return [p for p in markup.get("controlPoints", []) if p.get("positionStatus", "defined") != "undefined"]


def _from_markups(markups: list[dict], path: Path) -> tuple[list[np.ndarray], list[str]]:
    positions, names = [], []
    for markup in markups:
        sign = _to_lps(markup.get("coordinateSystem"), "LPS", path)
        for point in _defined(markup):
            positions.append(_three(point["position"], path) * sign)
            names.append(str(point.get("label", "")))
    return positions, names


def _to_markups(positions: np.ndarray, names: tuple[str, ...], like: str | os.PathLike | None) -> dict:
    if like is None or points_suffix(like) not in (".mrk.json", ".json"):
        points = [
            {"id": str(n), "label": name, "position": p.tolist()}
            for n, (p, name) in enumerate(zip(positions, names, strict=True), start=1)
        ]
        markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}
        return {"@schema": SCHEMA, "markups": [markup]}
    document = json.loads(Path(like).read_text(encoding="utf-8-sig"))
    points = [(point, markup) for markup in document["markups"] for point in _defined(markup)]
    if len(points) != len(positions):
        raise ValueError(f"{like} has {len(points)} points, but {len(positions)} are to be written in its form.")
    for (point, markup), position in zip(points, positions, strict=True):
        sign = _to_lps(markup.get("coordinateSystem"), "LPS", Path(like))
        point["position"] = (position * sign).tolist()
    for markup in document["markups"]:
        markup.pop("measurements", None)  # lengths and angles of the old positions
    return document


def _from_elastix(text: str, grid: Grid | None, path: Path) -> tuple[np.ndarray, list[str]]:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    kind = lines[0][0].lower() if lines and len(lines[0]) == 1 else ""
    if kind not in ("index", "point"):
        raise ValueError(f"{path} is no elastix point file: its first line must be 'index' or 'point'.")
    rows = [_three(row, path) for row in lines[2:]]
    if len(rows) != int(lines[1][0]):
        raise ValueError(f"{path} announces {lines[1][0]} points and holds {len(rows)}.")
    if kind == "index" and grid is None:
        raise ValueError(f"{path} counts voxels of an image: name that image, or convert the points to millimetres.")
    positions = np.array(rows).reshape(-1, 3)
    return (grid.index_to_point(positions) if kind == "index" else positions), [str(n + 1) for n in range(len(rows))]


def _from_table(text: str, path: Path) -> tuple[list[np.ndarray], list[str]]:
    comments = [line for line in text.splitlines() if line.startswith("#")]
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    frame = re.search(r"(?:coordinate ?system|coordinates?|space)\s*[=:]\s*(\w+)", "\n".join(comments), re.IGNORECASE)
    stated = re.search(r"columns\s*=\s*(.*)", "\n".join(comments))
    fcsv = path.suffix.lower() == ".fcsv"
    separator = next((s for s in (",", ";", "\t") if lines and s in lines[0]), ",")
    rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    if stated or fcsv:
        header = (stated.group(1) if stated else FCSV_COLUMNS).replace(" ", "").split(",")
    elif rows and not _is_number(rows[0][0]):
        header = rows.pop(0)
    else:
        header = ["x", "y", "z"]
    columns, implied = _columns([name.strip().lower() for name in header], path)
    sign = _to_lps(implied or (frame.group(1) if frame else None), "RAS" if fcsv else "LPS", path)
    label = next((n for n, name in enumerate(header) if name.strip().lower() in ("label", "name")), None)
    positions = [_three([row[c] for c in columns], path) * sign for row in rows]
    names = [row[label] if label is not None else str(n) for n, row in enumerate(rows, start=1)]
    return positions, names


def _columns(header: list[str], path: Path) -> tuple[list[int], str | None]:
    """The three columns of a position, and the frame if their names imply it."""
    for names, frame in ((("x", "y", "z"), None), (("r", "a", "s"), "RAS"), (("l", "p", "s"), "LPS")):
        if all(name in header for name in names):
            return [header.index(name) for name in names], frame
    raise ValueError(f"{path} has the columns {', '.join(header)}: expected x,y,z (LPS mm), l,p,s or r,a,s.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _three(values: list, path: Path) -> np.ndarray:
    if len(values) != 3 or not all(_is_number(str(value)) for value in values):
        raise ValueError(f"{path} has the position {values}: expected three numbers.")
    return np.array([float(value) for value in values])
