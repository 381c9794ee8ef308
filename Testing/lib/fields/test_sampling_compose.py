"""Composition of displacements: which acts first."""

from __future__ import annotations

import torch
from torch import Tensor

from analytic import Affine, lattice
from SpatialRegularizationLib.fields.sampling import compose

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


def test_increments_are_composed_from_the_first_to_the_last() -> None:
    x = lattice(SHAPE)
    position = x
    for field in INWARDS:
        position = position + field.value(position)
    first, second, third = _increments()
    torch.testing.assert_close(compose(compose(first, second), third)[0], position - x)
