"""Gaussian smoothing and box sums along the axes of a tensor."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_smooth(x: Tensor, sigma: tuple[float, ...]) -> Tensor:
    """Convolution with a sampled, normalised Gaussian, axis by axis; the border value is repeated.

    Args:
        x: (N, C, *s).
        sigma: standard deviation in voxels along each spatial axis, ≥ 0; 0 leaves the axis as it is. Cut off at 4σ.
    """
    for axis, width in enumerate(sigma):
        if width > 0 and x.shape[2 + axis] > 1:
            x = _convolve_axis(x, 2 + axis, gaussian_kernel(width, dtype=x.dtype, device=x.device))
    return x


def gaussian_kernel(sigma: float, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weights exp(-t²/2σ²), normalised to 1, t = -⌈4σ⌉ … ⌈4σ⌉."""
    radius = max(1, math.ceil(4 * sigma))
    t = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (t / sigma) ** 2)
    return (kernel / kernel.sum()).to(dtype=dtype, device=device)


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


def _convolve_axis(x: Tensor, axis: int, kernel: Tensor) -> Tensor:
    moved = x.movedim(axis, -1)
    lines = moved.reshape(-1, 1, moved.shape[-1])
    radius = len(kernel) // 2
    padded = F.pad(lines, (radius, radius), mode="replicate")
    windows = padded.unfold(-1, len(kernel), 1)
    return (windows @ kernel).view(moved.shape).movedim(-1, axis).contiguous()
