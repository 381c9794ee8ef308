"""The forms that ours are measured against, written from their published definitions for the benchmarks alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def lncc_conv(warped: Tensor, fixed: Tensor, window: int = 9) -> Tensor:
    """Local correlation by five convolutions with a window of ones (Balakrishnan et al., TMI 2019)."""
    ones = torch.ones(1, 1, window, window, window, dtype=fixed.dtype, device=fixed.device)
    return _lncc([F.conv3d(x, ones, padding=window // 2) for x in _moments(warped, fixed)], window**3)


def lncc_average(warped: Tensor, fixed: Tensor, window: int = 9) -> Tensor:
    """The same with five average poolings."""
    size = window**3
    sums = [F.avg_pool3d(x, window, stride=1, padding=window // 2) * size for x in _moments(warped, fixed)]
    return _lncc(sums, size)


def _moments(warped: Tensor, fixed: Tensor) -> tuple[Tensor, ...]:
    return fixed, warped, fixed * fixed, warped * warped, fixed * warped


def _lncc(sums: list[Tensor], size: int) -> Tensor:
    i, j, ii, jj, ij = sums
    mean_i, mean_j = i / size, j / size
    cross = ij - mean_j * i - mean_i * j + mean_i * mean_j * size
    variance_i = ii - 2 * mean_i * i + mean_i * mean_i * size
    variance_j = jj - 2 * mean_j * j + mean_j * mean_j * size
    return (cross * cross / (variance_i * variance_j + 1e-5)).mean()


def weighted_diffusion(u: Tensor, lambda_map: Tensor) -> Tensor:
    """Mean over components and voxels of λ (near voxel) times the squared forward differences, by autograd."""
    total = u.new_zeros(())
    for axis in (2, 3, 4):
        length = u.shape[axis] - 1
        difference = u.narrow(axis, 1, length) - u.narrow(axis, 0, length)
        total = total + (lambda_map.narrow(axis, 0, length) * difference * difference).sum()
    return total / (3 * u.numel())


def weighted_diffusion_released(u: Tensor, weight: Tensor) -> Tensor:
    """The released code's regularizer (TM-SPR Sec. 5): 1/3 Σ_a mean of w at the far voxel times the squared |D_a u|."""
    terms = []
    for axis in (2, 3, 4):
        length = u.shape[axis] - 1
        difference = torch.abs(u.narrow(axis, 1, length) - u.narrow(axis, 0, length))
        terms.append(difference * difference * weight.narrow(axis, 1, length))
    return sum(term.mean() for term in terms) / 3


def integrate(velocity: Tensor, steps: int = 7) -> Tensor:
    """u ← u + u∘(id + u), `steps` times, with normalised coordinates made for every step (VoxelMorph's layer)."""
    shape = velocity.shape[2:]
    axes = [torch.arange(n, dtype=velocity.dtype, device=velocity.device) for n in shape]
    identity = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
    u = velocity / 2**steps
    for _ in range(steps):
        positions = identity + u
        normalised = torch.stack([2 * (positions[:, c] / (n - 1) - 0.5) for c, n in enumerate(shape)], dim=-1)
        u = u + F.grid_sample(u, normalised[..., [2, 1, 0]], align_corners=True, mode="bilinear")
    return u
