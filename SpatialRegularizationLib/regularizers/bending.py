"""Bending energy (Rueckert et al. 1999): the mean squared second derivatives of the displacement.

    R(u) = 1/(d³ N) Σ_p Σ_c Σ_{a,b} ( ∂²u_c/∂x_a∂x_b )²

central second differences in voxels, evaluated where the whole stencil lies inside the lattice. Affine maps cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Bending:
    """Bending energy with a weight that may vary in space."""

    def __call__(self, u: Tensor, lambda_map: Tensor | float = 1.0) -> Tensor:
        return bending_energy(u, lambda_map)


def bending_energy(u: Tensor, lambda_map: Tensor | float = 1.0) -> Tensor:
    """R(u), each term multiplied by λ(p).

    Args:
        u: (N, d, *s) in voxels, at least 3 voxels along each axis.
        lambda_map: (N, 1, *s) ≥ 0 or a number.
    """
    d = u.shape[1]
    if min(u.shape[2:]) < 3:
        raise ValueError(f"Bending energy needs at least 3 voxels along each axis, got {tuple(u.shape[2:])}.")
    inner = (slice(None), slice(None), *([slice(1, -1)] * d))
    weight = lambda_map[inner] if isinstance(lambda_map, Tensor) else lambda_map
    total = 0.0
    for a in range(d):
        for b in range(a, d):
            second = _second_difference(u, a, b)
            total = total + (1 if a == b else 2) * (weight * second.square()).mean()
    return total / d**2


def _shifted(u: Tensor, shifts: dict[int, int]) -> Tensor:
    """Interior voxels displaced by the given shifts (each -1, 0 or 1)."""
    for axis in range(u.shape[1]):
        u = u.narrow(2 + axis, 1 + shifts.get(axis, 0), u.shape[2 + axis] - 2)
    return u


def _second_difference(u: Tensor, a: int, b: int) -> Tensor:
    if a == b:
        return _shifted(u, {a: 1}) - 2 * _shifted(u, {}) + _shifted(u, {a: -1})
    plus = _shifted(u, {a: 1, b: 1}) + _shifted(u, {a: -1, b: -1})
    return (plus - _shifted(u, {a: 1, b: -1}) - _shifted(u, {a: -1, b: 1})) / 4
