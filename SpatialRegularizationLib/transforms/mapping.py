"""Compute where a transform sends points: the door between patient space and the lattice of a field.

Everything reduces to one form on a lattice with index p. With S, T affine and Q linear (float64, 4x4 and 3x3),

    result(p) = T p + Q d(S p)          S: output index → index of the field's grid,   T, Q: → wanted coordinates

so a chain of grids and an affine map is multiplied out first, and every voxel costs one lookup of d. Where several fields
follow one another, each further one is looked up where the ones before it lead.
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

Link = tuple[np.ndarray, np.ndarray, np.ndarray, "DisplacementField | None"]
"""T, Q, S and d of one link of a chain."""


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
    for part in transform.parts:
        matrix = part.affine_matrix
        if part.affine_first:
            points = points @ matrix[:3, :3].T + matrix[:3, 3]
        if part.displacement is not None:
            points = points + displacement_at(part.displacement, points)
        if not part.affine_first:
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
class GridMap:
    """p ↦ T p + Q d(S p) for the indices of an output lattice, evaluated in slabs of its first axis.

    Args:
        shape: the output lattice.
        direct: T, 4x4.
        spread: Q, 3x3, mm to wanted coordinates.
        lookup: S, 4x4.
        field: d, or None.
        rest: what follows: (direct, spread, lookup, field) of each further link, from mm LPS.
    """

    shape: tuple[int, ...]
    direct: np.ndarray
    spread: np.ndarray
    lookup: np.ndarray
    field: DisplacementField | None
    rest: tuple[Link, ...] = ()

    @classmethod
    def of(cls, transform: SpatialTransform, grid: Grid, target: np.ndarray) -> GridMap:
        """φ of the voxel centers of `grid`, then the affine map `target` (4x4, LPS mm to wanted coordinates)."""
        first, *others = transform.parts
        stops = [np.eye(4)] * len(others) + [target]
        direct, spread, lookup, field = _link(first, grid.affine, stops[0])
        rest = tuple(_link(part, np.eye(4), stop) for part, stop in zip(others, stops[1:], strict=True))
        return cls(grid.shape, direct, spread, lookup, field, rest)

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
        for direct, spread, lookup, field in self.rest:
            moved = _affine_of(direct, out)
            if field is not None:
                vectors = sample_linear(_sampled(field)[None], _affine_of(lookup, out).to(_sampled(field))[None], fill=0.0)[0]
                moved += torch.einsum("rc,c...->r...", torch.from_numpy(spread.copy()), vectors.to(torch.float64))
            out = moved
        return out

    def _displacements(self, planes: slice) -> Tensor:
        vectors = _sampled(self.field)
        corner = np.array([*self.shape, 1.0])
        same = np.abs((self.lookup - np.eye(4)) * corner).max() < 1e-6
        if same and self.shape == self.field.grid.shape:
            return vectors[:, planes]
        positions = affine_coordinates(self.lookup, self.shape, planes).to(vectors.dtype)
        return sample_linear(vectors[None], positions[None], fill=0.0)[0]


def _link(part: SpatialTransform, before: np.ndarray, target: np.ndarray) -> Link:
    """(T, Q, S, d) of one link of a chain, from coordinates that `before` brings to mm LPS to those of `target`."""
    affine, field = part.affine_matrix, part.displacement
    entry = affine @ before if part.affine_first else before
    after = target if part.affine_first else target @ affine
    lookup = np.eye(4) if field is None else np.linalg.inv(field.grid.affine) @ entry
    return target @ affine @ before, after[:3, :3], lookup, field


def _sampled(field: DisplacementField) -> Tensor:
    """The vectors on the CPU, in a precision that can be interpolated."""
    vectors = field.vectors.detach().cpu()
    return vectors.to(torch.float32) if not vectors.is_floating_point() or vectors.dtype.itemsize < 4 else vectors


def _affine_of(matrix: np.ndarray, points: Tensor) -> Tensor:
    """matrix (4x4) times positions (3, *t), float64."""
    linear, shift = torch.from_numpy(matrix[:3, :3].copy()), torch.from_numpy(matrix[:3, 3].copy())
    return torch.einsum("rc,c...->r...", linear, points) + shift.view(3, *[1] * (points.dim() - 1))


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
