"""Jacobian determinants of φ(p) = p + u(p) on the lattice: central, one-sided, and of the tetrahedra of a digital map.

Voxel differences along axis a, e_a one voxel:

    D⁺_a φ(p) = φ(p + e_a) - φ(p)      D⁻_a φ(p) = φ(p) - φ(p - e_a)      D⁰_a = (D⁺_a + D⁻_a) / 2

    J_s(p) = det[ D^s1_x φ, D^s2_y φ, D^s3_z φ ],  s in {+, -}³ (the eight corners)
    J⁰(p)  = det[ D⁰_x φ, D⁰_y φ, D⁰_z φ ]

By multilinearity J⁰ is the mean of the eight. Two central tetrahedra complete the corners to two partitions of each
cell (Y. Liu, J. Chen, S. Wei, A. Carass, J. Prince, On Finite Difference Jacobian Computation in Deformable Image
Registration, IJCV 2024, the equations):

    J*₁(p) = det[ φ(p-e_x-e_y) - φ(p), φ(p-e_x-e_z) - φ(p), φ(p-e_y-e_z) - φ(p) ]
    J*₂(p) = det[ φ(p+e_x+e_y) - φ(p), φ(p+e_y+e_z) - φ(p), φ(p+e_x+e_z) - φ(p) ]

All are dimensionless and equal the determinants of the physical map, for any spacing and direction of the grid.
Everything is computed over slabs of planes that stay in the cache: six differences, four cross products shared by the
eight corners, two diagonal tetrahedra.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

CPU_SLAB_VOXELS = 1 << 16
"""Voxels per slab on the CPU: some thirty buffers of this size stay in the cache."""
DEVICE_SLAB_VOXELS = 1 << 21
"""Voxels per slab on a GPU, where launches cost more than memory."""


@dataclass(frozen=True)
class Determinants:
    """Measures of the map on a slab of planes; each (planes, j, k).

    Args:
        planes: which planes of the result (of the whole lattice, or of its interior) these are.
        central: J⁰.
        smallest_corner: the least of the eight one-sided determinants.
        negative_volume: Σ max(-J, 0) / 12 over the eight corners and both central tetrahedra: non-diffeomorphic volume
            per voxel (1/12 = tetrahedron 1/6, mean of two partitions 1/2).
    """

    planes: slice
    central: Tensor
    smallest_corner: Tensor
    negative_volume: Tensor


def jacobian_determinant(u: Tensor, *, interior: bool = False) -> Tensor:
    """J⁰, the determinant of central differences; more than 1 where a voxel of the fixed image reads a larger region.

    Args:
        u: (N, 3, i, j, k) voxels.
        interior: leave out the outermost voxels instead of repeating the displacement beyond the border.

    Returns:
        (N, 1, i, j, k), or two voxels less along each axis. Differentiable.
    """
    fields = []
    for field in u:
        slabs = [_central(w) for _, w in _slabs(field, interior)]
        fields.append(torch.cat(slabs)[None])
    return torch.stack(fields)


def determinant_slabs(u: Tensor, *, interior: bool = False) -> Iterator[Determinants]:
    """The ten determinants of every voxel, summarized, slab by slab.

    Args:
        u: (3, i, j, k) voxels.
        interior: as `jacobian_determinant`.

    Yields:
        Determinants of consecutive planes along the first axis.
    """
    for planes, w in _slabs(u, interior):
        yield _summarized(planes, w)


def _slabs(u: Tensor, interior: bool) -> Iterator[tuple[slice, Tensor]]:
    """Slabs with one more voxel on every side: planes of the result, (3, planes + 2, j + 2, k + 2)."""
    count = u.shape[1] - 2 if interior else u.shape[1]
    budget = CPU_SLAB_VOXELS if u.device.type == "cpu" else DEVICE_SLAB_VOXELS
    thickness = max(1, budget // (u.shape[2] * u.shape[3]))
    for first in range(0, count, thickness):
        last = min(count, first + thickness)
        if interior:
            yield slice(first, last), u[:, first : last + 2]
            continue
        planes = u[:, max(0, first - 1) : last + 1]
        missing = (int(first == 0), int(last == count))
        yield slice(first, last), torch.nn.functional.pad(planes[None], (1, 1, 1, 1, *missing), mode="replicate")[0]


def _central(w: Tensor) -> Tensor:
    inner = slice(1, -1)
    x = (w[:, 2:, inner, inner] - w[:, :-2, inner, inner]) / 2
    y = (w[:, inner, 2:, inner] - w[:, inner, :-2, inner]) / 2
    z = (w[:, inner, inner, 2:] - w[:, inner, inner, :-2]) / 2
    ones = _unit(w, (0, 1, 2))
    return _dot(x + ones[0], _cross(y + ones[1], z + ones[2]))


def _unit(w: Tensor, axes: tuple[int, ...]) -> list[Tensor]:
    """Unit vectors, shaped to be added to (3, i, j, k)."""
    return [torch.eye(3, dtype=w.dtype, device=w.device)[a].view(3, 1, 1, 1) for a in axes]


def _summarized(planes: slice, w: Tensor) -> Determinants:
    inner = slice(1, -1)
    x = w[:, 1:, inner, inner] - w[:, :-1, inner, inner]
    y = w[:, inner, 1:, inner] - w[:, inner, :-1, inner]
    z = w[:, inner, inner, 1:] - w[:, inner, inner, :-1]
    for axis, difference in enumerate((x, y, z)):
        difference[axis] += 1
    x_sides = (x[:, 1:], x[:, :-1])
    central = torch.zeros_like(x_sides[0][0])
    smallest = torch.full_like(central, float("inf"))
    negative = torch.zeros_like(central)
    cross, product = torch.empty_like(x_sides[0]), torch.empty_like(central)
    for y_side, z_side in itertools.product((y[:, :, 1:], y[:, :, :-1]), (z[..., 1:], z[..., :-1])):
        _cross(y_side, z_side, out=cross)
        for x_side in x_sides:
            _dot(x_side, cross, out=product)
            central += product
            torch.minimum(smallest, product, out=smallest)
            negative -= product.clamp_(max=0)
    for sign in (-1, 1):
        _dot(*_diagonal(w, sign, cross), out=product)
        negative -= product.clamp_(max=0)
    return Determinants(planes, central.mul_(1 / 8), smallest, negative.mul_(1 / 12))


def _diagonal(w: Tensor, sign: int, cross: Tensor) -> tuple[Tensor, Tensor]:
    """First column, and cross product of the other two, of J*₁ (sign -1) or J*₂ (sign +1)."""
    center = w[:, 1:-1, 1:-1, 1:-1]
    steps = ((1, 1, 0), (1, 0, 1), (0, 1, 1)) if sign < 0 else ((1, 1, 0), (0, 1, 1), (1, 0, 1))
    columns = []
    for step in steps:
        shifted = w[
            (slice(None), *(slice(1 + sign * s, n - 1 + sign * s) for s, n in zip(step, w.shape[1:], strict=True)))
        ]
        column = shifted - center
        for axis, s in enumerate(step):
            if s:
                column[axis] += sign
        columns.append(column)
    return columns[0], _cross(columns[1], columns[2], out=cross)


def _cross(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """a × b of (3, …)."""
    if out is None:
        return torch.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
    for c, (p, q) in enumerate(((1, 2), (2, 0), (0, 1))):
        torch.mul(a[p], b[q], out=out[c]).addcmul_(a[q], b[p], value=-1)
    return out


def _dot(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """a · b of (3, …)."""
    if out is None:
        return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return torch.mul(a[0], b[0], out=out).addcmul_(a[1], b[1]).addcmul_(a[2], b[2])
