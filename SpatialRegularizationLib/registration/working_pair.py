"""Bring two volumes from patient space to tensors on one grid of equal voxels: the door into voxels.

The fixed image is brought onto the working grid. The moving image is read once through the affine start onto a lattice
with the same voxels that reaches as far beyond the fixed field of view as the moving image does (at most `MARGIN_MM`), so
that anatomy outside of the fixed field of view can still move in.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..fields.resize import antialias_sigma, gaussian_smooth, resample_axes, shrink
from ..fields.sampling import sample_linear, warp
from ..geometry.grid import Grid
from ..geometry.volume import Volume
from ..transforms.mapping import affine_coordinates

MARGIN_MM = 60.0
PLANES_VOXELS = 1 << 20


def working_pair(
    images: tuple[Volume, Volume],
    masks: tuple[Volume | None, Volume | None],
    grid: Grid,
    affine: np.ndarray,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> TensorPair:
    """Both prepared images on the working grid.

    Args:
        images: fixed and moving, intensities prepared, (1, i, j, k) float.
        masks: of each, on its image's grid, or None.
        grid: working grid, same end voxels as the fixed grid.
        affine: B, 4x4 LPS mm, fixed to moving.
        device, dtype: of the result.
    """
    fixed, moving = images
    wide, offset = _grown(grid, moving.grid, affine)
    reach = read_through(moving, wide, affine, fill=float(moving.data.min()))
    mask = None if masks[0] is None else shrink(masks[0].data[None].to(dtype), grid.shape)
    inside = None
    if masks[1] is not None:
        inside = read_through(masks[1].with_data(masks[1].data.to(torch.float32)), wide, affine, fill=0.0)
    return TensorPair(
        shrink(fixed.data[None].to(device=device, dtype=dtype), grid.shape),
        reach.to(device=device, dtype=dtype),
        tuple(float(o) for o in offset),
        None if mask is None else mask.to(device),
        None if inside is None else inside.to(device=device, dtype=dtype),
        grid.extent,
    )


def _grown(grid: Grid, moving: Grid, affine: np.ndarray) -> tuple[Grid, tuple[int, ...]]:
    """The working grid extended to where the moving image has data, and where voxel 0 of the original lies in it."""
    ends = [(0, n - 1) for n in moving.shape]
    corners = moving.index_to_point(np.array(list(itertools.product(*ends))))
    back = np.linalg.inv(affine)
    index = grid.point_to_index(corners @ back[:3, :3].T + back[:3, 3])
    most = [int(MARGIN_MM / s) for s in grid.spacing]
    low = [min(m, _voxels(-v)) for v, m in zip(index.min(0), most, strict=True)]
    high = [min(m, _voxels(v - (n - 1))) for v, n, m in zip(index.max(0), grid.shape, most, strict=True)]
    shape = tuple(n + a + b for n, a, b in zip(grid.shape, low, high, strict=True))
    origin = tuple(grid.index_to_point(-np.array(low, dtype=float)))
    return Grid(shape, grid.spacing, origin, grid.direction), tuple(low)


def _voxels(length: float) -> int:
    """Whole voxels that a length takes; rounding of matrix products is none."""
    return max(0, math.ceil(length - 1e-6))


def read_through(volume: Volume, grid: Grid, affine: np.ndarray, *, fill: float | None = None) -> Tensor:
    """volume(B x) on the voxels of a grid, smoothed first where the grid is coarser: (1, 1, *grid.shape) float32.

    Args:
        volume: (1, i, j, k).
        grid: where the values are wanted, in the patient space of the fixed image.
        affine: B, 4x4 LPS mm, fixed to moving.
        fill: value outside of the volume; None repeats the border value.
    """
    matrix = np.linalg.inv(volume.grid.affine) @ affine @ grid.affine
    data = volume.data[None].to(torch.float32)
    data = gaussian_smooth(data, tuple(antialias_sigma(max(1.0, s)) for s in np.abs(matrix[:3, :3]).max(1)))
    out = torch.empty(1, 1, *grid.shape)
    planes = max(1, PLANES_VOXELS // max(1, math.prod(grid.shape[1:])))
    for start in range(0, grid.shape[0], planes):
        part = slice(start, min(start + planes, grid.shape[0]))
        positions = affine_coordinates(matrix, grid.shape, part).to(torch.float32)
        out[:, :, part] = sample_linear(data, positions[None], fill=fill)
    return out


@dataclass(frozen=True)
class TensorPair:
    """Two images on lattices of the same voxel size.

    Args:
        fixed: (1, C, *s).
        moving: (1, C, *t); may reach beyond the fixed grid.
        offset: where fixed voxel 0 lies in the moving lattice, voxels along each axis.
        mask: (1, 1, *s), 1 where the similarity counts; None: everywhere.
        moving_mask: (1, 1, *t), the same for the moving image, asked where a fixed voxel has been carried to.
        extent: length of the fixed grid between its end voxels along each axis, in any unit; None: cubic voxels.
    """

    fixed: Tensor
    moving: Tensor
    offset: tuple[float, ...]
    mask: Tensor | None = None
    moving_mask: Tensor | None = None
    extent: tuple[float, ...] | None = None

    def at_level(self, factor: float) -> TensorPair:
        """The pair on a lattice `factor` times coarser along every axis (smoothed against aliasing)."""
        shape = level_shape(tuple(self.fixed.shape[2:]), factor)
        if shape == tuple(self.fixed.shape[2:]):
            return self
        step = tuple((n - 1) / (m - 1) if m > 1 else 1.0 for n, m in zip(self.fixed.shape[2:], shape, strict=True))
        margin = tuple(int(o / f + 1e-9) for o, f in zip(self.offset, step, strict=True))
        start = tuple(o - m * f for o, m, f in zip(self.offset, margin, step, strict=True))
        count = tuple(
            max(1, int((n - 1 - b) / f + 1e-9) + 1)
            for n, b, f in zip(self.moving.shape[2:], start, step, strict=True)
        )
        moving, moving_mask = (
            None if x is None else resample_axes(x, start, step, count) for x in (self.moving, self.moving_mask)
        )
        mask = None if self.mask is None else shrink(self.mask, shape)
        offset = tuple(float(m) for m in margin)
        return TensorPair(shrink(self.fixed, shape), moving, offset, mask, moving_mask, self.extent)

    @property
    def masked(self) -> bool:
        """Whether the similarity counts somewhere only."""
        return self.mask is not None or self.moving_mask is not None

    @torch.no_grad()
    def weight(self, u: Tensor) -> Tensor | None:
        """(1, 1, *s): 1 where both masks hold once fixed voxels are carried by u (1, 3, *s); None without masks."""
        both = self.mask
        if self.moving_mask is not None:
            carried = warp(self.moving_mask, u, fill=0.0, offset=self.offset)
            both = carried if both is None else both * carried
        return None if both is None else (both >= 0.5).to(u.dtype)


def level_shape(shape: tuple[int, ...], factor: float) -> tuple[int, ...]:
    """Voxels per axis on a lattice `factor` times coarser; thin axes keep at least 8 voxels (or what they have)."""
    return tuple(min(n, max(8, round((n - 1) / factor) + 1)) for n in shape)
