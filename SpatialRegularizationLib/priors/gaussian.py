"""Gaussian hyperprior of the spatial weight (TM-SPR journal paper, Eqs. 15-16).

    -log p(λ) = σ′ mean_p ( λ(p)/λmean - 1 )²,       λ ≥ 0,  σ′ = 1/(2σ²) ≥ 0
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GaussianPrior:
    """Normal prior on λ around λmean, one-sided at 0.

    Args:
        lambda_mean: preferred weight, > 0.
        sigma_prime: σ′ = 1/(2σ²), ≥ 0 (mean form).
        lambda_floor: smallest w = λ/λmean that `optimal_lambda` returns, in [0, 1].
    """

    lambda_mean: float = 1.0
    sigma_prime: float = 0.05
    lambda_floor: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lambda_mean) and self.lambda_mean > 0):
            raise ValueError(f"lambda_mean must be positive, got {self.lambda_mean}.")
        if not (math.isfinite(self.sigma_prime) and self.sigma_prime >= 0):
            raise ValueError(f"sigma_prime must be at least 0, got {self.sigma_prime}.")
        if not 0 <= self.lambda_floor <= 1:
            raise ValueError(f"lambda_floor must lie in [0, 1], got {self.lambda_floor}.")

    def __call__(self, lambda_map: Tensor) -> Tensor:
        return self.sigma_prime * (lambda_map / self.lambda_mean - 1).square().mean()

    def optimal_lambda(self, energy: Tensor) -> Tensor:
        """argmin over λ ≥ 0 of λ g + σ′(λ/λmean - 1)²:   λ* = λmean · max(0, 1 - λmean g/(2σ′))."""
        scale = self.lambda_mean / (2 * self.sigma_prime) if self.sigma_prime > 0 else math.inf
        w = (1 - scale * energy.clamp(min=torch.finfo(energy.dtype).tiny)).clamp(min=0.0)
        return self.lambda_mean * w.clamp(min=self.lambda_floor)
