"""Displacements and velocities in closed form, with their derivatives and flows: the oracles of the field tests.

Everything is in voxels, float64, for coordinates x of shape (d, *shape). Each field has

    value(x)     u(x) or v(x)                    (d, *shape)
    jacobian(x)  ∂u_c/∂x_a                       (d, d, *shape), component c first
    flow(x)      φ₁(x) - x of the velocity v     (d, *shape), where it exists: d/dt φ_t = v(φ_t), φ_0 = id
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


def lattice(shape: tuple[int, ...]) -> torch.Tensor:
    """Voxel coordinates (d, *shape), float64."""
    axes = [torch.arange(n, dtype=torch.float64) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def determinant(jacobian: torch.Tensor) -> torch.Tensor:
    """det(I + ∂u/∂x) (*shape) of a Jacobian of displacements (d, d, *shape)."""
    d = jacobian.shape[0]
    matrices = jacobian.movedim((0, 1), (-2, -1)) + torch.eye(d, dtype=jacobian.dtype)
    return torch.linalg.det(matrices)


@dataclass(frozen=True)
class Affine:
    """v(x) = A (x - center) + shift. Its flow is exp(A) about the fixed point; for A = 0 the translation by `shift`."""

    matrix: torch.Tensor
    center: tuple[float, ...]
    shift: tuple[float, ...] = (0.0, 0.0, 0.0)

    def value(self, x: torch.Tensor) -> torch.Tensor:
        d = x.shape[0]
        relative = x - _column(self.center, d)
        return torch.einsum("ca,a...->c...", self.matrix.double(), relative) + _column(self.shift, d)

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        d = x.shape[0]
        return self.matrix.double().reshape(d, d, *[1] * d).expand(d, d, *x.shape[1:]).clone()

    def flow(self, x: torch.Tensor) -> torch.Tensor:
        d = x.shape[0]
        generator = torch.zeros(d + 1, d + 1, dtype=torch.float64)
        generator[:d, :d] = self.matrix
        generator[:d, d] = torch.tensor(self.shift[:d], dtype=torch.float64)
        moved = torch.matrix_exp(generator)
        relative = x - _column(self.center, d)
        mapped = torch.einsum("ca,a...->c...", moved[:d, :d], relative) + moved[:d, d].reshape(d, *[1] * d)
        return mapped - relative


def rotation(angle: float, center: tuple[float, ...], *, plane: tuple[int, int] = (0, 1)) -> Affine:
    """Velocity whose flow turns by `angle` radians about `center` in the plane of two axes."""
    d = len(center)
    matrix = torch.zeros(d, d, dtype=torch.float64)
    matrix[plane[0], plane[1]] = -angle
    matrix[plane[1], plane[0]] = angle
    return Affine(matrix, center, (0.0,) * d)


@dataclass(frozen=True)
class Sine:
    """u_c(x) = a_c Π_a sin(2π k_a x_a / P_a + θ_c), periodic with P; zero mean, every derivative known."""

    periods: tuple[float, ...]
    amplitude: tuple[float, ...]
    waves: tuple[int, ...] = (1, 1, 1)
    phase: tuple[float, ...] = (0.3, 1.1, 2.0)

    def value(self, x: torch.Tensor) -> torch.Tensor:
        d = x.shape[0]
        return torch.stack([self.amplitude[c] * self._angles(x, c).sin().prod(dim=0) for c in range(d)])

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        d = x.shape[0]
        rows = []
        for c in range(d):
            angles = self._angles(x, c)
            row = []
            for a in range(d):
                factors = angles.sin()
                factors[a] = angles[a].cos() * self._frequency(a)
                row.append(self.amplitude[c] * factors.prod(dim=0))
            rows.append(torch.stack(row))
        return torch.stack(rows)

    def _frequency(self, axis: int) -> float:
        return 2 * math.pi * self.waves[axis] / self.periods[axis]

    def _angles(self, x: torch.Tensor, component: int) -> torch.Tensor:
        return torch.stack([self._frequency(a) * x[a] + self.phase[component] for a in range(x.shape[0])])


@dataclass(frozen=True)
class SeparableSine:
    """v_c(x) = a_c sin(ω_c x_c), ω_c = π / (n_c - 1): zero on the border of the lattice, with a closed-form flow

        tan(ω φ_t / 2) = e · tan(ω x / 2),   ∂φ_t/∂x = e / (cos²(ω x / 2) + e² sin²(ω x / 2)),   e = exp(a ω t).

    The flow is a diffeomorphism of the box for any amplitude.
    """

    shape: tuple[int, ...]
    amplitude: tuple[float, ...]

    def value(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([a * (w * x[c]).sin() for c, (a, w) in enumerate(self._terms())])

    def flow(self, x: torch.Tensor, *, time: float = 1.0) -> torch.Tensor:
        mapped = []
        for c, (a, w) in enumerate(self._terms()):
            half = w * x[c] / 2
            mapped.append(2 / w * torch.atan2(math.exp(a * w * time) * half.sin(), half.cos()))
        return torch.stack(mapped) - x

    def flow_determinant(self, x: torch.Tensor, *, time: float = 1.0) -> torch.Tensor:
        """det ∂φ_t/∂x (*shape)."""
        result = torch.ones_like(x[0])
        for c, (a, w) in enumerate(self._terms()):
            e = math.exp(a * w * time)
            half = w * x[c] / 2
            result = result * e / (half.cos() ** 2 + (e * half.sin()) ** 2)
        return result

    def _terms(self) -> list[tuple[float, float]]:
        return [(a, math.pi / (n - 1)) for a, n in zip(self.amplitude, self.shape, strict=True)]


def gaussian_bump(
    shape: tuple[int, ...], *, height: tuple[float, ...], sigma: float, center: tuple[float, ...] | None = None
) -> torch.Tensor:
    """u (d, *shape): a displacement `height` at `center` that dies off as a Gaussian of `sigma` voxels."""
    x = lattice(shape)
    middle = center if center is not None else tuple((n - 1) / 2 for n in shape)
    distance = ((x - _column(middle, len(shape))) ** 2).sum(dim=0)
    return _column(height, len(shape)) * torch.exp(-distance / (2 * sigma**2))


def _column(values: tuple[float, ...], d: int) -> torch.Tensor:
    return torch.tensor(values[:d], dtype=torch.float64).reshape(d, *[1] * d)
