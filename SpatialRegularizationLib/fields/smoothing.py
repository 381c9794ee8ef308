"""Gaussian smoothing and box sums along the axes of a tensor."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


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
