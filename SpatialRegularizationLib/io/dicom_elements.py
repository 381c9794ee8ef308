"""Read the elements of a DICOM file that place and scale its pixels, without decoding anything else.

Values stay as bytes until they are asked for; the nested groups of enhanced multi-frame files are flattened, one dictionary for
all frames and one for each.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = b"DICM"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
PLAIN = (IMPLICIT, BIG_ENDIAN, EXPLICIT)
"""Transfer syntaxes of files in which nothing is compressed."""
TRANSFER_SYNTAX, SOP_CLASS, SERIES, FRAME_OF_REFERENCE = 0x00020010, 0x00080016, 0x0020000E, 0x00200052
POSITION, ORIENTATION, SPACING, THICKNESS, GAP = 0x00200032, 0x00200037, 0x00280030, 0x00180050, 0x00180088
ROWS, COLUMNS, SAMPLES, FRAMES = 0x00280010, 0x00280011, 0x00280002, 0x00280008
ALLOCATED, STORED, HIGH_BIT, SIGNED, PHOTOMETRIC = 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280004
INTERCEPT, SLOPE = 0x00281052, 0x00281053
SHARED, PER_FRAME, PIXELS = 0x52009229, 0x52009230, 0x7FE00010
_KEPT = {
    TRANSFER_SYNTAX, SOP_CLASS, SERIES, FRAME_OF_REFERENCE, POSITION, ORIENTATION, SPACING, THICKNESS, GAP, ROWS, COLUMNS,
    SAMPLES, FRAMES, ALLOCATED, STORED, HIGH_BIT, SIGNED, PHOTOMETRIC, INTERCEPT, SLOPE,
}  # fmt: skip
_GROUPS = {0x00209113, 0x00209116, 0x00289110, 0x00289145}
"""Plane position, plane orientation, pixel measures, pixel value transformation: sequences of one item."""
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_UNDEFINED = 0xFFFFFFFF
_LONGEST, _DEEPEST, _MOST_DEFLATED = 4096, 20, 1 << 30


@dataclass
class Elements:
    """What a DICOM file says about its pixels.

    Args:
        values: bytes by tag.
        frames: for each frame what differs from `values`; empty for files without functional groups.
        pixels: where the pixel data start, and their length (None: compressed in parts); None where there are none.
        order: byte order of numbers, "<" or ">".
    """

    values: dict[int, bytes] = field(default_factory=dict)
    frames: list[dict[int, bytes]] = field(default_factory=list)
    pixels: tuple[int, int | None] | None = None
    order: str = "<"

    def text(self, tag: int, frame: int | None = None) -> str:
        """Of an element, "" where there is none."""
        own = self.frames[frame] if frame is not None and self.frames else {}
        return own.get(tag, self.values.get(tag, b"")).decode("latin-1").strip("\0 ")

    def numbers(self, tag: int, count: int, frame: int | None = None) -> tuple[float, ...] | None:
        """Decimal numbers of an element, None where there are none.

        Raises:
            ValueError: another count, or not finite.
        """
        text = self.text(tag, frame)
        if not text:
            return None
        found = tuple(float(part) for part in text.split("\\"))
        if len(found) != count or not all(math.isfinite(number) for number in found):
            raise ValueError(f"element ({tag >> 16:04x},{tag & 0xFFFF:04x}) must hold {count} finite numbers, got {text[:60]!r}")
        return found

    def whole(self, tag: int, default: int = 0) -> int:
        """A 16-bit number."""
        found = self.values.get(tag, b"")
        return struct.unpack(f"{self.order}H", found[:2])[0] if len(found) >= 2 else default


def is_dicom(path: Path) -> bool:
    """Whether a file has the preamble of DICOM, or starts with the first group of a data set, as old files do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] == PREFIX or _is_bare(start)


def _is_bare(start: bytes) -> bool:
    return len(start) == 132 and start[:2] == b"\x08\0" and start[2] <= 0x18 and start[3] == 0


def read_elements(path: Path) -> Elements:
    """What a DICOM file says about its pixels.

    Raises:
        ValueError: its structure is damaged; the message is a reason without the name of the file.
    """
    with path.open("rb") as file, contextlib.closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data:
        found = Elements()
        try:
            bare = data[128:132] != PREFIX
            at = 0 if bare else _read_meta(data, found)
            guessed = EXPLICIT if data[at + 4 : at + 6].isalpha() else IMPLICIT
            syntax = found.text(TRANSFER_SYNTAX) or guessed
            found.order = ">" if syntax == BIG_ENDIAN else "<"
            body = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[at:], _MOST_DEFLATED) if syntax == DEFLATED else data
            walk = _Walk(body, found.order, syntax != IMPLICIT)
            _read_data_set(walk, 0 if syntax == DEFLATED else at, found)
        except (struct.error, IndexError, zlib.error) as error:
            raise ValueError("it ends within its header") from error
        return found


