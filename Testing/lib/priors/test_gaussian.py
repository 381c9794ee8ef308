"""Gaussian prior: formula, closed form, and the saturating penalty that remains (Eqs. 15-16)."""

from __future__ import annotations

import math

import pytest
import torch

from SpatialRegularizationLib.priors.gaussian import GaussianPrior

PRIORS = [GaussianPrior(1.0, 0.05), GaussianPrior(3.0, 0.5), GaussianPrior(0.2, 2.0)]
ENERGIES = torch.logspace(-4, 3, 60, dtype=torch.float64)


def _total(prior: GaussianPrior, lambda_map: torch.Tensor, energy: torch.Tensor) -> torch.Tensor:
    """λ g + σ′ (λ/λmean - 1)², voxel by voxel."""
    return lambda_map * energy + prior.sigma_prime * (lambda_map / prior.lambda_mean - 1) ** 2


@pytest.mark.parametrize("prior", PRIORS)
def test_the_value_is_the_mean_squared_relative_distance(prior: GaussianPrior) -> None:
    w = torch.tensor([0.0, 0.5, 1.0, 3.0], dtype=torch.float64).view(1, 1, 2, 2)
    assert float(prior(prior.lambda_mean * w)) == pytest.approx(prior.sigma_prime * (1 + 0.25 + 0 + 4) / 4)


@pytest.mark.parametrize("prior", PRIORS)
def test_no_weight_of_a_fine_grid_is_better_than_the_closed_form(prior: GaussianPrior) -> None:
    grid = prior.lambda_mean * torch.linspace(0, 2, 20001, dtype=torch.float64)
    best = prior.optimal_lambda(ENERGIES)
    values = _total(prior, grid[:, None], ENERGIES)
    assert (_total(prior, best, ENERGIES) <= values.amin(0) + 1e-12).all()
    assert float((grid[values.argmin(0)] - best).abs().max()) <= float(grid[1])


@pytest.mark.parametrize("prior", PRIORS)
def test_with_the_closed_form_the_penalty_saturates(prior: GaussianPrior) -> None:
    threshold = 2 * prior.sigma_prime / prior.lambda_mean
    reduced = _total(prior, prior.optimal_lambda(ENERGIES), ENERGIES)
    scaled = prior.lambda_mean * ENERGIES
    rising = scaled - scaled**2 / (4 * prior.sigma_prime)
    expected = torch.where(threshold > ENERGIES, rising, torch.full_like(ENERGIES, prior.sigma_prime))
    torch.testing.assert_close(reduced, expected)
    assert (threshold > ENERGIES).any()
    assert (threshold <= ENERGIES).any()


def test_no_energy_leaves_the_mean_and_a_weak_prior_leaves_the_floor() -> None:
    energy = torch.tensor([0.0, 1e-3, 5.0], dtype=torch.float64)
    assert float(GaussianPrior(2.0, 0.1).optimal_lambda(energy)[0]) == pytest.approx(2.0)
    assert GaussianPrior(2.0, 0.0).optimal_lambda(energy).tolist() == [0.0, 0.0, 0.0]
    assert GaussianPrior(2.0, 0.0, 0.25).optimal_lambda(energy).tolist() == [0.5, 0.5, 0.5]
    assert float(GaussianPrior(2.0, 0.0)(energy)) == 0.0


def test_the_floor_lifts_small_weights_only() -> None:
    plain, lifted = (GaussianPrior(2.0, 0.1, floor).optimal_lambda(ENERGIES) for floor in (0.0, 0.3))
    torch.testing.assert_close(lifted, plain.clamp(min=0.6))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 0.1), "lambda_mean must be positive, got 0"),
        ((1.0, math.inf), "sigma_prime must be at least 0, got inf"),
        ((1.0, 0.1, 1.1), r"lambda_floor must lie in \[0, 1\], got 1.1"),
    ],
)
def test_numbers_outside_their_range_are_refused(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianPrior(*arguments)
