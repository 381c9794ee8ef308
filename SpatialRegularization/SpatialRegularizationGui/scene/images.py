"""Hold images and displacement fields as arrays on grids of patient space, without VTK and MRML."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SpatialRegularizationLib.geometry.grid import Grid


@dataclass(frozen=True)
class Image:
    """Voxels and where they lie.

    Args:
        values: (i, j, k), any type.
        grid: of the same shape, mm LPS.
    """

    values: np.ndarray
    grid: Grid

    def __post_init__(self) -> None:
        if tuple(self.values.shape) != self.grid.shape:
            raise ValueError(f"Image values must be {self.grid.shape} as their grid, got {tuple(self.values.shape)}.")


def total_displacement(affine: np.ndarray, displacement: np.ndarray | None, grid: Grid) -> np.ndarray:
    """φ(x) - x = B (x + d(x)) - x on a grid, that of d: (3, i, j, k) float32, mm LPS, the first axes fastest in memory.

    Where d is None, φ is B alone.
    """
    total = np.empty((3, *grid.shape), dtype=np.float32, order="F")
    # in planes, because positions are float64
    linear, axes = affine[:3, :3], np.meshgrid(*[np.arange(n) for n in grid.shape[:2]], indexing="ij")
    for k in range(grid.shape[2]):
        x = grid.index_to_point(np.stack([*axes, np.full_like(axes[0], k)], axis=-1))
        bent = x if displacement is None else x + np.moveaxis(displacement[..., k], 0, -1)
        moved = bent @ linear.T + affine[:3, 3]
        total[..., k] = np.moveaxis(moved - x, -1, 0)
    return total
