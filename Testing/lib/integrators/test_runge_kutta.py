"""Stepping the flow: first order for Euler's rule, fourth for Runge-Kutta, and the flow scaling and squaring gives."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from analytic import Affine, SeparableSine, lattice
from conformance import check_gradient
from SpatialRegularizationLib.integrators.runge_kutta import integrate_quadrature, integrate_runge_kutta
from SpatialRegularizationLib.integrators.scaling_and_squaring import integrate_velocity

SHAPE = (9, 8, 10)
SPIRAL = Affine(torch.tensor([[-0.6, -0.5, 0.1], [0.5, -0.7, 0.0], [0.0, 0.2, -0.5]], dtype=torch.float64), (4.0, 3.5, 4.5))
"""Inwards, so that no path leaves the lattice; linear, so that interpolation is exact."""


@pytest.mark.parametrize(
    ("integrate", "steps", "order"),
    [(integrate_quadrature, (16, 32, 64, 128), 1.0), (integrate_runge_kutta, (1, 2, 4, 8, 16), 4.0)],
)
def test_the_order_of_convergence_in_the_step(integrate, steps: tuple[int, ...], order: float) -> None:
    x = lattice(SHAPE)
    velocity, exact = SPIRAL.value(x)[None], SPIRAL.flow(x)[None]
    errors = [float((integrate(velocity, steps=n) - exact).abs().max()) for n in steps]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders[1:] == pytest.approx([order] * (len(orders) - 1), abs=0.2)


@pytest.mark.parametrize("integrate", [integrate_quadrature, integrate_runge_kutta])
def test_stepping_and_squaring_arrive_at_the_same_flow(integrate) -> None:
    shape = (12, 11, 9)
    field = SeparableSine(shape, (0.9, -0.8, 0.5))
    x = lattice(shape)
    velocity, exact = field.value(x)[None], field.flow(x)[None]
    stepped, squared = integrate(velocity, steps=64), integrate_velocity(velocity, steps=6)
    assert float((stepped - exact).abs().max()) < 0.02
    assert float((stepped - squared).abs().max()) < 0.02


@pytest.mark.parametrize("integrate", [integrate_quadrature, integrate_runge_kutta])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_gradient_agrees_with_finite_differences(integrate, steps: int) -> None:
    velocity = torch.randn(1, 3, 4, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    check_gradient(lambda v: integrate(v, steps=steps), [velocity])


@pytest.mark.parametrize("integrate", [integrate_quadrature, integrate_runge_kutta])
def test_any_number_of_steps_translates_by_a_constant_velocity(integrate) -> None:
    velocity = torch.ones(1, 2, 4, 5, dtype=torch.float64) * torch.tensor([1.5, -3.0]).view(1, 2, 1, 1)
    for steps in (1, 2, 7):
        torch.testing.assert_close(integrate(velocity, steps=steps), velocity)


@pytest.mark.parametrize("integrate", [integrate_quadrature, integrate_runge_kutta])
def test_no_step_at_all_is_refused(integrate) -> None:
    with pytest.raises(ValueError, match="integration steps must be at least 1, got 0"):
        integrate(torch.zeros(1, 3, 2, 2, 2), steps=0)
