"""The uniform weight: the same everywhere whatever the energy, at no cost, and the Gaussian prior's limit."""

from __future__ import annotations

import math

import pytest
import torch

from SpatialRegularizationLib.priors.gaussian import GaussianPrior
from SpatialRegularizationLib.priors.uniform import UniformPrior

ENERGIES = torch.logspace(-4, 3, 60, dtype=torch.float64)


def test_the_uniform_weight_is_the_same_everywhere_and_free() -> None:
    prior = UniformPrior(0.4)
    assert prior.optimal_lambda(ENERGIES).tolist() == [0.4] * len(ENERGIES)
    assert float(prior(ENERGIES)) == 0.0


def test_a_gaussian_prior_without_width_is_the_uniform_weight() -> None:
    stiff, uniform = GaussianPrior(0.4, 1e9), UniformPrior(0.4)
    torch.testing.assert_close(stiff.optimal_lambda(ENERGIES), uniform.optimal_lambda(ENERGIES), rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
def test_numbers_outside_their_range_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"lambda_max must be at least 0, got {value}"):
        UniformPrior(value)
