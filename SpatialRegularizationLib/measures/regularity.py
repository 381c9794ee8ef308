"""Measure how regular a map is: folding, non-diffeomorphic volume, spread of the Jacobian, lengths.

Every figure names its mask and its boundary rule. All are computed from voxel differences on the grid of the field,
over slabs of planes, so that the memory used does not grow with the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..fields.derivatives import Determinants, determinant_slabs

if TYPE_CHECKING:
    from ..geometry.displacement import DisplacementField

SMALLEST_LOG_ARGUMENT = 1e-9
"""max(J, this) before the logarithm; the voxels concerned are counted."""


@dataclass(frozen=True)
class Regularity:
    """Figures of one displacement on its grid, inside one mask.

    Args:
        folding_percent: 100 · #{J⁰ <= 0} / #voxels, central differences: %|J|≤0 of most papers.
        folding_one_sided_percent: the same for the least of the eight one-sided determinants; never smaller.
        folded_voxels: #{J⁰ <= 0}.
        ndv_percent: 100 · Σ non-diffeomorphic volume / #voxels (Liu et al., IJCV 2024).
        sd_log_j: standard deviation of log max(J⁰, 1e-9).
        clipped: voxels with J⁰ < 1e-9.
        jacobian_min, jacobian_max: range of J⁰.
        voxels: the denominator, #voxels.
        mask: "whole volume" or "mask".
        boundary: "replicate" (displacement repeated beyond the border) or "interior" (outermost voxels left out).
        whole: the same field without the mask; None where there was no mask.
    """

    folding_percent: float
    folding_one_sided_percent: float
    folded_voxels: int
    ndv_percent: float
    sd_log_j: float
    clipped: int
    jacobian_min: float
    jacobian_max: float
    voxels: int
    mask: str
    boundary: str
    whole: Regularity | None = None


def measure_regularity(u: Tensor, *, mask: Tensor | None = None, interior: bool = False) -> Regularity:
    """The figures of `Regularity` for a displacement.

    Args:
        u: (3, i, j, k) or (1, 3, i, j, k) in voxels of its grid, floating point, any device.
        mask: (i, j, k), or with leading axes of one; voxels > 0 count. Of the fixed image. None counts all.
        interior: leave out the outermost voxels (of the mask too) instead of repeating the displacement beyond them.

    Raises:
        ValueError: wrong shapes, NaN or infinite displacement, an empty mask, nothing left of a thin interior.
    """
    field = _checked_field(u, interior)
    inside = None if mask is None else _checked_mask(mask, field, interior)
    boundary = "interior" if interior else "replicate"
    whole, masked = _Tally(), _Tally()
    for slab in determinant_slabs(field, interior=interior):
        whole.add(slab, None)
        if inside is not None:
            masked.add(slab, inside[slab.planes])
    everything = whole.result("whole volume", boundary, None)
    return everything if inside is None else masked.result("mask", boundary, everything)


class _Tally:
    """Running sums over slabs; stays on the device until `result`."""

    def __init__(self) -> None:
        self._sums: list[Tensor] = []
        self._ranges: list[Tensor] = []
        self._voxels = 0

    def add(self, slab: Determinants, inside: Tensor | None) -> None:
        values = (slab.central, slab.smallest_corner, slab.negative_volume)
        if inside is not None:
            values = tuple(value[inside] for value in values)
        central, smallest, negative = values
        if not central.numel():
            return
        self._voxels += central.numel()
        log = central.clamp_min(SMALLEST_LOG_ARGUMENT).log_()
        sums = (
            _count(central <= 0),
            _count(smallest <= 0),
            negative.sum(dtype=torch.float64),
            log.sum(dtype=torch.float64),
            log.square_().sum(dtype=torch.float64),
            _count(central < SMALLEST_LOG_ARGUMENT),
        )
        self._sums.append(torch.stack([value.double() for value in sums]))
        self._ranges.append(torch.stack(central.aminmax()))

    def result(self, mask: str, boundary: str, whole: Regularity | None) -> Regularity:
        folded, one_sided, negative, log, log_squared, clipped = torch.stack(self._sums).sum(0).tolist()
        ranges = torch.stack(self._ranges)
        if not bool(torch.isfinite(ranges).all()):
            raise ValueError("The displacement holds NaN or infinite values: its regularity is undefined.")
        n = self._voxels
        return Regularity(
            folding_percent=100 * folded / n,
            folding_one_sided_percent=100 * one_sided / n,
            folded_voxels=int(folded),
            ndv_percent=100 * negative / n,
            sd_log_j=math.sqrt(max(0.0, log_squared / n - (log / n) ** 2)),
            clipped=int(clipped),
            jacobian_min=float(ranges[:, 0].min()),
            jacobian_max=float(ranges[:, 1].max()),
            voxels=n,
            mask=mask,
            boundary=boundary,
            whole=whole,
        )


def _count(where: Tensor) -> Tensor:
    """Number of true voxels; as floats, which add up several times faster than booleans, exactly below 2²⁴."""
    return where.float().sum()


def _checked_field(u: Tensor, interior: bool) -> Tensor:
    field = u[0] if u.ndim == 5 and u.shape[0] == 1 else u
    if field.ndim != 4 or field.shape[0] != 3:
        raise ValueError(f"The displacement must be (3, i, j, k) or (1, 3, i, j, k), got {tuple(u.shape)}.")
    if not field.is_floating_point():
        raise ValueError(f"The displacement must be floating point, got {field.dtype}; convert it first.")
    if min(field.shape[1:]) < (3 if interior else 1):
        raise ValueError(
            f"No interior is left of a displacement of shape {tuple(field.shape[1:])}; use interior=False."
        )
    return field


def _checked_mask(mask: Tensor, field: Tensor, interior: bool) -> Tensor:
    shape = tuple(field.shape[1:])
    if tuple(mask.shape[-3:]) != shape or mask.numel() != math.prod(shape):
        raise ValueError(f"The mask must have the shape of the displacement, {shape}, got {tuple(mask.shape)}.")
    inside = mask.reshape(shape).to(field.device) > 0
    if interior:
        inside = inside[1:-1, 1:-1, 1:-1]
    if not bool(inside.any()):
        raise ValueError("The mask is empty: figures inside it are undefined; leave it out or draw it.")
    return inside


def length_figures(field: DisplacementField) -> dict[str, float]:
    """Mean, 95th percentile and maximum of |d| in mm over all voxels of the field."""
    length = field.magnitude().reshape(-1)
    sample = length[:: max(1, length.numel() // 1_000_000)]
    return {
        "mean": float(length.mean()),
        "p95": float(np.percentile(sample.cpu().numpy(), 95)),
        "max": float(length.max()),
    }
