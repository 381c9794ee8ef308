"""Read and write MetaImage files (.mha, .mhd): voxels in one file, beside it, or in a list of slices.

The lattice is that of ITK's reader: `Offset` (or `Position`, `Origin`), `TransformMatrix` (or `Rotation`, `Orientation`) with
one axis after another, `ElementSpacing` (or `ElementSize`); the center of rotation and the anatomical orientation have no part.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from .blocks import Block, read_blocks
from .header_text import LONGEST_HEADER, data_files, numbered_names, numbers, whole_numbers
from .image_file import ImageFile, spatial_shape, unreadable

LAST_FIELD = "elementdatafile"
TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "long": "i4", "ulong": "u4",
    "long_long": "i8", "ulong_long": "u8", "float": "f4", "double": "f8",
}  # fmt: skip
ORIGINS = ("origin", "position", "offset")
DIRECTIONS = ("orientation", "rotation", "transformmatrix")
FIRST_FIELDS = (b"ObjectType", b"NDims", b"Comment", b"ObjectSubType")


def is_metaimage(start: bytes, path: Path) -> bool:
    """Whether a file that starts so is a MetaImage."""
    return path.suffix.lower() in (".mha", ".mhd") or start.startswith(FIRST_FIELDS)


def open_metaimage(path: Path) -> ImageFile:
    """What the header of a MetaImage says.

    Raises:
        ValueError: it cannot be understood, or is not one 3-D image (or field).
        FileNotFoundError: a file with its voxels is not there.
    """
    fields, size = _read_header(path)
    try:
        axes = whole_numbers(fields.get("ndims", ""), 1, "NDims")[0]
        if not 1 <= axes <= 10:
            raise ValueError(f"its header claims {axes} axes")
        sizes = whole_numbers(fields.get("dimsize", ""), axes, "DimSize")
        channels = whole_numbers(fields.get("elementnumberofchannels", "1"), 1, "ElementNumberOfChannels")[0]
        if channels < 1:
            raise ValueError(f"its header claims {channels} values per voxel")
        affine = _lattice(fields, axes)
        blocks = _blocks(path, fields, size, (_dtype(fields), axes, sizes, channels))
    except ValueError as error:
        raise unreadable(path, error) from error
    shape = spatial_shape(sizes, path)

    def read() -> np.ndarray:
        found = read_blocks(blocks).reshape((channels, *shape), order="F")
        return found[0] if channels == 1 else np.moveaxis(found, 0, -1)

    return ImageFile(path, shape, affine, read, channels, tags=fields)


def _read_header(path: Path) -> tuple[dict[str, str], int]:
    """Fields by lower-case name, those of the last one with the lines after it, and the bytes of the header."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        start = file.read(LONGEST_HEADER)
    place = 0
    while place < len(start) and LAST_FIELD not in fields:
        end = start.find(b"\n", place)
        end = len(start) if end < 0 else end
        name, found, value = start[place:end].decode("latin-1").partition("=")
        if found and len(name) < 80:
            fields[name.strip().lower()] = value.strip()
        place = end + 1
    if fields.get(LAST_FIELD, "").upper().startswith("LIST"):
        fields["listed"] = start[place:].decode("latin-1")
    return fields, place


def _dtype(fields: dict[str, str]) -> np.dtype:
    name = fields.get("elementtype", "").upper()
    code = TYPES.get(name.removeprefix("MET_").removesuffix("_ARRAY").lower())
    if code is None or not name.startswith("MET_"):
        raise ValueError(f"its voxels have the unknown type {name[:40]!r}")
    big = fields.get("elementbyteordermsb", fields.get("binarydatabyteordermsb", "False"))
    return np.dtype((">" if _is_true(big) else "<") + code)


def _is_true(text: str) -> bool:
    return text[:1].lower() in ("t", "y", "1")


def _lattice(fields: dict[str, str], axes: int) -> np.ndarray:
    affine = np.eye(axes + 1)
    direction = next((fields[name] for name in DIRECTIONS if name in fields), None)
    if direction is not None:
        affine[:axes, :axes] = np.array(numbers(direction, axes * axes, "TransformMatrix")).reshape(axes, axes).T
    origin = next((fields[name] for name in ORIGINS if name in fields), None)
    if origin is not None:
        affine[:axes, axes] = numbers(origin, axes, "Offset")
    spacing = fields.get("elementspacing", fields.get("elementsize"))
    if spacing is not None:
        steps = numbers(spacing, axes, "ElementSpacing")
        if min(steps[:3]) <= 0:
            raise ValueError(f"its voxel spacing must be positive, got {spacing}")
        affine[:axes, :axes] *= steps
    kept = [*range(min(3, axes)), axes]
    return affine[np.ix_(kept, kept)]


def _blocks(
    path: Path, fields: dict[str, str], size: int, content: tuple[np.dtype, int, list[int], int]
) -> list[Block]:
    dtype, axes, sizes, channels = content
    count = math.prod(sizes) * channels
    where = fields.get(LAST_FIELD, "")
    if not where:
        raise ValueError("its header has no end (ElementDataFile)")
    encoding = "gzip" if _is_true(fields.get("compresseddata", "False")) else "raw"
    if not _is_true(fields.get("binarydata", "True")):
        encoding = "text"
    skip = whole_numbers(fields.get("headersize", "0"), 1, "HeaderSize")[0]
    names = _names(where, fields.get("listed", ""), axes, sizes)
    files = [path] if names is None else data_files(path, names)
    if count % len(files) or skip < -1:
        raise ValueError(f"its {count} values do not spread evenly over {len(files)} files")
    offset = size if names is None else (None if skip == -1 and encoding == "raw" else max(0, skip))
    return [Block(file, dtype, count // len(files), encoding, offset) for file in files]


def _names(where: str, listed: str, axes: int, sizes: list[int]) -> list[str] | None:
    """Of the files that hold the voxels; None: they follow the header."""
    if where.upper() == "LOCAL":
        return None
    each = re.fullmatch(r"LIST(?:\s+(\d{1,2}))?D?", where, re.IGNORECASE)
    if each:
        together = int(each[1]) if each[1] else axes - 1
        wanted = math.prod(sizes[together:])
        names = [line.strip() for line in listed.splitlines() if line.strip()][: max(0, wanted)]
        if len(names) < wanted or wanted < 1:
            raise ValueError(f"it lists {len(names)} files for {wanted} parts")
        return names
    pattern = re.fullmatch(r"(\S*%\S*)\s+(-?\d{1,9})\s+(-?\d{1,9})\s+(-?\d{1,9})", where)
    return numbered_names(pattern[1], *map(int, pattern.groups()[1:])) if pattern else [where]
