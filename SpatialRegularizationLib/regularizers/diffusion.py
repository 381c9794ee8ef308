"""Compute weighted diffusion: the population prior of TM-SPR, -log p(u | λ) (journal paper, Eqs. 8-12).

    R(u, λ) = 1/(9 N) Σ_p λ(p) |∇u(p)|²,      |∇u(p)|² = Σ_a Σ_c ( (s_c/s_a) (u_c(p + e_a) - u_c(p)) )²

with forward differences (none across the end of an axis) and voxel sizes s (all 1 unless given: then the gradient of the
physical displacement, for anisotropic lattices). A uniform λ ≡ c gives c times plain diffusion. λ may have one channel per axis:
λ_a(p) then weighs the differences along axis a (`edges.py`).

Deviates: the paper sums over voxels; the mean over voxels and the nine differences is used here, in which the published
optima of λmax, λmean, α′ and σ′ are stated (multiply by 9 N for the sum; the released mean runs over the n - 1 differences
of an axis instead of n voxels, about 0.5 % more). `WEIGHT_AT_FAR_END` weights a difference by λ of its
far voxel p + e_a, as the released code does; the paper's λ(p) of the near voxel is the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from ..fields.vectors import scaled
from .regularizer import Regularizer

PLANES_VOXELS = 800_000


class WeightEnd(Enum):
    """Which voxel of a difference u(p + e_a) - u(p) gives its weight."""

    NEAR = 0
    FAR = 1


@dataclass(frozen=True)
class WeightedDiffusion(Regularizer):
    """R(u, λ) of this file.

    Args:
        end: near voxel (paper) or far voxel (released code).
        spacing: voxel sizes along the axes in any common unit; None: isotropic.
    """

    end: WeightEnd = WeightEnd.NEAR
    spacing: tuple[float, ...] | None = None

    def __call__(self, u: Tensor, lambda_map: Tensor | float) -> Tensor:
        return weighted_diffusion(u, lambda_map, end=self.end, spacing=self.spacing)


def weighted_diffusion(
    u: Tensor,
    lambda_map: Tensor | float,
    *,
    end: WeightEnd = WeightEnd.NEAR,
    spacing: tuple[float, ...] | None = None,
) -> Tensor:
    """R(u, λ), value and gradients made together in slabs of planes.

    Args:
        u: (N, d, *s) displacement in voxels.
        lambda_map: (N, 1, *s) ≥ 0, or (N, d, *s) with channel a for the differences along axis a, or a number.
        end, spacing: see `WeightedDiffusion`.

    Returns:
        scalar, differentiable in u and λ.
    """
    if not isinstance(lambda_map, Tensor):
        return lambda_map * _WeightedDiffusion.apply(u, None, end, _factors(u, spacing))
    return _WeightedDiffusion.apply(u, lambda_map, end, _factors(u, spacing))


def gradient_energy(u: Tensor, *, spacing: tuple[float, ...] | None = None) -> Tensor:
    """g(p) = |∇u(p)|² / d², (N, 1, *s): what λ(p) is multiplied with; R = mean of λ·g (near-voxel form)."""
    factors = _factors(u, spacing)
    d = u.shape[1]
    energy = torch.zeros_like(u[:, :1])
    for axis in range(d):
        length = u.shape[2 + axis] - 1
        if length < 1:
            continue
        difference = u.narrow(2 + axis, 1, length) - u.narrow(2 + axis, 0, length)
        weight = factors[axis].to(u).view(1, -1, *([1] * d))
        energy.narrow(2 + axis, 0, length).add_((difference.square_() * weight).sum(1, keepdim=True))
    return energy / d**2


def _factors(u: Tensor, spacing: tuple[float, ...] | None) -> Tensor:
    """((s_c / s_a)²) as a (axis a, component c) matrix."""
    d = u.shape[1]
    if spacing is None:
        return torch.ones(d, d, dtype=torch.float64)
    s = torch.tensor(spacing, dtype=torch.float64)
    return (s[None, :] / s[:, None]) ** 2


class _WeightedDiffusion(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u: Tensor, lambda_map: Tensor | None, end: WeightEnd, factors: Tensor) -> Tensor:
        grad_u = torch.zeros_like(u) if ctx.needs_input_grad[0] else None
        need_lambda = lambda_map is not None and ctx.needs_input_grad[1]
        grad_lambda = torch.zeros_like(lambda_map) if need_lambda else None
        value = _accumulate(u, lambda_map, end, factors / (u.shape[1] * u.numel()), grad_u, grad_lambda)
        ctx.save_for_backward(grad_u, grad_lambda)
        return value.to(u.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor):
        grad_u, grad_lambda = ctx.saved_tensors
        return scaled(grad_u, grad), scaled(grad_lambda, grad), None, None


def _accumulate(u, lambda_map, end, factors, grad_u, grad_lambda) -> Tensor:
    """Σ λ |∇u|² in float64, adding its gradients to grad_u and grad_lambda; a few planes of one component at a time."""
    total = torch.zeros((), dtype=torch.float64, device=u.device)
    depth = u.shape[2]
    planes = depth if u.device.type != "cpu" else max(1, PLANES_VOXELS // max(1, u[0, 0, 0].numel()))
    per_axis = lambda_map is not None and lambda_map.shape[1] > 1
    for n in range(u.shape[0]):
        for start in range(0, depth, planes):
            for c in range(u.shape[1]):
                for axis in range(u.shape[1]):
                    stop = min(start + planes, depth - (1 if axis == 0 else 0))
                    if stop <= start:
                        continue
                    channel = axis if per_axis else 0
                    total += _one_axis(
                        (u[n, c], None if lambda_map is None else lambda_map[n, channel]),
                        (None if grad_u is None else grad_u[n, c], None if grad_lambda is None else grad_lambda[n, channel]),
                        axis, slice(start, stop), end, float(factors[axis, c]),
                    )  # fmt: skip
    return total


def _one_axis(values, gradients, axis: int, planes: slice, end: WeightEnd, factor: float) -> Tensor:
    """One component, one axis, some planes: Σ λ D², and 2 λ D to u, D² to λ."""
    (u, lambda_map), (grad_u, grad_lambda) = values, gradients

    def ends(x: Tensor) -> tuple[Tensor, Tensor]:
        if axis == 0:
            return x[planes], x[planes.start + 1 : planes.stop + 1]
        part = x[planes]
        return part.narrow(axis, 0, part.shape[axis] - 1), part.narrow(axis, 1, part.shape[axis] - 1)

    near, far = ends(u)
    difference = far - near
    weight = None if lambda_map is None else ends(lambda_map)[end.value]
    weighted = difference * factor if weight is None else (difference * weight).mul_(factor)
    value = torch.dot(weighted.flatten(), difference.flatten())
    if grad_u is not None:
        near_grad, far_grad = ends(grad_u)
        near_grad.sub_(weighted, alpha=2)
        far_grad.add_(weighted, alpha=2)
    if grad_lambda is not None:
        ends(grad_lambda)[end.value].addcmul_(difference, difference, value=factor)
    return value
