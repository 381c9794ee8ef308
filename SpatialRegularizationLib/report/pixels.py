"""Color arrays and write them as small PNG files (ISO/IEC 15948) without a plotting package."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass

import numpy as np

MARK = 255
"""Palette index kept for marked pixels (folds, places outside an image)."""


@dataclass(frozen=True)
class ColorMap:
    """Colors along [0, 1], linear between equidistant control points, and one color for marked pixels.

    Args:
        points: "#rrggbb" at equal distances from 0 to 1, at least two.
        mark: "#rrggbb" of marked pixels.
    """

    points: tuple[str, ...]
    mark: str = "#000000"

    def palette(self) -> np.ndarray:
        """(256, 3) uint8; the first 255 entries run from 0 to 1, the last is the mark."""
        colors = np.array([_rgb(point) for point in self.points], dtype=np.float64)
        where = np.linspace(0, len(colors) - 1, MARK)
        columns = [np.interp(where, np.arange(len(colors)), colors[:, c]) for c in range(3)]
        return np.vstack([np.stack(columns, axis=1).round(), _rgb(self.mark)]).astype(np.uint8)


GRAY = ColorMap(("#000000", "#ffffff"))
WEIGHT = ColorMap(("#1d1147", "#3a3a8c", "#2a6f97", "#2a9d8f", "#8ac45a", "#f4e96b"))
"""Perceptually ordered (lightness only rises), for λ: dark is free to deform, bright is held together."""
DIFFERENCE = ColorMap(("#1f4fa3", "#8fb3e0", "#ffffff", "#e9a08f", "#b3261e"), mark="#d9d9d9")
"""Diverging around 0, for signed differences of intensity."""
VOLUME_CHANGE = ColorMap(("#1b3f8b", "#7fa6dc", "#ffffff", "#f0b56b", "#9a5a00"), mark="#e00000")
"""Diverging around 0, for the log-Jacobian; red is kept for folds."""


@dataclass(frozen=True)
class Bar:
    """A color bar: its map, tick texts at shares 0 to 1, and what the two ends mean."""

    color_map: ColorMap
    ticks: tuple[tuple[float, str], ...]
    low: str = ""
    high: str = ""

    @classmethod
    def over(cls, color_map: ColorMap, low: float, high: float, digits: str, ends: tuple[str, str]) -> Bar:
        """With ticks at both ends and in the middle of a range, written in a format such as ".3f"."""
        ticks = tuple((share, format(low + share * (high - low), digits)) for share in (0.0, 0.5, 1.0))
        return cls(color_map, ticks, *ends)


def indices(values: np.ndarray, low: float, high: float, *, marked: np.ndarray | None = None) -> np.ndarray:
    """Palette indices (uint8) of values, low → 0 and high → 254, clamped; marked (or NaN) pixels → `MARK`."""
    span = high - low if high > low else 1.0
    scaled = np.clip((np.nan_to_num(values.astype(np.float64)) - low) / span, 0, 1) * (MARK - 1)
    index = scaled.round().astype(np.uint8)
    hidden = np.isnan(values) if marked is None else marked | np.isnan(values)
    index[hidden] = MARK
    return index


def encode_png(pixels: np.ndarray, color_map: ColorMap) -> bytes:
    """An indexed PNG (color type 3, 8 bit) of palette indices.

    Args:
        pixels: (rows, columns) uint8.
        color_map: its palette.
    """
    rows, columns = pixels.shape
    lines = np.zeros((rows, columns + 1), dtype=np.uint8)  # filter type 0 before each line
    lines[:, 1:] = pixels
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", color_map.palette().tobytes()),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def data_uri(pixels: np.ndarray, color_map: ColorMap) -> str:
    """The same PNG as a `data:` address for a page without other files."""
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels, color_map)).decode("ascii")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
