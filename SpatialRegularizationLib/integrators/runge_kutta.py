"""Flow of a velocity by stepping the ordinary differential equation ∂φ/∂t = v(φ), φ(0) = id.

Slower than scaling and squaring for the same accuracy; here for comparison, and for velocities that change with time
(VoxelMorph-diff Sec. 4.5 compares the three).
"""

from __future__ import annotations

from torch import Tensor

from ..fields.sampling import warp


def integrate_quadrature(velocity: Tensor, *, steps: int = 64) -> Tensor:
    """Euler's rule: u ← u + v∘(id + u) / steps. First order in 1/steps."""
    _check(steps)
    u = velocity / steps
    for _ in range(steps - 1):
        u = u + warp(velocity, u) / steps
    return u


def integrate_runge_kutta(velocity: Tensor, *, steps: int = 16) -> Tensor:
    """Classical fourth-order Runge-Kutta for a stationary velocity (N, d, *s) in voxels per unit time.

    Fourth order in 1/steps for a smooth v known everywhere; with v linear between voxels the kinks limit it to second order.
    """
    _check(steps)
    h = 1.0 / steps
    u = velocity.new_zeros(velocity.shape)
    for _ in range(steps):
        k1 = warp(velocity, u)
        k2 = warp(velocity, u + 0.5 * h * k1)
        k3 = warp(velocity, u + 0.5 * h * k2)
        k4 = warp(velocity, u + h * k3)
        u = u + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return u


def _check(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"The number of integration steps must be at least 1, got {steps}.")
