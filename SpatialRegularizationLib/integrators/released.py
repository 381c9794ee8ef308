"""Integrate a velocity as the released TM-SPR networks do: zeros outside of the lattice, and a bound on the result.

    u ← v / 2^n;   n times:  u ← u + u∘(id + u);   u clamped to ±100 voxels

For their checkpoints only; `scaling_and_squaring.py` repeats the border instead, keeps less memory and is faster.
"""

from __future__ import annotations

from torch import Tensor

from ..fields.sampling import ZeroPadding, warp_zero_padded

LARGEST = 100.0
"""Bound on each component of u, voxels."""


def integrate_velocity_released(velocity: Tensor, *, steps: int, positions: ZeroPadding) -> Tensor:
    """Displacement u (N, d, *s) of a velocity (N, d, *s), voxels; `positions` as in `warp_zero_padded`."""
    u = velocity * (0.5**steps)
    for _ in range(steps):
        u = u + warp_zero_padded(u, u, positions)
    return u.clamp(-LARGEST, LARGEST)
