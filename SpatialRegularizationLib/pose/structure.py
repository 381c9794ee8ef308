"""Describe an image by the orientation of its edges: what two images of one anatomy share whatever their contrasts.

    T(x) = mean over a block of   g gᵀ / (|g|² + ε²),      g: gradient, ε²: its mean square over the image

The structure tensor of the normalized gradient (Haber and Modersitzki, MICCAI 2006, compare two gradients as <T, T'> does). It
does not change where intensities are inverted or scaled, it turns with the image, T(R x) = R T Rᵀ, and averaged over blocks it
keeps the orientation of edges that are much finer than a block, so that a lattice of ten voxels across a head tells where the
nose is. The six entries are stored with the off-diagonal ones times √2: their dot product is that of the matrices, <T, T'> =
tr(T T').
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..fields.sampling import sample_linear, sample_nearest
from ..geometry.grid import Grid
from ..geometry.volume import Volume
from ..transforms.mapping import affine_coordinates

ENTRIES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
"""Which entry of the matrix each of the six channels is."""
COARSEST = 40
"""Voxels at most along the longest axis of the lattice on which the content is measured."""
MASK_MARGIN = 10.0
"""Width by which masks grow, mm: what a boundary looks like from both sides says most about the pose."""
BACKGROUND = 0.06
"""Intensities that differ by less of the range from those at the image's border are background."""
QUIET = 1e-3
"""Gradients below this share of the mean square do not count for ε²: empty space around an image is no noise."""


@dataclass(frozen=True)
class Structure:
    """Structure tensors on a lattice of cubes, in patient axes.

    Args:
        values: (6, i, j, k), 0 outside of the mask.
        inside: (i, j, k), 1 where the image (and its mask) says something.
        grid: of both.
    """

    values: torch.Tensor
    inside: torch.Tensor
    grid: Grid

    @property
    def strength(self) -> torch.Tensor:
        """Trace, (i, j, k): 0 where the image is flat, towards 1 at edges."""
        return self.values[:3].sum(0)

    @property
    def center(self) -> np.ndarray:
        """LPS center of the edges, mm."""
        weight = self.strength.double()
        total = float(weight.sum())
        if total <= 0:
            return np.array(self.grid.center)
        index = [
            float((weight.sum(dim=[b for b in range(3) if b != a]) * torch.arange(n, dtype=torch.float64)).sum()) / total
            for a, n in enumerate(weight.shape)
        ]
        return self.grid.index_to_point(np.array(index))


def structure_of(image: Volume, mask: Volume | None, spacing: float, *, blocks: int) -> Structure:
    """The tensors of an image, gradients taken at `spacing` / `blocks`, averaged over `blocks` voxels along every axis.

    Args:
        image: (1, i, j, k).
        mask: of the image, any grid; None: everywhere.
        spacing: of the lattice, mm.
        blocks: gradient voxels per voxel of the lattice along an axis.
    """
    fine = evenly(image, spacing / blocks)
    gradient = torch.stack([_difference(fine.data[0], axis) for axis in range(3)])
    gradient = torch.einsum("ab,bijk->aijk", torch.tensor(fine.grid.direction, dtype=torch.float32), gradient)
    square = gradient.square().sum(0)
    noise = square[square > QUIET * square.mean()].mean() if bool((square > 0).any()) else square.new_ones(())
    scale = [1.0 if a == b else math.sqrt(2) for a, b in ENTRIES]
    values = torch.stack([s * gradient[a] * gradient[b] for s, (a, b) in zip(scale, ENTRIES, strict=True)]) / (square + noise)
    inside = torch.ones_like(square) if mask is None else held(mask, fine.grid)
    both = torch.cat([values * inside, inside[None]])
    kernel = [min(blocks, n) for n in square.shape]
    both = F.avg_pool3d(both[None], kernel)[0]
    affine = fine.grid.affine
    affine[:3, 3] = fine.grid.index_to_point((np.array(kernel) - 1) / 2)
    affine[:3, :3] *= kernel
    return Structure(both[:6], both[6], Grid.from_affine(affine, tuple(both.shape[1:])))


