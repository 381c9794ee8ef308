"""A pair's optimization that starts from a network: λ leaves the network's value for the closed form, by the relaxation."""

from __future__ import annotations

import pytest
import torch

from SpatialRegularizationLib.fields.parameters import StationaryVelocity
from SpatialRegularizationLib.integrators.scaling_and_squaring import integrate_velocity
from SpatialRegularizationLib.models.free import Free
from SpatialRegularizationLib.models.guided import Guided
from SpatialRegularizationLib.priors.beta import BetaPrior

VELOCITY = torch.sin(torch.arange(3 * 10**3, dtype=torch.float32)).view(1, 3, 10, 10, 10)
START = torch.full((1, 1, 10, 10, 10), 5.0)
FREE = Free(VELOCITY, BetaPrior(2.0, 0.03).optimal_lambda, lambda_pooling=1)


def guided(**more: object) -> Guided:
    return Guided(VELOCITY, START, FREE.lambda_map, lattice=(4, 4, 4), **more)


@pytest.mark.parametrize("relaxation", [0.0, 0.25, 1.0])
def test_lambda_approaches_the_closed_form_geometrically(relaxation: float) -> None:
    found = guided(relaxation=relaxation)
    best = FREE.lambda_map(VELOCITY)
    assert best.std() > 0
    for step in range(1, 4):
        left = (1 - relaxation) ** step
        present = found.lambda_map(VELOCITY)
        assert torch.equal(found.lambda_map(VELOCITY), present)  # asking changes nothing
        assert torch.allclose(present, left * START + (1 - left) * best, atol=1e-5)
        found.keep(present)
    assert torch.equal(START, torch.full_like(START, 5.0))


def test_without_a_correction_it_is_the_networks_answer() -> None:
    found = guided()
    assert [name for name, _ in found.named_parameters()] == ["unknown"]
    assert torch.equal(found.velocity, VELOCITY)
    prediction = found()
    assert isinstance(prediction.parameters, StationaryVelocity)
    assert torch.equal(prediction.lambda_map, START)


def test_a_correction_is_interpolated_and_has_a_gradient() -> None:
    found = guided()
    with torch.no_grad():
        found.unknown[0, 1] = 0.5  # voxels of the correction's lattice, three of the velocity's
    expected = torch.tensor([0.0, 1.5, 0.0]).view(1, 3, 1, 1, 1).expand_as(VELOCITY)
    assert torch.allclose(found.velocity - VELOCITY, expected, atol=1e-5)
    assert found.coarser == 3
    integrate_velocity(found.velocity, steps=2).square().sum().backward()
    assert float(found.unknown.grad.abs().min()) > 0
