"""Compute the inverse that is stored: right wherever the fixed image is carried to, and measured there.

With u on the lattice of the fixed image, (id + u) leads out of that lattice, and an inverse on the same lattice says nothing
there. The stored inverse has two parts,

    I = (id + c) ∘ (id + e),

e solves (id + ũ) ∘ (id + e) = id on a wider lattice, ũ being u continued beyond its border and led to zero at the border of the
wider one, so that outside of it nothing remains and nothing jumps. Linear interpolation of e misses points between its voxels
(by up to half a voxel where the deformation is strong); c, on the lattice of the fixed image, makes good what is missed at its
voxel centers:  c(x + r(x)) = -r(x)  with  r(x) = u(x) + e(x + u(x)). Where that is not enough, because tissue is compressed so
far that several of those voxels lie between two of e's, the wider lattice is made finer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..fields.resize import resize_displacement
from ..fields.sampling import sample_linear, voxel_coordinates, warp
from ..fields.vectors import lengths, squared_lengths
from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from .diffeomorphism import corrected_inverse
from .mapping import POINTS_PER_SLAB, GridMap

RAMP = 1.6
"""Width of the collar as a multiple of the displacement that is led to zero in it: its slope stays below 3/4."""
BEND = 0.3
"""Share of the collar in which the slope grows from zero: with a sharp bend id + ũ would fold in the first cell of a corner."""
ROUNDS = 4
"""Rounds of the correction."""
REFINEMENTS = (1, 2, 3)
"""Voxels of the wider lattice for each of u's, along each axis; the first that is good enough is taken."""
GOOD_ENOUGH = 0.05
"""Error at 99 % of the voxels, in voxels, at which no finer lattice is tried."""
MOST_VOXELS = 12_000_000
"""A finer lattice has no more voxels than this (290 MB in the file)."""
ROUNDING_MM = 1e-3
"""The largest error is told rounded up by this, so that single precision does not make it smaller than it is."""


