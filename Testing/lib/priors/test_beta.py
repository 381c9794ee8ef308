"""Beta prior: its formula, its closed-form weight, and the robust penalty that remains (TM-SPR, Eqs. 17-18)."""

from __future__ import annotations

import math

import pytest
import torch

from SpatialRegularizationLib.priors.beta import SMALLEST_WEIGHT, BetaPrior

PRIORS = [BetaPrior(1.0, 0.03), BetaPrior(3.0, 0.1), BetaPrior(0.2, 1.5)]
ENERGIES = torch.logspace(-5, 3, 60, dtype=torch.float64)


def _total(prior: BetaPrior, lambda_map: torch.Tensor, energy: torch.Tensor) -> torch.Tensor:
    """λ g - α′ log(λ/λmax), voxel by voxel."""
    return lambda_map * energy - prior.alpha_prime * (lambda_map / prior.lambda_max).log()


@pytest.mark.parametrize("prior", PRIORS)
def test_the_value_is_the_mean_logarithm_of_the_relative_weight(prior: BetaPrior) -> None:
    w = torch.tensor([0.01, 0.2, 0.9, 1.0], dtype=torch.float64).view(1, 1, 1, 2, 2)
    expected = -prior.alpha_prime * sum(math.log(x) for x in (0.01, 0.2, 0.9, 1.0)) / 4
    assert float(prior(prior.lambda_max * w)) == pytest.approx(expected)
    assert float(prior(torch.full_like(w, prior.lambda_max))) == pytest.approx(0.0, abs=1e-15)


def test_no_weight_costs_what_the_smallest_does_and_none_above_the_largest_pays() -> None:
    prior = BetaPrior(2.0, 0.5)
    assert float(prior(torch.zeros(1, 1, 2, 2, 2))) == pytest.approx(-0.5 * math.log(SMALLEST_WEIGHT))
    assert float(prior(torch.full((1, 1, 2, 2, 2), 9.0))) == 0.0


@pytest.mark.parametrize("prior", PRIORS)
def test_no_weight_of_a_fine_grid_is_better_than_the_closed_form(prior: BetaPrior) -> None:
    grid = prior.lambda_max * torch.linspace(0, 1, 20001, dtype=torch.float64)[1:]
    best = prior.optimal_lambda(ENERGIES)
    values = _total(prior, grid[:, None], ENERGIES)
    assert (_total(prior, best, ENERGIES) <= values.amin(0) + 1e-12).all()
    interior = (best > grid[5]) & (best < prior.lambda_max)
    step = float(grid[1] - grid[0])
    assert float((grid[values.argmin(0)] - best)[interior].abs().max()) <= step


@pytest.mark.parametrize("prior", PRIORS)
def test_with_the_closed_form_the_penalty_is_linear_and_then_logarithmic(prior: BetaPrior) -> None:
    threshold = prior.alpha_prime / prior.lambda_max
    reduced = _total(prior, prior.optimal_lambda(ENERGIES), ENERGIES)
    logarithmic = prior.alpha_prime * (1 + (prior.lambda_max * ENERGIES / prior.alpha_prime).log())
    expected = torch.where(threshold >= ENERGIES, prior.lambda_max * ENERGIES, logarithmic)
    torch.testing.assert_close(reduced, expected)
    assert (threshold >= ENERGIES).any()
    assert (threshold < ENERGIES).any()


def test_smooth_places_get_the_largest_weight() -> None:
    prior = BetaPrior(2.0, 0.1)
    energy = torch.tensor([0.0, 1e-300, 0.05], dtype=torch.float64)
    torch.testing.assert_close(prior.optimal_lambda(energy), torch.full_like(energy, 2.0))
    assert torch.isfinite(prior.optimal_lambda(energy.float())).all()


def test_alpha_prime_zero_prefers_nothing_and_leaves_the_floor() -> None:
    w = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    assert float(BetaPrior(1.0, 0.0)(w)) == 0.0
    energy = torch.tensor([1e-6, 1.0, 50.0], dtype=torch.float64)
    assert float(BetaPrior(1.0, 0.0).optimal_lambda(energy).abs().max()) == 0.0
    torch.testing.assert_close(
        BetaPrior(4.0, 0.0, 0.25).optimal_lambda(energy), torch.ones_like(energy)
    )  # the floor is relative to lambda_max


def test_the_floor_lifts_small_weights_only() -> None:
    plain, lifted = (BetaPrior(2.0, 0.1, floor).optimal_lambda(ENERGIES) for floor in (0.0, 0.3))
    torch.testing.assert_close(lifted, plain.clamp(min=0.6))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 0.1), "lambda_max must be positive, got -1"),
        ((math.inf, 0.1), "lambda_max must be positive, got inf"),
        ((1.0, math.nan), "alpha_prime must be at least 0, got nan"),
        ((1.0, 0.1, -0.1), r"lambda_floor must lie in \[0, 1\], got -0.1"),
        ((1.0, 0.1, math.nan), r"lambda_floor must lie in \[0, 1\], got nan"),
    ],
)
def test_numbers_outside_their_range_are_refused(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BetaPrior(*arguments)
