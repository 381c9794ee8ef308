"""Draw the icon of the extension and the thumbnail of its sample data.

    python scripts/icon.py            # writes into SpatialRegularization/Resources/Icons

The picture is what the extension does: a grid that bends where the regularization weight is small (dark) and stays straight
where it is large (bright). Drawn larger and averaged, so that lines stay smooth and legible at 32 pixels.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np

ICONS = Path(__file__).resolve().parent.parent / "SpatialRegularization" / "Resources" / "Icons"
OVERSAMPLING = 8
COLORS = ((0.00, "#160a3d"), (0.35, "#2f3f8f"), (0.65, "#1f7f8f"), (0.85, "#2fa58a"), (1.00, "#58bd74"))
"""Color of the background along the weight, from free to held together."""
LINES = (0.125, 0.375, 0.625, 0.875)
"""Where the grid lines run before they are bent, as shares of the side."""
LINE_WIDTH = 0.055
CORNER = 0.17
CENTER = (0.5, 0.5)
REACH = 0.36
"""Center and radius of the place that is free to deform."""
TURN = 1.05
"""How far the middle of that place is turned, radians."""


def icon(size: int) -> np.ndarray:
    """The icon as (size, size, 4) uint8."""
    return _drawn(size, size, LINES)


def thumbnail() -> np.ndarray:
    """The same motif with more lines as (280, 260, 4) uint8, in the format of Slicer's sample data."""
    return _drawn(260, 280, tuple(np.linspace(0.08, 0.92, 7)))


def encode(pixels: np.ndarray) -> bytes:
    """An 8 bit RGBA PNG (ISO/IEC 15948) of (rows, columns, 4)."""
    rows, columns = pixels.shape[:2]
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), pixels.reshape(rows, -1)], axis=1)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts)


def write(folder: Path = ICONS) -> None:
    """Both pictures, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SpatialRegularization.png").write_bytes(encode(icon(128)))
    (folder / "SpatialRegularizationSample.png").write_bytes(encode(thumbnail()))


def _drawn(columns: int, rows: int, lines: tuple[float, ...]) -> np.ndarray:
    fine = (rows * OVERSAMPLING, columns * OVERSAMPLING)
    y, x = np.meshgrid(*((np.arange(n) + 0.5) / max(fine) for n in fine), indexing="ij")
    x, y = x + (1 - fine[1] / max(fine)) / 2, y + (1 - fine[0] / max(fine)) / 2
    away = np.hypot(x - CENTER[0], y - CENTER[1])
    free = np.exp(-((away / REACH) ** 4))
    angle = TURN * free * np.exp(-((away / REACH) ** 2))
    bent_x = CENTER[0] + (x - CENTER[0]) * np.cos(angle) - (y - CENTER[1]) * np.sin(angle)
    bent_y = CENTER[1] + (x - CENTER[0]) * np.sin(angle) + (y - CENTER[1]) * np.cos(angle)
    color = _along(1 - free)
    width = LINE_WIDTH * min(1.0, 4.5 / len(lines))
    distance = np.min([np.minimum(abs(bent_x - at), abs(bent_y - at)) for at in lines], axis=0)
    color[distance < width / 2] = 255
    inside = _rounded(x, y, fine)
    pixels = np.concatenate([color * inside[..., None], 255.0 * inside[..., None]], axis=-1)
    mean = pixels.reshape(rows, OVERSAMPLING, columns, OVERSAMPLING, 4).mean(axis=(1, 3))
    alpha = mean[..., 3:] / 255
    mean[..., :3] = np.divide(mean[..., :3], alpha, out=np.zeros_like(mean[..., :3]), where=alpha > 0)
    return mean.round().astype(np.uint8)


def _along(share: np.ndarray) -> np.ndarray:
    places = [place for place, _ in COLORS]
    values = np.array([[int(code[n : n + 2], 16) for n in (1, 3, 5)] for _, code in COLORS], dtype=float)
    return np.stack([np.interp(share, places, values[:, channel]) for channel in range(3)], axis=-1)


def _rounded(x: np.ndarray, y: np.ndarray, fine: tuple[int, int]) -> np.ndarray:
    """1 inside a rectangle with round corners that fills the picture, else 0."""
    half = np.array([fine[1], fine[0]]) / max(fine) / 2
    outside_x = np.maximum(abs(x - 0.5) - (half[0] - CORNER), 0)
    outside_y = np.maximum(abs(y - 0.5) - (half[1] - CORNER), 0)
    return (np.hypot(outside_x, outside_y) <= CORNER).astype(float)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


if __name__ == "__main__":
    write()
    sys.exit(0)
