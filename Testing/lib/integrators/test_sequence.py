"""Composition and flows of velocities that change with time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from analytic import Affine, SeparableSine, lattice
from conformance import check_gradient
from SpatialRegularizationLib.integrators.scaling_and_squaring import integrate_velocity
from SpatialRegularizationLib.integrators.sequence import compose, integrate_sequence, integrate_velocity_sequence

SHAPE = (9, 8, 10)
INWARDS = (
    Affine(-0.4 * torch.eye(3, dtype=torch.float64), (4.0, 3.5, 4.5)),
    Affine(torch.diag(torch.tensor([-0.1, -0.5, -0.3], dtype=torch.float64)), (5.0, 3.0, 4.0)),
    Affine(-0.2 * torch.eye(3, dtype=torch.float64), (3.0, 4.0, 5.0)),
)
"""Linear maps into the lattice: composing them is exact."""


def _increments() -> list[Tensor]:
    return [field.value(lattice(SHAPE))[None] for field in INWARDS]


def test_the_inner_displacement_acts_first() -> None:
    first, second = INWARDS[:2]
    x = lattice(SHAPE)
    between = x + first.value(x)
    expected = between + second.value(between) - x
    torch.testing.assert_close(compose(*_increments()[:2])[0], expected)
    assert float((compose(*reversed(_increments()[:2]))[0] - expected).abs().max()) > 0.1


def test_a_sequence_is_composed_from_the_first_to_the_last() -> None:
    x = lattice(SHAPE)
    position = x
    for field in INWARDS:
        position = position + field.value(position)
    torch.testing.assert_close(integrate_sequence(_increments())[0], position - x)


def test_one_increment_is_itself_and_none_is_refused() -> None:
    increment = _increments()[0]
    assert torch.equal(integrate_sequence([increment]), increment)
    with pytest.raises(ValueError, match="at least one increment, got none"):
        integrate_sequence([])


def test_the_same_velocity_at_all_times_is_the_stationary_flow() -> None:
    field = SeparableSine(SHAPE, (0.8, -0.6, 0.7))
    velocity = field.value(lattice(SHAPE))[None]
    exact = field.flow(lattice(SHAPE))[None]
    for count in (1, 2, 4):
        u, inverse = integrate_velocity_sequence(velocity.expand(count, *velocity.shape), steps=7)
        assert float((u - exact).abs().max()) < 0.02
        assert float((inverse - integrate_velocity(-velocity, steps=7)).abs().max()) < 0.02


def test_the_inverse_undoes_a_sequence_of_different_velocities() -> None:
    x = lattice(SHAPE)
    velocities = torch.stack(
        [SeparableSine(SHAPE, amplitude).value(x)[None] for amplitude in ((1.5, -1.0, 0.5), (-0.5, 1.2, 1.0), (0.3, 0.9, -1.4))]
    )
    u, inverse = integrate_velocity_sequence(velocities)
    largest = float(u.abs().max())
    assert float(compose(u, inverse).abs().max()) < 0.05 * largest
    assert float(compose(inverse, u).abs().max()) < 0.05 * largest


def _half(field: Affine) -> Tensor:
    """Displacement of the flow after half a unit of time."""
    return Affine(field.matrix / 2, field.center).flow(lattice(SHAPE))


def test_the_order_of_the_velocities_matters() -> None:
    turn = Affine(torch.tensor([[-0.6, -0.4, 0], [0.4, -0.6, 0], [0, 0, -0.5]], dtype=torch.float64), (4.0, 3.5, 4.5))
    velocities = torch.stack([turn.value(lattice(SHAPE))[None], 2 * INWARDS[1].value(lattice(SHAPE))[None]])
    u, _ = integrate_velocity_sequence(velocities, steps=10)
    position = lattice(SHAPE) + _half(turn)
    expected = position + INWARDS[1].flow(position) - lattice(SHAPE)
    assert float((u[0] - expected).abs().max()) < 5e-3
    swapped, _ = integrate_velocity_sequence(velocities.flip(0), steps=10)
    assert float((swapped - u).abs().max()) > 0.1


def test_gradients_reach_every_velocity() -> None:
    velocities = torch.randn(2, 1, 3, 3, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    check_gradient(lambda v: integrate_velocity_sequence(v, steps=2), [velocities])
