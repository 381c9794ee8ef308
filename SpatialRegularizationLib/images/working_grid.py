"""The grid to compute on, and how much of it two images share."""

from __future__ import annotations

import math

import numpy as np

from ..geometry.grid import Grid

ISOTROPIC_ENOUGH = 1.5
"""Ratio of the largest to the smallest voxel spacing up to which the image's own lattice is kept."""


SMALLEST_OVERLAP = 0.05
"""Least share of one field of view that must lie in the other."""


def overlap_share(fixed: Grid, moving: Grid, affine: np.ndarray) -> float:
    """Share of the fixed field of view that `affine` (4x4, fixed → moving, mm LPS) carries into the moving one."""
    axes = [np.linspace(0, n - 1, min(n, 24)) for n in fixed.shape]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, fixed.dimension)
    points = fixed.index_to_point(index) @ affine[:3, :3].T + affine[:3, 3]
    return float(moving.contains(points).mean())


def check_overlap(fixed: Grid, moving: Grid, affine: np.ndarray) -> float:
    """The share of the fixed field of view in the moving one, refused where there is too little to register.

    Raises:
        ValueError: less than `SMALLEST_OVERLAP` of either field of view lies in the other.
    """
    share = overlap_share(fixed, moving, affine)
    if max(share, overlap_share(moving, fixed, np.linalg.inv(affine))) < SMALLEST_OVERLAP:
        distance = float(np.linalg.norm(affine[:3, :3] @ fixed.center + affine[:3, 3] - np.array(moving.center)))
        raise ValueError(
            f"Fixed and moving image overlap in {100 * share:.1f} % of the fixed field of view, at least "
            f"{100 * SMALLEST_OVERLAP:g} % is needed (their centers are {distance:.0f} mm apart); use an affine start "
            "or give an initial transform."
        )
    return share


def working_grid(fixed: Grid, *, spacing_mm: float | None = None, max_voxels: int) -> Grid:
    """The lattice to compute on: the fixed one, made as isotropic as it allows and small enough.

    A nearly isotropic lattice (`ISOTROPIC_ENOUGH`) is kept. Thick slices are evened out to the geometric mean of the
    spacings: about as many voxels as the data has, evenly spread, so that a window or a smoothness term means the same
    length along every axis. Too many voxels: the finest axes are coarsened until they fit. First and last voxel centers
    stay where they are.

    Args:
        fixed: grid of the fixed image.
        spacing_mm: asked-for spacing of all axes, mm; None decides as above.
        max_voxels: most voxels.

    Returns:
        The grid; equal to `fixed` where nothing is to be done.
    """
    target = np.array(fixed.spacing)
    if spacing_mm is not None:
        target = np.full(fixed.dimension, float(spacing_mm))
    elif target.max() > ISOTROPIC_ENOUGH * target.min():
        target = np.full(fixed.dimension, float(np.prod(target)) ** (1 / fixed.dimension))
    finest = 0.0
    while math.prod(_shape_at(fixed, np.maximum(target, finest))) > max_voxels:
        finest = max(1.02 * finest, float(target.min()))
        if finest > max(fixed.extent):
            break
    return fixed.resized(_shape_at(fixed, np.maximum(target, finest)))


def _shape_at(grid: Grid, spacing: np.ndarray) -> tuple[int, ...]:
    """Voxels per axis that keep the end centers in place at about this spacing, at least two where there were two."""
    return tuple(
        1 if n == 1 else max(2, 1 + round(extent / s))
        for n, extent, s in zip(grid.shape, grid.extent, spacing, strict=True)
    )


def describe_working_grid(fixed: Grid, working: Grid) -> str:
    """One sentence for the report about the resolution that was worked at."""
    if working.matches(fixed):
        return f"Worked at the resolution of the fixed image, {fixed.describe()}."
    return f"Worked at {working.describe()}; the fixed image has {fixed.describe()}."
