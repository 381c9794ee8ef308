"""Bring tensors to other lattices, and smooth them; first and last voxel centers stay where they are (`align_corners=True`).

Linear resampling between two lattices is a small matrix along each axis; applying the axes one after the other is a few
matrix products, which use all cores and whose gradient is the transposed product.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


def resize(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Linear interpolation of x (N, C, *s) on another lattice of the same extent: (N, C, *shape)."""
    for axis, size in enumerate(shape):
        old = x.shape[2 + axis]
        if old != size:
            x = along_axis(x, 2 + axis, _interpolation_matrix(old, size, x.dtype, x.device))
    return x


def resize_displacement(u: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Displacement in voxels (N, d, *s) on another lattice, in voxels of the new one: component c times (m_c-1)/(n_c-1)."""
    scale = [
        (new - 1) / (old - 1) if old > 1 and new > 1 else 1.0 for old, new in zip(u.shape[2:], shape, strict=True)
    ]
    factors = torch.tensor(scale, dtype=u.dtype, device=u.device).view(1, -1, *([1] * len(shape)))
    few = torch.Size(shape).numel() < u.shape[2:].numel()
    return resize(u, shape) * factors if few else resize(u * factors, shape)


def resample_axes(x: Tensor, starts: tuple[float, ...], steps: tuple[float, ...], shape: tuple[int, ...]) -> Tensor:
    """x (N, C, *s) read at the positions start + step·q, q = 0 … m-1, along each axis: (N, C, *shape).

    The border is repeated; where a step is longer than a voxel the line is smoothed first, as in `shrink`.
    """
    for axis, (start, step, size) in enumerate(zip(starts, steps, shape, strict=True)):
        old = x.shape[2 + axis]
        matrix = _matrix(old, start + step * torch.arange(size, dtype=torch.float64))
        if step > 1 and old > 1:
            matrix = matrix @ gaussian_matrix(old, antialias_sigma(step))
        x = along_axis(x, 2 + axis, matrix.to(x))
    return x


def interpolate_axes(x: Tensor, starts: tuple[float, ...], steps: tuple[float, ...], shape: tuple[int, ...]) -> Tensor:
    """`resample_axes` without smoothing, for fields that are smooth already; steps may be negative (an axis turned round)."""
    for axis, (start, step, size) in enumerate(zip(starts, steps, shape, strict=True)):
        old = x.shape[2 + axis]
        if (start, step, size) != (0.0, 1.0, old):
            matrix = _matrix(old, start + step * torch.arange(size, dtype=torch.float64))
            x = along_axis(x, 2 + axis, matrix.to(x))
    return x


def shrink(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """x (N, C, *s) on a coarser lattice, after Gaussian smoothing against aliasing.

    σ = 0.5·sqrt(f² - 1) voxels for a factor f = (n-1)/(m-1) per axis: what turns a pixel-wide kernel into one f pixels wide.
    Smoothing and resampling are one matrix per axis; the axis that shrinks most comes first.
    """
    factors = [(n - 1) / max(1, m - 1) if n > m else 1.0 for n, m in zip(x.shape[2:], shape, strict=True)]
    for axis in sorted(range(len(shape)), key=lambda a: -factors[a]):
        old, new = x.shape[2 + axis], shape[axis]
        if old != new:
            matrix = _interpolation_matrix(old, new, torch.float64, torch.device("cpu"))
            if factors[axis] > 1:
                matrix = matrix @ gaussian_matrix(old, antialias_sigma(factors[axis]))
            x = along_axis(x, 2 + axis, matrix.to(x))
    return x


def antialias_sigma(factor: float) -> float:
    """Standard deviation, in old voxels, of the Gaussian that precedes a reduction by `factor` ≥ 1; 0 for 1."""
    return 0.5 * max(0.0, factor * factor - 1.0) ** 0.5


@lru_cache(maxsize=64)
def _interpolation_matrix(old: int, new: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(new, old) matrix of linear interpolation; one old voxel is repeated, one new voxel is the middle."""
    position = torch.linspace(0, old - 1, new, dtype=torch.float64) if new > 1 else torch.tensor([(old - 1) / 2])
    return _matrix(old, position.double()).to(device=device, dtype=dtype)


def _matrix(old: int, position: Tensor) -> Tensor:
    """(len(position), old) weights of linear interpolation at fractional positions, the border repeated."""
    position = position.clamp(0, old - 1)
    low = position.floor().clamp(0, max(old - 2, 0)).long()
    weight = position - low
    matrix = torch.zeros(len(position), old, dtype=torch.float64)
    rows = torch.arange(len(position))
    matrix[rows, low] += 1 - weight
    matrix[rows, (low + 1).clamp(max=old - 1)] += weight
    return matrix


def gaussian_smooth(x: Tensor, sigma: tuple[float, ...]) -> Tensor:
    """Convolution with a sampled, normalised Gaussian, axis by axis; the border value is repeated.

    Args:
        x: (N, C, *s).
        sigma: standard deviation in voxels along each spatial axis, ≥ 0; 0 leaves the axis as it is. Cut off at 4σ.
    """
    for axis, width in enumerate(sigma):
        if width > 0 and x.shape[2 + axis] > 1:
            x = along_axis(x, 2 + axis, gaussian_matrix(x.shape[2 + axis], width).to(x))
    return x


@lru_cache(maxsize=64)
def gaussian_matrix(size: int, sigma: float) -> Tensor:
    """(size, size) matrix of the convolution of a line with exp(-t²/2σ²), |t| ≤ ⌈4σ⌉, float64; rows sum to 1."""
    radius = max(1, math.ceil(4 * sigma))
    t = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (t / sigma) ** 2)
    kernel /= kernel.sum()
    matrix = torch.zeros(size, size, dtype=torch.float64)
    rows = torch.arange(size)
    for shift, weight in zip(t.long().tolist(), kernel, strict=True):
        matrix.index_put_((rows, (rows + shift).clamp(0, size - 1)), weight.expand(size), accumulate=True)
    return matrix


def along_axis(x: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """A matrix (m, n) applied to the lines of x along one axis of length n: a matrix product, so all cores work."""
    if axis == x.dim() - 1:
        return x @ matrix.T
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    product = matrix @ x.reshape(before.numel(), x.shape[axis], after.numel())
    return product.view(*before, matrix.shape[0], *after)


def box_mean(x: Tensor, width: int) -> Tensor:
    """Mean over width^d voxels (width odd); windows are cut off at the border and divided by what is left of them."""
    if width == 1:
        return x
    for axis in range(2, x.dim()):
        x = _box_axis(x, axis, width)
    return x


def _box_axis(x: Tensor, axis: int, width: int) -> Tensor:
    n, r = x.shape[axis], width // 2
    total = torch.zeros_like(x)
    count = torch.zeros(n, dtype=x.dtype, device=x.device)
    for shift in range(-r, r + 1):
        length = n - abs(shift)
        if length <= 0:
            continue
        total.narrow(axis, max(0, -shift), length).add_(x.narrow(axis, max(0, shift), length))
        count.narrow(0, max(0, -shift), length).add_(1)
    return total / count.view([-1 if a == axis else 1 for a in range(x.dim())])
