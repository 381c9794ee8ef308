"""A pair's optimization that starts from a network: λ leaves the network's value for the closed form, by the relaxation."""

from __future__ import annotations

import pytest
import torch

from SpatialRegularizationLib.fields.parameters import StationaryVelocity
from SpatialRegularizationLib.models.free import Free
from SpatialRegularizationLib.models.guided import Guided
from SpatialRegularizationLib.priors.beta import BetaPrior

VELOCITY = torch.sin(torch.arange(3 * 10**3, dtype=torch.float32)).view(1, 3, 10, 10, 10)
START = torch.full((1, 1, 10, 10, 10), 5.0)


def free() -> Free:
    return Free(VELOCITY, BetaPrior(2.0, 0.03).optimal_lambda, lambda_pooling=1)


@pytest.mark.parametrize("relaxation", [0.0, 0.25, 1.0])
def test_lambda_approaches_the_closed_form_geometrically(relaxation: float) -> None:
    guided = Guided(free(), START, relaxation=relaxation)
    best = free().lambda_map(VELOCITY)
    assert best.std() > 0
    for step in range(1, 4):
        left = (1 - relaxation) ** step
        assert torch.allclose(guided.lambda_map(VELOCITY), left * START + (1 - left) * best, atol=1e-5)
    assert torch.equal(START, torch.full_like(START, 5.0))


def test_its_velocity_is_that_of_free_and_its_only_parameter() -> None:
    guided = Guided(free(), START)
    assert [name for name, _ in guided.named_parameters()] == ["free.velocity"]
    assert torch.equal(guided.integrate(steps=4), guided.free.integrate(steps=4))
    prediction = guided()
    assert isinstance(prediction.parameters, StationaryVelocity)
    assert torch.equal(prediction.lambda_map, START)
