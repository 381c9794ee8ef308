"""Read and write NRRD files, in every encoding of the format, in one file or several.

The lattice is that of ITK's reader: RAS and LAS are turned to LPS, other spaces are taken as they are; without `space`, the
spacings, and the first voxel half a voxel inside `axis mins`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .blocks import Block, read_blocks
from .header_text import LONGEST_HEADER, data_files, numbered_names, numbers, whole_numbers
from .image_file import ImageFile, spatial_shape, unreadable

MAGIC = b"NRRD000"
TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
DTYPE_OF = {name: code for code, names in TYPES.items() for name in names}
ENCODINGS = {
    "raw": "raw", "txt": "text", "text": "text", "ascii": "text", "hex": "hex", "gz": "gzip", "gzip": "gzip", "bz2": "bzip2",
    "bzip2": "bzip2",
}  # fmt: skip
TO_LPS = {
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1), "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip
SPACES = {
    *TO_LPS, "left-posterior-superior", "lps", "scanner-xyz", "3d-right-handed", "3d-left-handed",
}  # fmt: skip
SAME = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip", "axismins": "axis mins"}
"""Fields of two spellings."""
SPATIAL_KINDS = ("domain", "space", "time", "???", "none", "")


@dataclass(frozen=True)
class _Header:
    """Fields and key/value pairs by lower-case name, lines after a data file field LIST, and the bytes of the header."""

    fields: dict[str, str]
    keys: dict[str, str]
    listed: list[str]
    size: int


def open_nrrd(path: Path) -> ImageFile:
    """What the header of a NRRD file says.

    Raises:
        ValueError: it cannot be understood, or is not one 3-D image (or field).
        FileNotFoundError: a file with its voxels is not there.
    """
    header = _read_header(path)
    if header is None:
        raise unreadable(path, "unknown or damaged format")
    try:
        return _described(path, header)
    except (KeyError, OverflowError) as error:
        raise unreadable(path, f"its field {error.args[0]} is missing or damaged") from error
    except _Odd as error:
        raise unreadable(path, error) from error


class _Odd(Exception):
    """A header that cannot be understood, and why."""


def _described(path: Path, header: _Header) -> ImageFile:
    fields = header.fields
    try:
        axes = whole_numbers(fields["dimension"], 1, "dimension")[0]
        sizes = whole_numbers(fields["sizes"], axes, "sizes")
        dtype = _dtype(fields)
        spatial, affine, notes = _lattice(fields, axes, sizes)
    except ValueError as error:
        raise _Odd(str(error)) from error
    ranges = [axis for axis in range(axes) if axis not in spatial]
    if len(ranges) > 1:
        raise _Odd(f"{len(ranges)} of its {axes} axes are not spatial")
    shape = spatial_shape([sizes[axis] for axis in spatial], path)
    channels = sizes[ranges[0]] if ranges else 1
    if channels < 1:
        raise _Odd(f"its header claims {channels} values per voxel")
    blocks = _blocks(path, header, dtype, math.prod(sizes))

    def read() -> np.ndarray:
        found = read_blocks(blocks).reshape(sizes, order="F")
        moved = np.moveaxis(found, ranges[0], -1) if ranges else found
        return moved.reshape(shape if channels == 1 else (*shape, channels))

    return ImageFile(path, shape, affine, read, channels, tags=header.keys, notes=notes)


def _read_header(path: Path) -> _Header | None:
    """None where it is no NRRD file."""
    with path.open("rb") as file:
        start = file.read(LONGEST_HEADER)
    if not start.startswith(MAGIC):
        return None
    match = re.search(rb"\r?\n\r?\n", start)
    end = match.start() if match else len(start)
    size = match.end() if match else len(start)
    lines = [line.strip("\r") for line in start[:end].decode("latin-1").split("\n")[1:]]
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    for number, line in enumerate(lines):
        pair, field = re.match(r"([^:]*):=(.*)", line), re.match(r"([^:]+):\s+(.*)", f"{line} ")
        if line.startswith("#"):
            continue
        if pair:
            keys[pair[1].strip().lower()] = pair[2].strip()
        elif field:
            name = field[1].strip().lower()
            fields[SAME.get(name, name)] = field[2].strip()
            if SAME.get(name, name) == "data file" and field[2].upper().startswith("LIST"):
                return _Header(fields, keys, [line for line in lines[number + 1 :] if line.strip()], size)
    return _Header(fields, keys, [], size)


def _dtype(fields: dict[str, str]) -> np.dtype:
    name = fields["type"].lower()
    if name not in DTYPE_OF:
        raise ValueError(f"its voxels have the unknown type {name[:40]!r}")
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "little").lower())
    if order is None:
        raise ValueError(f"its byte order is {fields['endian'][:40]!r}, expected little or big")
    return np.dtype(order + DTYPE_OF[name])


def _lattice(fields: dict[str, str], axes: int, sizes: list[int]) -> tuple[list[int], np.ndarray, tuple[str, ...]]:
    """The spatial axes, the index-to-LPS matrix of the first three, and what is to be said about it."""
    affine = np.eye(4)
    kinds = fields.get("kinds", " ".join(["???"] * axes)).lower().split()
    if len(kinds) != axes:
        raise ValueError(f"its field kinds must name {axes} kinds, got {len(kinds)}")
    spatial = [axis for axis in range(axes) if kinds[axis] in SPATIAL_KINDS]
    if "space directions" in fields:
        if "space" not in fields and "space dimension" not in fields:
            raise ValueError(
                "it gives space directions but not the space they are in: add a line such as 'space: left-posterior-superior'"
            )
        vectors = _vectors(fields["space directions"], axes)
        spatial = [axis for axis in range(axes) if vectors[axis] is not None]
        if len(spatial) < 3 and axes == len(spatial):
            return spatial, affine, ()
        if len(spatial) != 3 or any(len(vectors[axis]) != 3 for axis in spatial):
            raise ValueError(f"{len(spatial)} of its axes have a direction in space, expected 3")
        affine[:3, :3] = np.array([vectors[axis] for axis in spatial]).T
        affine[:3, 3] = numbers(re.sub(r"[(),]", " ", fields.get("space origin", "0 0 0")), 3, "space origin")
        return spatial, np.diag([*_to_lps(fields), 1]) @ affine, ()
    if len(spatial) < 3:
        return spatial, affine, ()
    spacing = _per_axis(fields, "spacings", axes)
    mins = _per_axis(fields, "axis mins", axes)
    for row, axis in enumerate(spatial[:3]):
        step = 1.0 if spacing[axis] is None else spacing[axis]
        if step <= 0:
            raise ValueError(f"its voxel spacing must be positive, got {step:g}")
        affine[row, row] = step
        affine[row, 3] = 0.0 if mins[axis] is None else mins[axis] + step / 2
    return spatial, affine, ("its header says nothing about its orientation (no space directions)",)


def _to_lps(fields: dict[str, str]) -> tuple[int, int, int]:
    space = fields.get("space", "3d-right-handed").lower()
    if space not in SPACES:
        raise ValueError(f"its space is {space[:40]!r}, expected left-posterior-superior or right-anterior-superior")
    return TO_LPS.get(space, (1, 1, 1))


def _vectors(text: str, count: int) -> list[list[float] | None]:
    """Of "(1,0,0) none (0,1,0)": the numbers of each, or None."""
    words = re.findall(r"none|\([^()]*\)", text)
    if len(words) != count:
        raise ValueError(f"its header must give {count} vectors in space, got {len(words)}")
    return [None if word == "none" else numbers(word[1:-1].replace(",", " "), None, "space directions") for word in words]


def _per_axis(fields: dict[str, str], name: str, axes: int) -> list[float | None]:
    words = fields.get(name, "").split() or ["nan"] * axes
    if len(words) != axes:
        raise ValueError(f"its field {name} must hold {axes} numbers, got {len(words)}")
    return [None if word.lower() == "nan" else numbers(word, 1, name)[0] for word in words]


def _blocks(path: Path, header: _Header, dtype: np.dtype, count: int) -> list[Block]:
    fields = header.fields
    encoding = ENCODINGS.get(fields["encoding"].lower())
    if encoding is None:
        raise _Odd(f"its encoding is {fields['encoding'][:40]!r}, expected raw, gzip, bzip2, text or hex")
    try:
        names = _names(fields, header.listed)
        lines = whole_numbers(fields.get("line skip", "0"), 1, "line skip")[0]
        skip = whole_numbers(fields.get("byte skip", "0"), 1, "byte skip")[0]
    except ValueError as error:
        raise _Odd(str(error)) from error
    files = [path] if names is None else data_files(path, names)
    if count % len(files):
        raise _Odd(f"its {count} voxels do not spread evenly over {len(files)} files")
    if lines < 0 or skip < -1 or (skip == -1 and encoding != "raw"):
        raise _Odd("its line skip or byte skip is not possible")
    start = header.size if names is None else 0
    made = []
    for file in files:
        offset = None if skip == -1 else start + _bytes_of_lines(file, start, lines) + (skip if encoding == "raw" else 0)
        made.append(Block(file, dtype, count // len(files), encoding, offset, 0 if encoding == "raw" else max(0, skip)))
    return made


def _names(fields: dict[str, str], listed: list[str]) -> list[str] | None:
    """Of the files that hold the voxels; None: they follow the header."""
    given = fields.get("data file")
    if given is None:
        return None
    if given.upper().startswith("LIST"):
        if not listed:
            raise ValueError("its list of files is empty")
        return listed
    pattern = re.fullmatch(r"(\S*%\S*)\s+(-?\d{1,9})\s+(-?\d{1,9})\s+(-?\d{1,9})(\s+\d+)?", given)
    return numbered_names(pattern[1], *map(int, pattern.groups()[1:4])) if pattern else [given]


def _bytes_of_lines(path: Path, start: int, lines: int) -> int:
    """How long the first lines after the header are."""
    if lines == 0:
        return 0
    with path.open("rb") as file:
        file.seek(start)
        for _ in range(lines):
            if not file.readline(LONGEST_HEADER):
                break
        return file.tell() - start