def evenly(image: Volume, spacing: float) -> Volume:
    """The image on a lattice of cubes, averaged over boxes first where that is coarser than its own: (1, i, j, k) float32.

    An axis of one voxel stays one.
    """
    grid = image.grid
    factors = [max(1, min(n, round(spacing / s))) for n, s in zip(grid.shape, grid.spacing, strict=True)]
    pooled = image.with_data(image.data[:1].float())
    if max(factors) > 1:
        shape = tuple(n // f for n, f in zip(grid.shape, factors, strict=True))
        data = torch.empty(1, *shape)
        for i in range(shape[0]):
            box = image.data[None, :1, i * factors[0] : (i + 1) * factors[0]].float()
            data[:, i] = F.avg_pool3d(box, factors)[0, :, 0]
        affine = grid.affine
        affine[:3, 3] = grid.index_to_point((np.array(factors) - 1) / 2)
        affine[:3, :3] *= factors
        pooled = Volume(data, Grid.from_affine(affine, shape))
    sizes = zip(pooled.grid.shape, pooled.grid.extent, strict=True)
    shape = tuple(1 if n == 1 else max(2, 1 + round(extent / spacing)) for n, extent in sizes)
    where = pooled.grid.resized(shape)
    if where.matches(pooled.grid):
        return pooled
    position = _positions(where, pooled.grid)
    return Volume(sample_linear(pooled.data[None], position)[0], where)


def content_length(image: Volume, mask: Volume | None) -> float:
    """Edge of a cube with the diagonal of the content's box, mm: where windows are not flat, and the mask holds."""
    coarse = evenly(image, max(max(image.grid.extent) / COARSEST, 1e-3))
    data = coarse.data[None]
    mean, square = (F.avg_pool3d(x, 3, 1, 1, count_include_pad=False) for x in (data, data.square()))
    spread = (square - mean.square()).clamp_min(0)[0, 0]
    content = spread > 0.02 * spread.flatten().quantile(0.98)
    if mask is not None:
        content &= held(mask, coarse.grid) > 0
    index = content.nonzero().numpy()
    if not len(index):
        return float(np.linalg.norm(image.grid.extent)) / np.sqrt(3)
    low, high = np.percentile(index, 2, axis=0), np.percentile(index, 98, axis=0)
    return float(np.linalg.norm((high - low + 1) * np.array(coarse.grid.spacing))) / np.sqrt(3)


def grown(mask: Volume) -> Volume:
    """A mask on a coarse lattice (any share of a box counts), wider by `MASK_MARGIN`."""
    coarse = evenly(mask.with_data((mask.data > 0).float()), max(MASK_MARGIN / 3, max(mask.grid.extent) / 100))
    kernel = [2 * round(MASK_MARGIN / s) + 1 for s in coarse.grid.spacing]
    data = (coarse.data > 0).float()
    return coarse.with_data(F.max_pool3d(data[None], kernel, stride=1, padding=[k // 2 for k in kernel])[0])


def inner(image: Volume, mask: Volume | None, margin: float) -> Volume:
    """What lies deeper than `margin`, mm, below the outline of what stands before the background, on a coarse lattice; 0 or 1."""
    coarse = evenly(image, margin / 3)
    data = coarse.data[0]
    faces = torch.cat([data.select(axis, end).flatten() for axis in range(3) for end in (0, -1)])
    lowest, highest = data.aminmax()
    front = ((data - faces.median()).abs() > BACKGROUND * (highest - lowest)).float()[None, None]
    closed = 1 - F.max_pool3d(1 - F.max_pool3d(front, 5, 1, 2), 5, 1, 2)
    deep = 1 - F.max_pool3d(F.pad(1 - closed, (3,) * 6, value=1.0), 7, 1)
    return coarse.with_data(deep[0] if mask is None else deep[0] * held(mask, coarse.grid))


def _difference(data: torch.Tensor, axis: int) -> torch.Tensor:
    return torch.zeros_like(data) if data.shape[axis] == 1 else torch.gradient(data, dim=axis)[0]


def held(mask: Volume, grid: Grid) -> torch.Tensor:
    """1 on the voxels (i, j, k) of a grid that lie in a mask, else 0."""
    return (sample_nearest(mask.data[None, :1].float(), _positions(grid, mask.grid))[0, 0] > 0).float()


def _positions(where: Grid, read: Grid) -> torch.Tensor:
    """(1, 3, i, j, k): where the voxels of one grid lie on another, voxels."""
    return affine_coordinates(np.linalg.inv(read.affine) @ where.affine, where.shape, slice(0, where.shape[0])).float()[None]


def turning(rotations: torch.Tensor) -> torch.Tensor:
    """(…, 6, 6): what brings stored tensors of a turned image into the frame it is seen from, T ↦ Rᵀ T R, for R (…, 3, 3)."""
    basis = _basis(rotations)
    return torch.einsum("lab,...ca,kcd,...db->...lk", basis, rotations, basis, rotations)


def turning_by(generators: torch.Tensor) -> torch.Tensor:
    """(…, 6, 6): how they change as the rotation begins to turn, T ↦ Gᵀ T + T G, for the generators G (…, 3, 3)."""
    basis = _basis(generators)
    half = torch.einsum("lab,kac,...cb->...lk", basis, basis, generators)
    return half + torch.einsum("lab,...ca,kcb->...lk", basis, generators, basis)


def _basis(like: torch.Tensor) -> torch.Tensor:
    """(6, 3, 3): the matrix of each channel."""
    basis = like.new_zeros(6, 3, 3)
    for channel, (a, b) in enumerate(ENTRIES):
        basis[channel, a, b] = basis[channel, b, a] = 1.0 if a == b else math.sqrt(0.5)
    return basis