def _read_meta(data: mmap.mmap, found: Elements) -> int:
    """The group 2 elements; returns where the data set starts."""
    at = 132
    while data[at : at + 2] == b"\x02\x00":
        tag, _, at, length = _Walk(data, "<", True).head(at)
        if tag in _KEPT:
            found.values[tag] = data[at : at + length]
        at += length
    return at


def _read_data_set(walk: _Walk, at: int, found: Elements) -> None:
    shared: dict[int, bytes] = {}
    for tag, _, start, length in walk.elements(at, len(walk.data)):
        if tag in _KEPT and length <= _LONGEST:
            found.values[tag] = walk.data[start : start + length]
        elif tag == SHARED:
            shared = next((_flat(walk, item) for item in walk.items(start, length)), {})
        elif tag == PER_FRAME:
            found.frames = [_flat(walk, item) for item in walk.items(start, length)]
        elif tag == PIXELS:
            found.pixels = (start, None if length == _UNDEFINED else length)
            break
    found.values |= shared


def _flat(walk: _Walk, item: tuple[int, int]) -> dict[int, bytes]:
    """The elements of the groups in one item, in one dictionary."""
    kept: dict[int, bytes] = {}
    for tag, _, start, length in walk.elements(*item):
        if tag in _GROUPS:
            for inner in walk.items(start, length):
                for name, _, at, size in walk.elements(*inner):
                    if name in _KEPT and size <= _LONGEST:
                        kept[name] = walk.data[at : at + size]
    return kept


class _Walk:
    """Steps through elements that may be nested."""

    def __init__(self, data: bytes | mmap.mmap, order: str, explicit: bool) -> None:
        self.data, self.order, self.explicit = data, order, explicit

    def head(self, at: int) -> tuple[int, bytes, int, int]:
        """(tag, VR, start of the value, length) of the element at a byte."""
        group, element = struct.unpack_from(f"{self.order}HH", self.data, at)
        tag = group << 16 | element
        if group == 0xFFFE or not self.explicit:
            return tag, b"", at + 8, struct.unpack_from(f"{self.order}I", self.data, at + 4)[0]
        vr = self.data[at + 4 : at + 6]
        if vr in _LONG:
            return tag, vr, at + 12, struct.unpack_from(f"{self.order}I", self.data, at + 8)[0]
        return tag, vr, at + 8, struct.unpack_from(f"{self.order}H", self.data, at + 6)[0]

    def elements(self, at: int, end: int, depth: int = 0) -> Iterator[tuple[int, bytes, int, int]]:
        """The elements from a byte to another (or to the end of the item)."""
        while at < end:
            tag, vr, start, length = self.head(at)
            if tag == _ITEM_END:
                return
            if length != _UNDEFINED and start + length > len(self.data) and tag != PIXELS:
                raise ValueError("it ends within its header")
            yield tag, vr, start, length
            if tag == PIXELS:
                return
            at = self._end(vr, start, length, depth)

    def items(self, at: int, length: int) -> Iterator[tuple[int, int]]:
        """(start, end) of the items of a sequence; the end of one without length is that of the file."""
        end = len(self.data) if length == _UNDEFINED else at + length
        while at < end:
            tag, _, start, size = self.head(at)
            if tag != _ITEM:
                return
            yield start, (len(self.data) if size == _UNDEFINED else start + size)
            at = self._after_item(start, size, 0)

    def after(self, at: int, depth: int) -> int:
        """Where a sequence of unknown length ends that starts at a byte."""
        if depth > _DEEPEST:
            raise ValueError("its sequences are nested too deeply")
        while True:
            tag, _, start, size = self.head(at)
            if tag == _SEQUENCE_END:
                return start
            if tag != _ITEM:
                raise ValueError("a sequence in it has no end")
            at = self._after_item(start, size, depth)

    def _after_item(self, start: int, size: int, depth: int) -> int:
        if size != _UNDEFINED:
            return start + size
        at = start
        while True:
            tag, vr, value, length = self.head(at)
            if tag == _ITEM_END:
                return value
            at = self._end(vr, value, length, depth + 1)

    def _end(self, vr: bytes, start: int, length: int, depth: int) -> int:
        """Where a value ends; one of unknown type and length is a sequence of implicit elements."""
        if length != _UNDEFINED:
            return start + length
        walk = _Walk(self.data, self.order, False) if vr == b"UN" else self
        return walk.after(start, depth)
