"""Surface elements of a binary mask: where its surface is, between the voxels, and how large each piece is.

An element lies at the corner shared by 2x2x2 voxels that are not all inside or all outside. Its area is that of the
surface through the cell of the eight voxel centers: on every face the midpoints of the crossed edges are joined (around
each inside corner where all four are crossed), the joints form closed polygons, and each polygon is filled by triangles
from its center. Nikolov et al., arXiv:1809.04430, weigh surface distances with such areas.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

CORNERS = tuple(itertools.product((0, 1), repeat=3))
"""Cell corners; corner n is bit n of a cell's code."""


def cell_codes(mask: np.ndarray) -> np.ndarray:
    """Which of the eight voxels around each inner corner are inside, as an integer 0 to 255.

    Args:
        mask: (i, j, k), bool.

    Returns:
        (i-1, j-1, k-1), uint8.
    """
    codes = np.zeros(tuple(n - 1 for n in mask.shape), dtype=np.uint8)
    for bit, corner in enumerate(CORNERS):
        window = mask[tuple(slice(c, n - 1 + c) for c, n in zip(corner, mask.shape, strict=True))]
        codes |= window.astype(np.uint8) << np.uint8(bit)
    return codes


@functools.lru_cache(maxsize=16)
def element_areas(spacing: tuple[float, ...]) -> np.ndarray:
    """(256,) area of the surface in a cell for every code, mm²; 0 for all outside and all inside."""
    return np.array([sum(_area(loop, spacing) for loop in _loops(code)) for code in range(256)])


def _area(loop: list[tuple[int, int]], spacing: tuple[float, ...]) -> float:
    corners = np.array(CORNERS, dtype=float) * np.array(spacing)
    points = np.array([(corners[a] + corners[b]) / 2 for a, b in loop])
    spokes = points - points.mean(axis=0)
    return float(np.linalg.norm(np.cross(spokes, np.roll(spokes, -1, axis=0)), axis=1).sum() / 2)


def _loops(code: int) -> list[list[tuple[int, int]]]:
    """Closed polygons of a cell; a polygon is a sequence of crossed edges (pairs of corner numbers)."""
    joined: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for axis, side in itertools.product(range(3), (0, 1)):
        for first, second in _joints(code, [n for n, corner in enumerate(CORNERS) if corner[axis] == side]):
            joined.setdefault(first, []).append(second)
            joined.setdefault(second, []).append(first)
    loops = []
    while joined:
        start = next(iter(joined))
        loop, edge = [start], joined.pop(start)[0]
        while edge != start:
            loop.append(edge)
            neighbors = joined.pop(edge)
            edge = neighbors[1] if neighbors[0] == loop[-2] else neighbors[0]
        loops.append(loop)
    return loops


def _joints(code: int, face: list[int]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs of crossed edges that are joined on a face of four corners."""
    edges = [(a, b) for a, b in itertools.combinations(face, 2) if bin(a ^ b).count("1") == 1]
    crossed = [(a, b) for a, b in edges if (code >> a & 1) != (code >> b & 1)]
    if len(crossed) < 4:
        return [tuple(crossed)] if crossed else []
    inside = [n for n in face if code >> n & 1]
    return [tuple(edge for edge in crossed if n in edge) for n in inside]
