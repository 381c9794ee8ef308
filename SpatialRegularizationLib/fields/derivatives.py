"""Compute Jacobian determinants of φ(p) = p + u(p): central, one-sided, and of the tetrahedra of a digital map.

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

CPU_SLAB_VOXELS = 1 << 17
"""Voxels per slab on the CPU: large enough to call, small enough for some thirty buffers to stay in the cache."""
DEVICE_SLAB_VOXELS = 1 << 21
"""Voxels per slab on a GPU, where launches cost more than memory."""


@dataclass(frozen=True)
class Determinants:
    """Measures of the map on a slab of planes; each (planes, j, k), valid until the next slab is asked for.

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
        Determinants of consecutive planes along the first axis, without gradient. Their memory is used again.
    """
    buffers = None
    for planes, w in _slabs(u.detach(), interior):
        buffers = _Buffers.like(w) if buffers is None else buffers
        yield _summarized(planes, w, buffers.narrowed(w.shape[1] - 2))


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


@dataclass(frozen=True)
class _Buffers:
    """What `_summarized` writes into; made once, because fresh memory costs as much as the arithmetic.

    Args:
        x, y, z: (3, …) differences, one more than voxels along their own axis.
        columns: three of (3, planes, j, k). cross: (3, planes, j, k).
        product, central, smallest, negative: (planes, j, k).
    """

    x: Tensor
    y: Tensor
    z: Tensor
    columns: tuple[Tensor, ...]
    cross: Tensor
    product: Tensor
    central: Tensor
    smallest: Tensor
    negative: Tensor

    @classmethod
    def like(cls, w: Tensor) -> _Buffers:
        t, j, k = (n - 2 for n in w.shape[1:])
        x, y, z = w.new_empty(3, t + 1, j, k), w.new_empty(3, t, j + 1, k), w.new_empty(3, t, j, k + 1)
        columns = tuple(w.new_empty(3, t, j, k) for _ in range(3))
        return cls(x, y, z, columns, w.new_empty(3, t, j, k), *(w.new_empty(t, j, k) for _ in range(4)))

    def narrowed(self, t: int) -> _Buffers:
        """For a slab of t planes."""
        vectors = (self.x[:, : t + 1], self.y[:, :t], self.z[:, :t])
        scalars = (self.product, self.central, self.smallest, self.negative)
        columns = tuple(column[:, :t] for column in self.columns)
        return _Buffers(*vectors, columns, self.cross[:, :t], *(scalar[:t] for scalar in scalars))


def _summarized(planes: slice, w: Tensor, into: _Buffers) -> Determinants:
    inner = slice(1, -1)
    x = _difference(w[:, 1:, inner, inner], w[:, :-1, inner, inner], (1, 0, 0), into.x)
    y = _difference(w[:, inner, 1:, inner], w[:, inner, :-1, inner], (0, 1, 0), into.y)
    z = _difference(w[:, inner, inner, 1:], w[:, inner, inner, :-1], (0, 0, 1), into.z)
    into.central.zero_()
    into.negative.zero_()
    into.smallest.fill_(float("inf"))
    for y_side, z_side in itertools.product((y[:, :, 1:], y[:, :, :-1]), (z[..., 1:], z[..., :-1])):
        _cross(y_side, z_side, out=into.cross)
        for x_side in (x[:, 1:], x[:, :-1]):
            _dot(x_side, into.cross, out=into.product)
            into.central.add_(into.product)
            torch.minimum(into.smallest, into.product, out=into.smallest)
            into.negative.sub_(into.product.clamp_(max=0))
    here = w[:, inner, inner, inner]
    for sign in (-1, 1):
        columns = [
            _difference(_moved(w, step), here, step, out)
            for step, out in zip(_DIAGONALS[sign], into.columns, strict=True)
        ]
        _dot(columns[0], _cross(columns[1], columns[2], out=into.cross), out=into.product)
        into.negative.sub_(into.product.clamp_(max=0))
    return Determinants(planes, into.central.mul_(1 / 8), into.smallest, into.negative.mul_(1 / 12))


_DIAGONALS = {-1: ((-1, -1, 0), (-1, 0, -1), (0, -1, -1)), 1: ((1, 1, 0), (0, 1, 1), (1, 0, 1))}
"""Columns of J*₁ and J*₂."""


def _moved(w: Tensor, step: tuple[int, ...]) -> Tensor:
    """u(p + step) for the voxels p of the slab."""
    return w[(slice(None), *(slice(1 + s, n - 1 + s) for s, n in zip(step, w.shape[1:], strict=True)))]


def _difference(there: Tensor, here: Tensor, step: tuple[int, ...], out: Tensor) -> Tensor:
    """φ(p + step) - φ(p) = u(p + step) - u(p) + step."""
    torch.sub(there, here, out=out)
    for axis, s in enumerate(step):
        if s:
            out[axis].add_(s)
    return out


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
