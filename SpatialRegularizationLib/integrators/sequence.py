"""Displacement of a sequence of velocities or small displacements (time-varying velocity, TM-SPR Sec. 3.3).

    φ_0 = id,   φ_t = φ_{t-1} followed by the increment δ_t:   u_t(p) = u_{t-1}(p) + δ_t(p + u_{t-1}(p))
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..fields.sampling import warp
from .scaling_and_squaring import integrate_velocity


def compose(inner: Tensor, outer: Tensor) -> Tensor:
    """Displacement of (id + outer)∘(id + inner): first `inner`, then `outer`; both (N, d, *s) in voxels of one lattice."""
    return inner + warp(outer, inner)


def integrate_sequence(increments: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """Composition of increments δ_1 … δ_T (each (N, d, *s), voxels), δ_1 acting first."""
    if not increments:
        raise ValueError("A velocity sequence needs at least one increment, got none.")
    total = increments[0]
    for increment in increments[1:]:
        total = compose(total, increment)
    return total


def integrate_velocity_sequence(velocities: Tensor, *, steps: int = 7) -> tuple[Tensor, Tensor]:
    """Flow of a velocity that is constant on T equal intervals of [0, 1], and its inverse.

    Args:
        velocities: (T, N, d, *s) in voxels per unit time.
        steps: squarings per interval.

    Returns:
        (u, u_inverse): the inverse is the composition of exp(-v_t / T) in the opposite order.
    """
    count = velocities.shape[0]
    forward = [integrate_velocity(v / count, steps=steps) for v in velocities]
    backward = [integrate_velocity(-v / count, steps=steps) for v in torch.flip(velocities, [0])]
    return integrate_sequence(forward), integrate_sequence(backward)
