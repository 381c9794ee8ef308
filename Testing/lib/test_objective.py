"""The energy: its terms add up, and one that is not a number is named."""

from __future__ import annotations

import math

import pytest
import torch

import conformance
from SpatialRegularizationLib.objective import Energy, NonFiniteEnergyError, Objective
from SpatialRegularizationLib.priors.beta import BetaPrior
from SpatialRegularizationLib.regularizers.diffusion import WeightedDiffusion
from SpatialRegularizationLib.similarity.mse import Mse

SHAPE = (9, 8, 7)
TERMS = ("similarity", "regularization", "prior")


def test_the_energy_is_the_sum_of_its_three_terms() -> None:
    warped, fixed = conformance.textures(SHAPE)
    u, lambda_map = conformance.displacement(SHAPE), conformance.weights(SHAPE)
    energy = Objective(Mse(), WeightedDiffusion(), BetaPrior(1.0, 0.03))(warped, fixed, u, lambda_map)
    numbers = energy.numbers()
    assert numbers["total"] == pytest.approx(sum(numbers[name] for name in TERMS), rel=1e-12)
    assert numbers["similarity"] == pytest.approx(float(Mse()(warped, fixed)), rel=1e-12)
    assert numbers["regularization"] == pytest.approx(float(WeightedDiffusion()(u, lambda_map)), rel=1e-12)
    assert numbers["prior"] == pytest.approx(float(BetaPrior(1.0, 0.03)(lambda_map)), rel=1e-12)


def test_the_mask_reaches_the_similarity_alone() -> None:
    warped, fixed = conformance.textures(SHAPE)
    u, lambda_map = conformance.displacement(SHAPE), conformance.weights(SHAPE)
    mask = torch.zeros_like(fixed)
    mask[:, :, 2:5] = 1
    objective = Objective(Mse(), WeightedDiffusion(), BetaPrior())
    whole, part = objective(warped, fixed, u, lambda_map), objective(warped, fixed, u, lambda_map, mask)
    assert float(part.similarity) == pytest.approx(float((warped - fixed)[:, :, 2:5].square().mean()), rel=1e-12)
    assert part.regularization == whole.regularization
    assert part.prior == whole.prior


def test_without_a_difference_or_motion_only_the_prior_is_left() -> None:
    fixed = conformance.textures(SHAPE, count=1)[0]
    lambda_map = conformance.weights(SHAPE)
    rest = torch.zeros(1, 3, *SHAPE, dtype=torch.float64)
    energy = Objective(Mse(), WeightedDiffusion(), BetaPrior())(fixed, fixed, rest, lambda_map)
    assert float(energy.total) == float(energy.prior) > 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", TERMS)
def test_a_term_that_is_not_finite_is_named(name: str, value: float) -> None:
    terms = {term: torch.tensor(1.0) for term in TERMS} | {name: torch.tensor(value)}
    with pytest.raises(NonFiniteEnergyError, match=rf"^The {name} term of the energy is .*Lower the learning rate"):
        Energy(sum(terms.values()), **terms).numbers()


def test_an_overflowing_sum_of_finite_terms_is_named_as_the_total() -> None:
    large = torch.tensor(3e38)
    with pytest.raises(NonFiniteEnergyError, match=r"^The total term"):
        Energy(large + large, large, large, torch.tensor(0.0)).numbers()
