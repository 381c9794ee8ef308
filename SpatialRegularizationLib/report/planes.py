"""Axial, coronal and sagittal cuts of a volume, in radiological convention, whatever its voxel order.

The cuts follow the voxel axes nearest to the patient axes, so nothing is interpolated. Axial: seen from the feet, the
patient's right is at the left of the picture, anterior on top. Coronal: from the front. Sagittal: anterior at left.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch

from ..geometry.grid import Grid

LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))
"""Where each LPS axis comes from and goes to."""
OBLIQUE = 0.3
"""A second letter is shown when an axis leans towards it by more than this cosine (17 degrees)."""
TILT_COSINE = 0.966
"""Planes whose normal is more than 15 degrees off the patient axis are called oblique."""


@dataclass(frozen=True)
class Plane:
    """One cut orientation of a grid.

    Args:
        name: "Axial", "Coronal" or "Sagittal".
        axes: voxel axes (rows, columns, normal).
        flips: whether (rows, columns, normal) run against the voxel index.
        letters: patient directions at the (left, right, top, bottom) edge.
        size_mm: (height, width) of the picture, mm.
        oblique: True where the normal leans away from the patient axis.
    """

    name: str
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    letters: tuple[str, str, str, str]
    size_mm: tuple[float, float]
    oblique: bool

    def slice_index(self, index: np.ndarray) -> int:
        """The slice number of this plane at a voxel index (3,)."""
        return int(index[self.axes[2]])

    def cut(self, data: torch.Tensor, number: int) -> np.ndarray:
        """(rows, columns) float32 picture of slice `number` of data (i, j, k), or of its only slice."""
        rows, columns, normal = self.axes
        piece = data.select(normal, 0 if data.shape[normal] == 1 else number)
        picture = piece if rows < columns else piece.T
        array = picture.detach().to(torch.float32).cpu().numpy()
        array = array[::-1] if self.flips[0] else array
        return array[:, ::-1] if self.flips[1] else array

    def slice_grid(self, grid: Grid, number: int) -> Grid:
        """The one-voxel-thick grid of slice `number`."""
        start = np.zeros(3)
        start[self.axes[2]] = number
        shape = tuple(1 if a == self.axes[2] else n for a, n in enumerate(grid.shape))
        return Grid(shape, grid.spacing, tuple(grid.index_to_point(start)), grid.direction)


def patient_planes(grid: Grid) -> tuple[Plane, Plane, Plane]:
    """The axial, coronal and sagittal plane of a 3-D grid."""
    direction = np.array(grid.direction)
    voxel_axis = max(permutations(range(3)), key=lambda p: sum(abs(direction[r, p[r]]) for r in range(3)))
    layout = (("Axial", 1, 0, 2, False), ("Coronal", 2, 0, 1, True), ("Sagittal", 2, 1, 0, True))
    return tuple(_plane(grid, direction, voxel_axis, *entry) for entry in layout)


def spread_slices(grid: Grid, foreground: torch.Tensor, plane: Plane, count: int) -> list[int]:
    """`count` slice numbers, from low to high, over the middle 80 % of the foreground (i, j, k) along the normal."""
    normal = plane.axes[2]
    weights = (
        foreground.to(torch.float32).sum(dim=[a for a in range(3) if a != normal]).cpu().numpy().astype(np.float64)
    )
    if weights.sum() <= 0:
        weights = np.ones(grid.shape[normal])
    cumulative = np.cumsum(weights) / weights.sum()
    low, high = np.searchsorted(cumulative, (0.05, 0.95))
    numbers = np.linspace(low, high, count).round().astype(int)
    return sorted(numbers.tolist(), reverse=plane.flips[2])


def _plane(grid: Grid, direction: np.ndarray, voxel_axis: tuple[int, ...], *entry: object) -> Plane:
    name, row, column, normal, up = entry  # patient axes of rows, columns, normal; up: rows run against the axis
    axes = (voxel_axis[row], voxel_axis[column], voxel_axis[normal])
    row_flip = bool(direction[row, axes[0]] < 0) != up
    column_flip = bool(direction[column, axes[1]] < 0)
    down = -direction[:, axes[0]] if row_flip else direction[:, axes[0]]
    right = -direction[:, axes[1]] if column_flip else direction[:, axes[1]]
    size = tuple(grid.shape[a] * grid.spacing[a] for a in axes[:2])
    return Plane(
        name=name,
        axes=axes,
        flips=(row_flip, column_flip, bool(direction[normal, axes[2]] < 0)),
        letters=(_letters(-right), _letters(right), _letters(-down), _letters(down)),
        size_mm=size,
        oblique=bool(abs(direction[normal, axes[2]]) < TILT_COSINE),
    )


def _letters(vector: np.ndarray) -> str:
    """The patient direction of a unit LPS vector: "L", or "LA" where it leans."""
    order = np.argsort(-np.abs(vector))
    chosen = [a for rank, a in enumerate(order) if rank == 0 or abs(vector[a]) > OBLIQUE]
    return "".join(LETTERS[a][int(vector[a] > 0)] for a in chosen)
