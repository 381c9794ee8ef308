"""Resample images, label maps and fields through transforms and onto other grids; values are interpolated once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..fields.resize import interpolate_axes
from ..fields.sampling import sample_linear, sample_nearest
from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from .inverse import invert as invert
from .inverse import invert_displacement as invert_displacement
from .inverse import invert_points as invert_points
from .mapping import POINTS_PER_SLAB, GridMap, affine_coordinates
from .mapping import transform_points as transform_points


def resample(
    volume: Volume, transform: SpatialTransform | None, grid: Grid, *, nearest: bool = False, fill: float = 0.0
) -> Volume:
    """The moving image pulled onto a grid of the fixed space:  out(x) = moving(φ(x)).

    Works in slabs of the output: memory beyond input and output stays below about 50 MB for any size.
    Values between voxel centers are linear, as in ITK; up to half a voxel beyond the outermost centers the border
    value holds, farther away `fill`.

    Args:
        volume: the moving image (C, i, j, k), any dtype.
        transform: φ, or None for the identity.
        grid: where to compute the result.
        nearest: nearest voxel instead of linear interpolation; keeps the dtype.
        fill: value outside of the moving image.

    Returns:
        Volume on `grid`; dtype of the input, but float32 where integers (or half precision) are interpolated.
    """
    image = volume.data.detach().cpu()
    if not nearest and image.dtype not in (torch.float32, torch.float64):
        image = image.to(torch.float32)
    pull = GridMap.of(transform or SpatialTransform(), grid, np.linalg.inv(volume.grid.affine))
    out = _pulled(image, pull, nearest=nearest, fill=fill)
    return Volume(out.to(volume.data.device), grid)


def resample_array(data: Tensor, pull: np.ndarray, shape: tuple[int, ...], *, nearest: bool, fill: float) -> Tensor:
    """Values (C, i, j, k) at the voxels of another lattice, slab by slab: (C, *shape).

    Args:
        data: any dtype where `nearest`, else floating.
        pull: 4x4, indices of the new lattice to indices of the old one.
        shape: of the new lattice.
        nearest: nearest voxel instead of linear interpolation.
        fill: value outside.
    """
    return _pulled(data, GridMap(shape, pull, np.eye(3), np.eye(4), None), nearest=nearest, fill=fill)


def resample_labels(volume: Volume, transform: SpatialTransform | None, grid: Grid) -> Volume:
    """A label map pulled onto a grid, nearest voxel, 0 outside; arguments as `resample`."""
    return resample(volume, transform, grid, nearest=True, fill=0)


def resample_labels_linear(volume: Volume, transform: SpatialTransform | None, grid: Grid) -> Volume:
    """A label map pulled onto a grid: the label with the largest linearly interpolated indicator, 0 outside.

    Equal to interpolating every label's 0/1 image and taking the largest (ties go to the lowest label), but no such
    image is made: at most eight labels meet at a point. Smoother borders than `resample_labels`.

    Args:
        volume: integer labels (1, i, j, k).
        transform: φ, or None for the identity.
        grid: where to compute the result.
    """
    labels = volume.data[0].detach().cpu()
    pull = GridMap.of(transform or SpatialTransform(), grid, np.linalg.inv(volume.grid.affine))
    out = torch.empty(1, *grid.shape, dtype=labels.dtype)
    for planes in pull.slabs():
        out[0, planes] = _heaviest_label(labels, pull.coordinates(planes))
    return Volume(out.to(volume.data.device), grid)


def total_displacement(transform: SpatialTransform, grid: Grid) -> DisplacementField:
    """φ(x) - x on a grid, affine part included, float32 mm LPS."""
    total = GridMap.of(transform, grid, np.eye(4))
    out = torch.empty(3, *grid.shape)
    for planes in total.slabs():
        out[:, planes] = (total.coordinates(planes) - affine_coordinates(grid.affine, grid.shape, planes)).float()
    return DisplacementField(out, grid)


def _pulled(image: Tensor, pull: GridMap, *, nearest: bool, fill: float) -> Tensor:
    sampler = sample_nearest if nearest else sample_linear
    out = torch.empty(image.shape[0], *pull.shape, dtype=image.dtype)
    for planes in pull.slabs():
        positions = pull.coordinates(planes)
        positions = positions if nearest else positions.to(image.dtype)
        out[:, planes] = sampler(image[None], positions[None], fill=fill)[0]
    return out


def _heaviest_label(labels: Tensor, positions: Tensor) -> Tensor:
    """Label with the largest sum of trilinear weights among the eight voxels around each position (3, *t)."""
    shape = torch.tensor(labels.shape).view(3, 1)
    points = positions.reshape(3, -1)
    inside = ((points >= -0.5) & (points <= shape - 0.5)).all(0)
    points = points.clamp(min=torch.zeros(3, 1), max=shape - 1.0)
    low = torch.minimum(points.floor(), (shape - 2).clamp(min=0)).long()
    fraction = points - low
    weights, values = [], []
    for bits in np.ndindex(2, 2, 2):
        upper = torch.tensor(bits).view(3, 1)
        weights.append(torch.where(upper > 0, fraction, 1 - fraction).prod(0))
        corner = torch.minimum(low + upper, shape - 1)
        values.append(labels[corner[0], corner[1], corner[2]])
    weight, value = torch.stack(weights), torch.stack(values)
    best, best_weight = torch.zeros_like(value[0]), torch.full_like(weight[0], -1)
    for candidate in value:
        support = torch.where(value == candidate, weight, 0).sum(0)
        tie = (support - best_weight).abs() < 1e-9
        better = (~tie & (support > best_weight)) | (tie & (candidate < best))
        best, best_weight = torch.where(better, candidate, best), torch.where(better, support, best_weight)
    return torch.where(inside, best, 0).view(positions.shape[1:])


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
