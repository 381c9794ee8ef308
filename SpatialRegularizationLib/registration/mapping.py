"""Where a transform sends points: the door between patient space and the lattice of a field.

Everything reduces to one form on a lattice with index p. With S, T affine and Q linear (float64, 4x4 and 3x3),

    result(p) = T p + Q d(S p)          S: output index → index of the field's grid,   T, Q: → wanted coordinates

so a chain of grids and an affine map is multiplied out first, and every voxel costs one lookup of d.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..fields.sampling import sample_linear
from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform

POINTS_PER_SLAB = 1 << 19
"""Voxels per pass: about 12 MB for each float64 position field."""


def transform_points(transform: SpatialTransform, points: np.ndarray) -> np.ndarray:
    """φ(x) of points, linear interpolation of d in float64.

    Args:
        transform: φ.
        points: (n, 3) mm LPS.

    Returns:
        (n, 3) mm LPS.

    Raises:
        ValueError: points that are not (n, 3) or not finite.
    """
    points = as_points(points)
    matrix = transform.affine_matrix
    if transform.affine_first:
        points = points @ matrix[:3, :3].T + matrix[:3, 3]
    if transform.displacement is not None:
        points = points + displacement_at(transform.displacement, points)
    if not transform.affine_first:
        points = points @ matrix[:3, :3].T + matrix[:3, 3]
    return points


def as_points(points: np.ndarray) -> np.ndarray:
    """The points as a float64 array (n, 3); raises ValueError where that is not what they are."""
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"Points must be an (n, 3) array of mm in LPS, got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError("Points must be finite, got NaN or infinite coordinates.")
    return array


def displacement_at(field: DisplacementField, points: np.ndarray, *, extend: bool = False) -> np.ndarray:
    """d(x) in mm (n, 3) of points (n, 3), float64; zero outside the grid, or the border value if `extend`."""
    index = field.grid.point_to_index(points)
    values = np.zeros_like(index)
    for weight, corner in _corners(field, index):
        values += weight * corner
    if not extend:
        values[~field.grid.contains(points)] = 0
    return values


def displacement_gradient_at(field: DisplacementField, points: np.ndarray) -> np.ndarray:
    """∂d_r/∂x_c (n, 3, 3), dimensionless, of the linear interpolant (border value extended) at points (n, 3)."""
    index = field.grid.point_to_index(points)
    per_index = np.zeros((len(index), 3, 3))
    for axis in range(3):
        for weight, corner in _corners(field, index, differentiate=axis):
            per_index[:, :, axis] += weight * corner
    return per_index @ np.linalg.inv(field.grid.affine)[:3, :3]


def _corners(field: DisplacementField, index: np.ndarray, *, differentiate: int | None = None):
    """(weight (n, 1), vectors (n, 3)) of the eight neighbors of each index; weights differentiated along one axis."""
    shape = np.array(field.grid.shape)
    clamped = np.clip(index, 0, shape - 1)
    low = np.minimum(np.floor(clamped), np.maximum(shape - 2, 0)).astype(np.int64)
    fraction = clamped - low
    outside = (index < 0) | (index > shape - 1)
    flat = field.vectors.detach().cpu().reshape(3, -1)
    for bits in np.ndindex(2, 2, 2):
        upper = np.array(bits)
        corner = np.minimum(low + upper, shape - 1)
        parts = np.where(upper, fraction, 1 - fraction)
        if differentiate is not None:
            parts[:, differentiate] = np.where(outside[:, differentiate], 0, 1.0 if upper[differentiate] else -1.0)
        position = torch.from_numpy(np.ravel_multi_index(corner.T, field.grid.shape))
        yield parts.prod(axis=1)[:, None], flat[:, position].T.to(torch.float64).numpy()


@dataclass(frozen=True)
class LatticeMap:
    """p ↦ T p + Q d(S p) for the indices of an output lattice, evaluated in slabs of its first axis.

    Args:
        shape: the output lattice.
        direct: T, 4x4.
        spread: Q, 3x3, mm to wanted coordinates.
        lookup: S, 4x4.
        field: d, or None.
    """

    shape: tuple[int, ...]
    direct: np.ndarray
    spread: np.ndarray
    lookup: np.ndarray
    field: DisplacementField | None

    @classmethod
    def of(cls, transform: SpatialTransform, grid: Grid, target: np.ndarray) -> LatticeMap:
        """φ of the voxel centers of `grid`, then the affine map `target` (4x4, LPS mm to wanted coordinates)."""
        affine, field = transform.affine_matrix, transform.displacement
        before = affine @ grid.affine if transform.affine_first else grid.affine
        after = target if transform.affine_first else target @ affine
        lookup = np.eye(4) if field is None else np.linalg.inv(field.grid.affine) @ before
        return cls(grid.shape, target @ affine @ grid.affine, after[:3, :3], lookup, field)

    def slabs(self):
        """Slices of the first axis that hold about `POINTS_PER_SLAB` voxels each."""
        planes = max(1, POINTS_PER_SLAB // max(1, int(np.prod(self.shape[1:]))))
        return [slice(start, min(start + planes, self.shape[0])) for start in range(0, self.shape[0], planes)]

    def coordinates(self, planes: slice) -> Tensor:
        """(3, planes, j, k) float64 wanted coordinates of some planes."""
        out = affine_coordinates(self.direct, self.shape, planes)
        if self.field is not None:
            spread = torch.from_numpy(np.ascontiguousarray(self.spread))
            out += torch.einsum("rc,c...->r...", spread, self._displacements(planes).to(torch.float64))
        return out

    def _displacements(self, planes: slice) -> Tensor:
        vectors = self.field.vectors.detach().cpu()
        if not vectors.is_floating_point() or vectors.dtype.itemsize < 4:
            vectors = vectors.to(torch.float32)
        corner = np.array([*self.shape, 1.0])
        same = np.abs((self.lookup - np.eye(4)) * corner).max() < 1e-6
        if same and self.shape == self.field.grid.shape:
            return vectors[:, planes]
        positions = affine_coordinates(self.lookup, self.shape, planes).to(vectors.dtype)
        return sample_linear(vectors[None], positions[None], fill=0.0)[0]


def affine_coordinates(matrix: np.ndarray, shape: tuple[int, ...], planes: slice) -> Tensor:
    """matrix (4x4) times the indices of some planes of a lattice: (3, planes, j, k), float64."""
    axes = [torch.arange(n, dtype=torch.float64) for n in shape]
    axes[0] = axes[0][planes]
    out = torch.empty(3, *[len(axis) for axis in axes], dtype=torch.float64)
    for row in range(3):
        first = axes[0] * matrix[row, 0] + matrix[row, 3]
        plane = axes[1][:, None] * matrix[row, 1] + axes[2] * matrix[row, 2]
        torch.add(first[:, None, None], plane, out=out[row])
    return out
