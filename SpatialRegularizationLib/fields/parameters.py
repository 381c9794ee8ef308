"""Define what the unknown of a registration is: a displacement, or a velocity that integrators turn into one."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Displacement:
    """u (N, d, *s), voxels of its lattice."""

    u: Tensor


@dataclass(frozen=True)
class StationaryVelocity:
    """v (N, d, *s), voxels of its lattice per unit time; φ = exp(v)."""

    velocity: Tensor
