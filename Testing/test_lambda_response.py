"""λ against α′ and λmax: the closed form obeys the reading of the paper, its opposite does not, and wrong calls are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known_model import Known
from lambda_response import LambdaResponse, lambda_response
from torch import Tensor

from SpatialRegularizationLib.fields.parameters import StationaryVelocity
from SpatialRegularizationLib.models.base import Hyperparameter, Prediction
from SpatialRegularizationLib.priors.beta import BetaPrior


class Optimal(Known):
    """Answers the beta prior's optimal λ for a gradient energy that is the squared fixed image."""

    system = "optimal"
    hyperparameters = (Hyperparameter("alpha_prime", 0.0, 0.4, 0.1), Hyperparameter("lambda_max", 0.1, 4.0, 1.0))

    def forward(self, moving: Tensor, fixed: Tensor, condition: Tensor | None = None, *, with_lambda: bool = True):
        alpha_prime, lambda_max = (float(c) * h.high for c, h in zip(condition[0], self.hyperparameters, strict=True))
        prior = BetaPrior(lambda_max, alpha_prime)
        return Prediction(StationaryVelocity(torch.zeros(1, 3, 2, 2, 2)), prior.optimal_lambda(fixed.square()))


PAIRS = [(torch.zeros(1, 1, 8, 8, 8), torch.rand(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(n))) for n in range(2)]


def test_the_priors_optimum_is_the_papers_observation() -> None:
    response = lambda_response(Optimal(), PAIRS, points=4)
    assert response.alpha_raises_lambda
    assert response.lambda_max_lowers_relative
    assert response.mean_lambda.shape == (4, 4)
    assert (response.alpha_prime[-1], response.lambda_max[-1]) == pytest.approx((0.4, 4.0))
    energy = torch.cat([fixed for _, fixed in PAIRS]).square().double()
    expected = (0.4 / energy).clamp(max=4.0).mean()
    assert response.mean_lambda[-1, -1] == pytest.approx(float(expected), rel=1e-6)
    assert "α′ 0.4: " in response.words()


def test_a_response_the_other_way_round_or_none_at_all_is_not_it() -> None:
    mean = lambda_response(Optimal(), PAIRS).mean_lambda
    axes = ((0.1, 0.2, 0.4), (1.0, 2.0, 4.0))
    assert not LambdaResponse(*axes, mean[::-1]).alpha_raises_lambda
    flat = LambdaResponse(*axes, np.full((3, 3), 0.5) * np.array(axes[1]))
    assert not flat.alpha_raises_lambda
    assert not flat.lambda_max_lowers_relative
    assert not LambdaResponse(*axes, np.full((3, 3), 0.1) * np.array(axes[1]) ** 2).lambda_max_lowers_relative


def test_one_step_the_wrong_way_is_enough_and_rounding_is_not() -> None:
    axes = ((0.1, 0.2, 0.4), (1.0, 2.0))
    rising = np.array([[0.2, 0.2], [0.6, 0.6], [0.9, 0.9]])
    for dip, fine in ((0.0, True), (5e-5, True), (1e-2, False)):
        bent = rising.copy()
        bent[2, 1] = bent[1, 1] - dip
        assert LambdaResponse(*axes, bent * np.array(axes[1])).alpha_raises_lambda is fine


def test_other_models_and_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="conditioned on alpha_prime and lambda_max, got known with alpha_prime"):
        lambda_response(Known(), PAIRS)
    for pairs, points in ((PAIRS, 1), ([], 3)):
        with pytest.raises(ValueError, match="at least 2 points and 1 pair"):
            lambda_response(Optimal(), pairs, points=points)
