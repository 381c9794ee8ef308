"""Invert transforms: φ⁻¹ of points, and the inverse of a field on its own grid.

Both solve  z + d(z) = y  for z. On a lattice the fixed point  z ← y - d(z)  (Chen et al., "A simple fixed-point
approach to invert a deformation field", Medical Physics 35, 2008) converges where |∂d| < 1, one resampling a step;
what it leaves over, and single points, are finished by Newton's method with step halving.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..fields.sampling import sample_linear
from ..fields.vectors import lengths
from ..geometry.displacement import DisplacementField
from ..geometry.transform import SpatialTransform
from .mapping import GridMap, as_points, displacement_at, displacement_gradient_at, transform_points

NEWTON_SHARE = 0.01
"""Once fewer voxels than this share are open, Newton's method finishes them."""


def invert_points(
    transform: SpatialTransform, points: np.ndarray, *, tolerance_mm: float = 1e-3, iterations: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """φ⁻¹(y) of points.

    Near its border a field that does not vanish there leaves gaps and overlaps, because d jumps to zero outside. One
    in an overlap gets the answer inside of the field; one in a gap gets that of the border value extended, and keeps
    its residual.

    Args:
        transform: φ.
        points: y (n, 3) mm LPS.
        tolerance_mm: when a point is good enough.
        iterations: most Newton steps.

    Returns:
        (φ⁻¹(y) (n, 3) mm LPS, residual |φ(φ⁻¹(y)) - y| (n,) in mm). Residuals above the tolerance tell where the
        transform folds, or has a gap: the caller decides what to say.
    """
    points = found = as_points(points)
    for part in reversed(transform.parts):
        found = _invert_link(part, found, tolerance_mm, iterations)
    return found, np.linalg.norm(transform_points(transform, found) - points, axis=1)


def _invert_link(transform: SpatialTransform, points: np.ndarray, tolerance_mm: float, iterations: int) -> np.ndarray:
    """`invert_points` of one affine map with one field."""
    back = np.linalg.inv(transform.affine_matrix)
    found = points if transform.affine_first else points @ back[:3, :3].T + back[:3, 3]
    field = transform.displacement
    if field is not None:
        target = found
        start = target - displacement_at(field, target, extend=True)
        found = _newton(field, target, start, tolerance_mm / 2, iterations)
        free = ~field.grid.contains(found) & ~field.grid.contains(target)
        found = np.where(free[:, None], target, found)
    if transform.affine_first:
        found = found @ back[:3, :3].T + back[:3, 3]
    return found


def invert(
    transform: SpatialTransform, *, tolerance_mm: float = 1e-2, iterations: int = 40
) -> tuple[SpatialTransform, float]:
    """φ⁻¹ as a transform whose fields lie on the same grids, and the largest residual in mm (`invert_displacement`)."""
    inverted, largest = [], 0.0
    for part in reversed(transform.parts):
        back = np.linalg.inv(part.affine_matrix)
        if part.displacement is None:
            inverted.append(SpatialTransform(back))
            continue
        field, residual = invert_displacement(part.displacement, tolerance_mm=tolerance_mm, iterations=iterations)
        inverted.append(SpatialTransform(back, field, affine_first=not part.affine_first))
        largest = max(largest, residual)
    return SpatialTransform.chain(*inverted), largest


def invert_displacement(
    field: DisplacementField, *, tolerance_mm: float = 1e-2, iterations: int = 40
) -> tuple[DisplacementField, float]:
    """e with (id + d)∘(id + e) = id, on the grid of d.

    Args:
        field: d, mm LPS.
        tolerance_mm: |e(y) + d(y + e(y))| at which a voxel is done.
        iterations: most fixed-point steps, and most Newton steps for the voxels left over.

    Returns:
        (e, largest residual in mm). Voxels whose origin y + e(y) lies outside of the grid are solved with the border
        value of d extended, but do not count in the residual: d says nothing about them.
    """
    vectors = field.vectors.detach().cpu().to(torch.float32)
    field = DisplacementField(vectors, field.grid)
    u = field.to_voxels()
    linear = torch.from_numpy(field.grid.affine[:3, :3]).to(torch.float32)
    identity = GridMap.of(SpatialTransform(), field.grid, np.linalg.inv(field.grid.affine))
    out = torch.empty_like(vectors)
    worst = 0.0
    for planes in identity.slabs():
        index = identity.coordinates(planes).to(torch.float32)
        e = _fixed_point(u, linear, index, tolerance_mm, iterations)
        residual = _residual(u, linear, index, e)
        left = residual > tolerance_mm
        if bool(left.any()):
            e[:, left] = _newton_voxels(field, index[:, left], e[:, left], tolerance_mm, iterations)
            residual = _residual(u, linear, index, e)
        worst = max(worst, _largest_inside(residual, index + e, field.grid.shape))
        out[:, planes] = torch.einsum("rc,c...->r...", linear, e)
    return DisplacementField(out, field.grid), worst


def _fixed_point(u: Tensor, linear: Tensor, index: Tensor, tolerance_mm: float, iterations: int) -> Tensor:
    """e (3, planes, j, k) in voxels; voxels that reached the tolerance are left as they are."""
    e = -sample_linear(u[None], index[None])[0]
    for _ in range(iterations):
        following = -sample_linear(u[None], (index + e)[None])[0]
        open_ = lengths(torch.einsum("rc,c...->r...", linear, following - e), 0) > tolerance_mm / 2
        if not bool(open_.any()):
            break
        e = torch.where(open_, following, e)
        if open_.float().mean() < NEWTON_SHARE:
            break
    return e


def _residual(u: Tensor, linear: Tensor, index: Tensor, e: Tensor) -> Tensor:
    """|e + d(y + e)| in mm (planes, j, k)."""
    return lengths(torch.einsum("rc,c...->r...", linear, e + sample_linear(u[None], (index + e)[None])[0]), 0)


def _largest_inside(residual: Tensor, position: Tensor, shape: tuple[int, ...]) -> float:
    last = torch.tensor(shape).view(3, 1, 1, 1) - 1
    inside = ((position >= 0) & (position <= last)).all(0)
    return float(residual[inside].max()) if bool(inside.any()) else 0.0


def _newton_voxels(field: DisplacementField, index: Tensor, e: Tensor, tolerance_mm: float, iterations: int) -> Tensor:
    """Finish voxels (3, n) given their fixed-point displacement (3, n); voxels in, voxels out."""
    target = field.grid.index_to_point(index.T.numpy())
    start = field.grid.index_to_point((index + e).T.numpy())
    found = _newton(field, target, start, tolerance_mm / 2, iterations)
    return torch.from_numpy((field.grid.point_to_index(found).T - index.numpy()).astype(np.float32))


def _newton(
    field: DisplacementField, target: np.ndarray, start: np.ndarray, tolerance_mm: float, iterations: int
) -> np.ndarray:
    """z (n, 3) with z + d(z) = target, border value extended; points that do not get there stay at their best."""
    z = start.copy()
    error = z + displacement_at(field, z, extend=True) - target
    for _ in range(iterations):
        active = np.flatnonzero(np.linalg.norm(error, axis=1) > tolerance_mm)
        if len(active) == 0:
            break
        step = _newton_step(field, z[active], error[active])
        moved = False
        for scale in (1.0, 0.5, 0.25, 0.125, 0.03):
            trial = z[active] - scale * step
            trial_error = trial + displacement_at(field, trial, extend=True) - target[active]
            better = np.linalg.norm(trial_error, axis=1) < np.linalg.norm(error[active], axis=1)
            z[active[better]], error[active[better]] = trial[better], trial_error[better]
            moved = moved or bool(better.any())
            active, step = active[~better], step[~better]
            if len(active) == 0:
                break
        if not moved:
            break
    return z


def _newton_step(field: DisplacementField, z: np.ndarray, error: np.ndarray) -> np.ndarray:
    """(I + ∂d)⁻¹ error, or the error itself (a fixed-point step) where the map is nearly singular or folded."""
    jacobian = np.eye(3) + displacement_gradient_at(field, z)
    regular = np.linalg.det(jacobian) > 1e-3
    step = error.copy()
    step[regular] = np.linalg.solve(jacobian[regular], error[regular][..., None])[..., 0]
    return step
