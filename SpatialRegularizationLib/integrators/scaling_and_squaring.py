"""Integrate a stationary velocity by scaling and squaring (Arsigny et al., MICCAI 2006; TM-SPR Eq. 20).

    u ← v / 2^n;   n times:  u ← u + u∘(id + u)            exp(v) = id + u,   exp(v)⁻¹ = exp(-v)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..fields.sampling import warp_backward, warp_forward
from ..fields.vectors import largest_length


def integrate_velocity(velocity: Tensor, *, steps: int = 7) -> Tensor:
    """Displacement u of exp(v).

    Args:
        velocity: (N, d, *s) in voxels of its lattice per unit time; beyond the border its value is repeated.
        steps: number of squarings n ≥ 0; the error falls as 2^-n until interpolation dominates.

    Returns:
        (N, d, *s) in voxels. Differentiable; only the n intermediate displacements are kept for the gradient.

    Raises:
        ValueError: a negative number of steps.
    """
    if steps < 0:
        raise ValueError(f"The number of squaring steps must be at least 0, got {steps}.")
    return _Exponential.apply(velocity, steps)


def steps_for(velocity: Tensor, *, largest_step: float = 0.25, most: int = 10) -> int:
    """Smallest n with max|v| / 2^n ≤ `largest_step` voxels: the first Euler step then stays well inside a voxel."""
    speed = largest_length(velocity) if velocity.numel() else 0.0
    if speed <= largest_step:
        return 1
    return min(most, max(1, math.ceil(math.log2(speed / largest_step))))


class _Exponential(torch.autograd.Function):
    @staticmethod
    def forward(ctx, velocity: Tensor, steps: int) -> Tensor:
        u = velocity * (0.5**steps)
        stages = []
        for _ in range(steps):
            stages.append(u)
            u = warp_forward(u, u).add_(u)
        ctx.save_for_backward(*stages)
        return u

    @staticmethod
    def backward(ctx, grad: Tensor):
        for u in reversed(ctx.saved_tensors):
            through_values, through_positions = warp_backward(grad, u, u, image_needs_grad=True)
            grad = through_values.add_(through_positions).add_(grad)
        return grad * (0.5 ** len(ctx.saved_tensors)), None
