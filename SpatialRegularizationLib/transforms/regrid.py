"""Fields from one lattice to another of the same patient space: from a network's grid onto that of the fixed image.

With S the index-to-millimeter matrix of the source and T that of the target, the position of target voxel q is p = S⁻¹ T q, and

    scalar:   a_T(q) = a_S(p),          displacement in voxels:   u_T(q) = (T⁻¹ S) u_S(p).

Beyond the source's outermost voxel centers the border value is repeated.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..fields.resize import interpolate_axes
from ..fields.sampling import sample_linear
from ..geometry.grid import Grid
from .mapping import POINTS_PER_SLAB, affine_coordinates

ALIGNED_VOXELS = 1e-3
"""Axes count as aligned where the tilt moves no voxel of the target by more than this, in source voxels."""


def regrid(values: Tensor, source: Grid, target: Grid) -> Tensor:
    """A scalar field (or several) on another lattice.

    Args:
        values: (1, C, *source.shape).
        source: where it lies.
        target: where it is wanted, any spacing and direction.

    Returns:
        (1, C, *target.shape), linear interpolation; the same values where the lattices coincide.
    """
    matrix = np.linalg.inv(source.affine) @ target.affine
    axes = _aligned_axes(matrix, target.shape)
    if axes is None:
        return _carried_obliquely(values, matrix, target.shape)
    turned = values.permute(0, 1, *[2 + a for a in axes])
    starts = tuple(_rounded(matrix[a, 3]) for a in axes)
    steps = tuple(_rounded(matrix[a, number]) for number, a in enumerate(axes))
    return interpolate_axes(turned, starts, steps, target.shape).contiguous()


def regrid_displacement(u: Tensor, source: Grid, target: Grid) -> Tensor:
    """A displacement (or velocity) in voxels of `source` on another lattice, in voxels of `target`: (1, 3, *target.shape)."""
    linear = (np.linalg.inv(target.affine) @ source.affine)[:3, :3]
    carried = regrid(u, source, target)
    if np.allclose(linear, np.eye(3), rtol=0, atol=1e-9):
        return carried
    return torch.einsum("rc,ncijk->nrijk", torch.from_numpy(linear).to(carried), carried)


def _aligned_axes(matrix: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Source axis that each target axis runs along, or None where the lattices are oblique to one another."""
    linear = matrix[:3, :3]
    axes = tuple(int(a) for a in np.abs(linear).argmax(0))
    if sorted(axes) != [0, 1, 2]:
        return None
    rest = np.abs(linear).copy()
    rest[list(axes), [0, 1, 2]] = 0
    return axes if (rest * (np.array(shape) - 1)).max() < ALIGNED_VOXELS else None


def _rounded(value: float) -> float:
    """Free of the rounding of two matrix products, so that coinciding lattices are recognized."""
    nearest = round(value * 2) / 2
    return float(nearest) if abs(value - nearest) < 1e-6 else float(value)


def _carried_obliquely(values: Tensor, matrix: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    out = values.new_empty(values.shape[0], values.shape[1], *shape)
    planes = max(1, POINTS_PER_SLAB // max(1, int(np.prod(shape[1:]))))
    for start in range(0, shape[0], planes):
        part = slice(start, min(start + planes, shape[0]))
        out[:, :, part] = sample_linear(values, affine_coordinates(matrix, shape, part).to(values)[None])
    return out
