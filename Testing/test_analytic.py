"""The oracles themselves: their derivatives agree with finite differences and their flows solve the flow equation."""

from __future__ import annotations

import pytest
import torch

from analytic import Affine, SeparableSine, Sine, determinant, gaussian_bump, lattice, rotation

SHAPE = (7, 6, 5)
STEP = 1e-5


def _numeric_jacobian(function, x: torch.Tensor) -> torch.Tensor:
    columns = []
    for a in range(x.shape[0]):
        step = torch.zeros_like(x)
        step[a] = STEP
        columns.append((function(x + step) - function(x - step)) / (2 * STEP))
    return torch.stack(columns, dim=1)


FIELDS = (
    Affine(torch.tensor([[0.1, 0.02, 0.0], [0.0, -0.05, 0.03], [0.01, 0.0, 0.2]]), (3.0, 2.5, 2.0), (0.5, 0.0, -1.0)),
    Sine((7.0, 6.0, 5.0), (0.4, 0.3, 0.2), (1, 2, 1)),
)


@pytest.mark.parametrize("field", FIELDS, ids=lambda f: type(f).__name__)
def test_the_jacobian_is_the_derivative_of_the_value(field) -> None:
    x = lattice(SHAPE)
    torch.testing.assert_close(field.jacobian(x), _numeric_jacobian(field.value, x), rtol=1e-6, atol=1e-8)


def _integrate(field, x: torch.Tensor, *, steps: int = 200) -> torch.Tensor:
    """φ₁(x) - x by the classical Runge-Kutta method."""
    h = 1 / steps
    y = x.clone()
    for _ in range(steps):
        k1 = field.value(y)
        k2 = field.value(y + h / 2 * k1)
        k3 = field.value(y + h / 2 * k2)
        k4 = field.value(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y - x


@pytest.mark.parametrize(
    "field",
    [FIELDS[0], rotation(0.7, (3.0, 2.5, 2.0)), SeparableSine(SHAPE, (2.0, -1.5, 1.0))],
    ids=["affine", "rotation", "separable sine"],
)
def test_the_flow_solves_the_flow_equation(field) -> None:
    x = lattice(SHAPE)
    torch.testing.assert_close(field.flow(x), _integrate(field, x), rtol=1e-7, atol=1e-8)


def test_the_determinant_of_the_separable_flow_is_its_derivative() -> None:
    field = SeparableSine(SHAPE, (2.0, -1.5, 1.0))
    x = lattice(SHAPE)
    numeric = determinant(_numeric_jacobian(field.flow, x))
    torch.testing.assert_close(field.flow_determinant(x), numeric, rtol=1e-5, atol=1e-7)


def test_a_rotation_preserves_volume_and_a_bump_is_highest_at_its_center() -> None:
    turned = rotation(0.4, (3.0, 2.5, 2.0))
    x = lattice(SHAPE)
    torch.testing.assert_close(determinant(_numeric_jacobian(turned.flow, x)), torch.ones(SHAPE, dtype=torch.float64))
    bump = gaussian_bump((5, 5, 5), height=(1.0, -2.0, 0.5), sigma=1.5)
    torch.testing.assert_close(bump[:, 2, 2, 2], torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
