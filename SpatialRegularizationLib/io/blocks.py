"""Read a file's voxels as bytes, plain, compressed or text: at most as many as its header says and the file can hold.

Nothing is allocated before the size of the file allows it, and the reading goes in small steps, between which signals arrive.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

STEP = 1 << 23
"""Bytes that are read at once."""
COMPRESSED_STEP = {"gzip": 1 << 14, "bzip2": 1 << 9}
"""The same where a byte may stand for many."""
LARGEST_RATIO = {"raw": 1.0, "gzip": 1100.0, "bzip2": 3e4, "text": 1.0, "hex": 0.5}
"""Bytes of voxels (of "text": numbers) that one byte of the file can stand for."""
GZIP, BZIP2 = b"\x1f\x8b", b"BZh"
CHECKSUM = 1 << 16
"""Bytes that are read beyond the last voxel, so that the checksum at the end of a compressed file is looked at."""
TOKENS = 1 << 16


@dataclass(frozen=True)
class Block:
    """A run of voxels in a file.

    Args:
        path: the file; it exists.
        dtype: of one value, with its byte order.
        count: values.
        encoding: "raw", "gzip" (zlib, too), "bzip2", "text" (numbers apart by spaces) or "hex".
        offset: byte of the file at which they start, compressed or not; None: they are the last bytes of the file.
        skip: bytes to leave out after decompressing.
    """

    path: Path
    dtype: np.dtype
    count: int
    encoding: str = "raw"
    offset: int | None = 0
    skip: int = 0


def read_blocks(blocks: Sequence[Block]) -> np.ndarray:
    """The values of all blocks one after another, 1-D, in the byte order of the files.

    Raises:
        ValueError: a file ends early or is damaged; the message is a reason, without the name of the image.
        OSError: a file cannot be read.
    """
    for block in blocks:
        _check_size(block)
    out = np.empty(sum(block.count for block in blocks), dtype=blocks[0].dtype)
    start = 0
    for block in blocks:
        _read(block, out[start : start + block.count])
        start += block.count
    return out


def first_bytes(path: Path, count: int) -> tuple[bytes, str]:
    """The first bytes of a file, decompressed if it is a gzip file whatever it is called, and its encoding.

    Raises:
        ValueError: it is damaged.
    """
    with path.open("rb") as file:
        start = file.read(count)
        if not start.startswith(GZIP):
            return start, "raw"
        file.seek(0)
        found = b""
        for piece in _pieces(file, "gzip"):
            found += piece
            if len(found) >= count:
                break
    return found[:count], "gzip"


def _check_size(block: Block) -> None:
    size = block.path.stat().st_size
    room = (size - (block.offset or 0)) * LARGEST_RATIO[block.encoding] - block.skip
    needed = block.count * (1 if block.encoding == "text" else block.dtype.itemsize)
    if needed > room:
        raise ValueError(f"{block.path.name} has {size} bytes, too few for {block.count} values of {block.dtype.name}")


def _read(block: Block, out: np.ndarray) -> None:
    with block.path.open("rb") as file:
        if block.offset is None:
            file.seek(-out.nbytes, 2)
        else:
            file.seek(block.offset + (block.skip if block.encoding == "raw" else 0))
        if block.encoding == "raw":
            _fill_plain(file, memoryview(out.view(np.uint8)))
        elif block.encoding == "text":
            _fill_numbers(file.read(), out)
        elif block.encoding == "hex":
            _fill_hex(file.read(), out)
        else:
            _fill_pieces(_pieces(file, block.encoding), memoryview(out.view(np.uint8)), block.skip)


def _fill_plain(file: BinaryIO, out: memoryview) -> None:
    done = 0
    while done < len(out):
        count = file.readinto(out[done : done + STEP])
        if not count:
            raise ValueError(f"it ends after {done} of {len(out)} bytes of voxels")
        done += count


def _fill_pieces(pieces: Iterator[bytes], out: memoryview, skip: int) -> None:
    done, beyond = -skip, 0
    for piece in pieces:
        start = max(0, -done)
        part = piece[start : start + len(out) - max(0, done)]
        out[max(0, done) : max(0, done) + len(part)] = part
        beyond += len(piece) - start - len(part)
        done += start + len(part)
        if beyond > CHECKSUM:
            break
    if done < len(out):
        raise ValueError(f"it ends after {max(0, done)} of {len(out)} bytes of voxels")


def _pieces(file: BinaryIO, encoding: str) -> Iterator[bytes]:
    """What the rest of a compressed file holds, its parts one after another; ends early where the file does."""
    decoder, rest = _decoder(encoding), b""
    try:
        while block := rest or file.read(COMPRESSED_STEP[encoding]):
            rest = b""
            yield decoder.decompress(block)
            if decoder.eof:
                rest = decoder.unused_data + file.read(len(BZIP2))
                if not rest.startswith(BZIP2 if encoding == "bzip2" else GZIP):
                    return
                decoder = _decoder(encoding)
    except (zlib.error, OSError) as error:
        raise ValueError(f"its compressed data are damaged ({error})") from error


def _decoder(encoding: str):
    return bz2.BZ2Decompressor() if encoding == "bzip2" else zlib.decompressobj(zlib.MAX_WBITS | 32)


def _fill_numbers(text: bytes, out: np.ndarray) -> None:
    words = text.split(maxsplit=len(out))[: len(out)]
    if len(words) < len(out):
        raise ValueError(f"it ends after {len(words)} of {len(out)} numbers")
    convert = int if out.dtype.kind in "iu" else float
    for start in range(0, len(out), TOKENS):
        try:
            out[start : start + TOKENS] = [convert(word) for word in words[start : start + TOKENS]]
        except (ValueError, OverflowError) as error:
            raise ValueError(f"its text holds something that is no number of type {out.dtype.name}") from error


def _fill_hex(text: bytes, out: np.ndarray) -> None:
    try:
        found = bytes.fromhex(text.decode("ascii"))
    except ValueError as error:
        raise ValueError("its text holds something that is no hexadecimal number") from error
    if len(found) < out.nbytes:
        raise ValueError(f"it ends after {len(found)} of {out.nbytes} bytes of voxels")
    out[:] = np.frombuffer(found[: out.nbytes], dtype=out.dtype)