@dataclass(frozen=True)
class StoredInverse:
    """I = (id + correction) ∘ (id + wide), in voxels of the lattice of u.

    Args:
        wide: e (1, 3, *w), a voxel of it being 1 / `refinement` of one of u's.
        start: voxel of u's lattice (may be negative) at which the first voxel of `wide` lies.
        refinement: voxels of `wide` for each of u's.
        correction: c (1, 3, *(s + 2)); its first voxel lies at -1 along each axis, its outermost voxels are zero.
    """

    wide: Tensor
    start: tuple[int, ...]
    refinement: int
    correction: Tensor

    def __call__(self, position: Tensor) -> Tensor:
        """I at positions (3, i, j, k)."""
        back = position + _read(self.wide, position, self.start, self.refinement)
        return back + _read(self.correction, back, (-1, -1, -1), 1)

    def transform(self, affine: np.ndarray, where: Grid) -> SpatialTransform:
        """I ∘ B⁻¹ in patient space, for u on `where` and B = `affine` (4x4, mm LPS)."""
        fine = tuple(self.wide.shape[2:])
        plain = where.shifted(self.start, tuple((n - 1) // self.refinement + 1 for n in fine))
        linear = torch.from_numpy(where.affine[:3, :3]).float()
        fields = (self.wide, self.correction)
        vectors, correction = (torch.einsum("rc,cijk->rijk", linear, field[0].cpu().float()) for field in fields)
        around = where.shifted((-1, -1, -1), tuple(self.correction.shape[2:]))
        following = SpatialTransform(displacement=DisplacementField(correction, around))
        back = DisplacementField(vectors, plain.resized(fine))
        return SpatialTransform(np.linalg.inv(affine), back, affine_first=True, following=following)


@torch.no_grad()
def stored_inverse(u: Tensor, start: Tensor | None = None) -> StoredInverse:
    """The inverse of id + u for every point of u's lattice.

    Args:
        u: (1, 3, *s), voxels.
        start: (1, 3, *s) a first inverse on the same lattice, such as exp(-v); None: found from nothing.
    """
    margins = [_margins(u[0, axis], axis) for axis in range(3)]
    wide = _continued(u, margins)
    first = None if start is None else _continued(start, margins)
    low = tuple(-before for before, _ in margins)
    for refinement in REFINEMENTS:
        fine = tuple((n - 1) * refinement + 1 for n in wide.shape[2:])
        if refinement > 1 and math.prod(fine) > MOST_VOXELS:
            break
        begun = None if first is None else resize_displacement(first, fine).clone()
        first = corrected_inverse(resize_displacement(wide, fine), begun)
        e = first / refinement
        r = torch.empty_like(u)
        for planes, x in _slabs(u):
            r[0, :, planes] = u[0, :, planes] + _read(e, x + u[0, :, planes], low, refinement)
        found = StoredInverse(e, low, refinement, _correction(r))
        missed = [lengths(found(x + u[0, :, planes]) - x, 0).flatten() for planes, x in _slabs(u)]
        if _at_99_percent(torch.cat(missed)) < GOOD_ENOUGH:
            break
    return found


def round_trip(inverse: StoredInverse, u: Tensor, where: Grid, fixed: Grid) -> tuple[float, float]:
    """‖I(T(x)) - x‖ over all voxel centers x of the fixed image: (99th percentile, largest), mm.

    Args:
        inverse: of u.
        u: (1, 3, *s), voxels of `where`.
        where: lattice of u, mm; the same end voxels as `fixed`.
        fixed: grid of the fixed image.
    """
    linear = torch.from_numpy(where.affine[:3, :3]).to(u)
    lattice = GridMap.of(SpatialTransform(), fixed, np.linalg.inv(where.affine))
    found = torch.empty(fixed.shape)
    for planes in lattice.slabs():
        x = lattice.coordinates(planes).to(u)
        missed = inverse(x + sample_linear(u, x[None])[0]) - x
        found[planes] = lengths(torch.einsum("rc,cijk->rijk", linear, missed), 0).cpu()
    return _at_99_percent(found), float(found.max()) + ROUNDING_MM


def _at_99_percent(values: Tensor) -> float:
    flat = values.flatten().cpu().numpy()
    place = math.ceil(0.99 * (len(flat) - 1))
    return float(np.partition(flat, place)[place])


def _read(field: Tensor, position: Tensor, start: tuple[int, ...], refinement: int) -> Tensor:
    """A field (1, 3, *t) on a lattice of its own at positions (3, i, j, k), voxels of u's lattice; border repeated."""
    shift = torch.tensor(start, dtype=position.dtype, device=position.device).view(3, 1, 1, 1)
    return sample_linear(field, ((position - shift) * refinement)[None])[0]


def _slabs(u: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Planes of u's lattice, and the positions (3, planes, j, k) of their voxels."""
    step = max(1, POINTS_PER_SLAB // max(1, u.shape[3] * u.shape[4]))
    for first in range(0, u.shape[2], step):
        planes = slice(first, min(first + step, u.shape[2]))
        x = voxel_coordinates((planes.stop - first, *u.shape[3:]), device=u.device, dtype=u.dtype)
        x[0] += first
        yield planes, x


def _margins(component: Tensor, axis: int) -> tuple[int, int]:
    """Voxels to add before and after an axis: room for where id + u leads, and for leading u to zero."""
    n = component.shape[axis]
    line = torch.arange(n, dtype=component.dtype, device=component.device).view([-1 if a == axis else 1 for a in range(3)])
    lowest, highest = (float(value) for value in (component + line).aminmax())
    reach = (max(0.0, -lowest), max(0.0, highest - (n - 1)))
    faces = [float(component.select(axis, place).abs().max()) for place in (0, n - 1)]
    return tuple(2 + math.ceil(max(out, RAMP * face)) for out, face in zip(reach, faces, strict=True))


def _continued(u: Tensor, margins: list[tuple[int, int]]) -> Tensor:
    """u with its border value continued outwards and led linearly to zero at the outermost voxels.

    The axis that lies farthest out counts, not the product of three ramps, which would be up to three times as steep in corners.
    """
    pads = [width for pair in reversed(margins) for width in pair]
    wide = F.pad(u, pads, mode="replicate").contiguous()
    outside = torch.zeros_like(wide[:, :1])
    for axis, (before, after) in enumerate(margins):
        n = wide.shape[2 + axis]
        place = torch.arange(n, dtype=u.dtype, device=u.device)
        share = torch.maximum(1 - place / before, 1 - (n - 1 - place) / after)
        outside = torch.maximum(outside, share.view([-1 if a == axis else 1 for a in range(3)]))
    slope = 1 / (1 - BEND / 2)
    bent, straight = 1 - slope * outside.square() / (2 * BEND), slope * (1 - outside)
    return wide.mul_(torch.where(outside < BEND, bent, straight))


def _correction(r: Tensor) -> Tensor:
    """c with c(x + r(x)) ≈ -r(x): c ← c - (c(x + r(x)) + r(x)), never longer than 1.5 |r(x)|."""
    c = r.new_zeros(1, 3, *(n + 2 for n in r.shape[2:]))
    inner = c[:, :, 1:-1, 1:-1, 1:-1]
    longest = squared_lengths(r).mul_(1.5**2)[:, None]
    for _ in range(ROUNDS):
        inner -= warp(c, r, offset=(1.0,) * 3).add_(r)
        excess = longest / squared_lengths(inner)[:, None].clamp_(min=1e-12)
        inner *= excess.clamp_(max=1.0).sqrt_()
    return c
