"""The exponential prior: all or nothing."""

from __future__ import annotations

import torch

from SpatialRegularizationLib.priors.exponential import ExponentialPrior


def test_the_weight_is_the_largest_where_little_bends_and_the_floor_elsewhere() -> None:
    energy = torch.tensor([0.0, 0.01, 0.02, 1.0])
    assert ExponentialPrior(2.0, 0.03, 0.25).optimal_lambda(energy).tolist() == [2.0, 2.0, 0.5, 0.5]
    assert float(ExponentialPrior(2.0, 0.5)(torch.full((4,), 1.0))) == 0.25
