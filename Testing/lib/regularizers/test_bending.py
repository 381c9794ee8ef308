"""Bending energy on polynomials, against its sum, and weighted."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from analytic import Affine, lattice
from conformance import check_gradient, check_refuses, displacement, weights
from SpatialRegularizationLib.regularizers.bending import Bending, bending_energy


def _direct(u: torch.Tensor, lambda_map: torch.Tensor) -> float:
    """1/(d³ N) Σ_p λ Σ_c Σ_ab (∂²u_c/∂x_a∂x_b)² over the inner voxels, in Python numbers."""
    d, shape = u.shape[1], tuple(u.shape[2:])
    total, count = 0.0, 0
    for p in product(*(range(1, n - 1) for n in shape)):
        count += 1
        for c, a, b in product(range(d), repeat=3):
            total += float(lambda_map[(0, 0, *p)]) * _second(u[0, c], p, a, b) ** 2
    return total / (d**3 * count)


def _second(x: torch.Tensor, p: tuple[int, ...], a: int, b: int) -> float:
    def read(i: int, j: int) -> float:
        return float(x[tuple(v + i * (n == a) + j * (n == b) for n, v in enumerate(p))])

    if a == b:
        return read(1, 0) - 2 * read(0, 0) + read(-1, 0)
    return (read(1, 1) + read(-1, -1) - read(1, -1) - read(-1, 1)) / 4


def test_the_value_is_the_sum_over_the_inner_voxels() -> None:
    u, lambda_map = displacement((5, 4, 6)), weights((5, 4, 6))
    assert float(bending_energy(u, lambda_map)) == pytest.approx(_direct(u, lambda_map), rel=1e-12)


def test_an_affine_map_costs_nothing() -> None:
    matrix = torch.tensor([[0.1, -0.3, 0.2], [0.0, 0.2, 0.5], [-0.4, 0.1, 0.3]], dtype=torch.float64)
    u = Affine(matrix, (2.0, 1.0, 3.0), (5.0, -4.0, 1.0)).value(lattice((6, 5, 4)))[None]
    assert float(bending_energy(u)) == pytest.approx(0.0, abs=1e-25)


def test_a_quadratic_displacement_has_the_norm_of_its_second_derivatives() -> None:
    x, y, z = lattice((6, 5, 7))
    u = torch.stack([0.3 * x**2 + 0.2 * x * y, -0.1 * z**2, 0.4 * y * z])[None]
    squares = 0.6**2 + 2 * 0.2**2 + 0.2**2 + 2 * 0.4**2  # mixed derivatives count twice
    assert float(bending_energy(u)) == pytest.approx(squares / 27)


@pytest.mark.parametrize("shape", [(5, 4, 6), (6, 5)])
def test_one_weight_everywhere_is_that_many_times_the_plain_energy(shape: tuple[int, ...]) -> None:
    u = displacement(shape)
    constant = torch.full((1, 1, *shape), 0.7, dtype=torch.float64)
    torch.testing.assert_close(Bending()(u, constant), 0.7 * bending_energy(u))
    torch.testing.assert_close(Bending()(u, 0.7), 0.7 * bending_energy(u))


def test_the_gradients_in_two_axes_agree_with_finite_differences() -> None:
    check_gradient(bending_energy, [displacement((5, 4)), weights((5, 4))])


def test_weights_on_the_border_do_not_count() -> None:
    u, lambda_map = displacement((5, 4, 6)), weights((5, 4, 6))
    other = torch.full_like(lambda_map, 99.0)
    inner = (slice(None), slice(None), *(slice(1, -1),) * 3)
    other[inner] = lambda_map[inner]
    torch.testing.assert_close(bending_energy(u, other), bending_energy(u, lambda_map))


def test_an_axis_too_short_for_the_stencil_is_refused() -> None:
    check_refuses(bending_energy, [torch.zeros(1, 3, 5, 2, 5)], r"at least 3 voxels along each axis, got \(5, 2, 5\)")
