"""Gaussian hyperprior of the spatial weight (TM-SPR journal paper, Eqs. 15-16).

    -log p(λ) = σ′ mean_p ( λ(p)/λmean - 1 )²,       λ ≥ 0,  σ′ = 1/(2σ²) ≥ 0
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..declaration import number
from .prior import Prior, lambda_floor

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class GaussianPrior(Prior):
    """Normal prior on λ around λmean, one-sided at 0.

    Args:
        lambda_mean: preferred weight, > 0.
        sigma_prime: σ′ = 1/(2σ²), ≥ 0 (mean form).
        lambda_floor: smallest w = λ/λmean that `optimal_lambda` returns, in [0, 1].
    """

    name: ClassVar[str] = "gaussian"
    summary: ClassVar[str] = "a normal distribution about lambda-mean"
    bounded: ClassVar[bool] = False

    lambda_mean: float = number(
        1.0, 0.0, 1e3, "", "Gaussian prior: value that lambda is drawn to", symbol="λmean", live=True, search=(0.1, 10.0)
    )
    sigma_prime: float = number(
        0.05, 0.0, 1e4, "", "Gaussian prior: 1/(2 sigma^2); larger keeps lambda nearer its mean",
        symbol="σ′", offered=0.03, live=True, search=(0.003, 0.3),
    )  # fmt: skip
    lambda_floor: float = lambda_floor()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lambda_mean) and self.lambda_mean > 0):
            raise ValueError(f"lambda_mean must be positive, got {self.lambda_mean}.")
        if not (math.isfinite(self.sigma_prime) and self.sigma_prime >= 0):
            raise ValueError(f"sigma_prime must be at least 0, got {self.sigma_prime}.")
        if not 0 <= self.lambda_floor <= 1:
            raise ValueError(f"lambda_floor must lie in [0, 1], got {self.lambda_floor}.")

    @property
    def reference(self) -> float:
        """λmean."""
        return self.lambda_mean

    def __call__(self, lambda_map: Tensor) -> Tensor:
        return self.sigma_prime * (lambda_map / self.lambda_mean - 1).square().mean()

    def optimal_lambda(self, energy: Tensor) -> Tensor:
        """argmin over λ ≥ 0 of λ g + σ′(λ/λmean - 1)²:   λ* = λmean · max(0, 1 - λmean g/(2σ′))."""
        import torch

        scale = self.lambda_mean / (2 * self.sigma_prime) if self.sigma_prime > 0 else math.inf
        w = (1 - scale * energy.clamp(min=torch.finfo(energy.dtype).tiny)).clamp(min=0.0)
        return self.lambda_mean * w.clamp(min=self.lambda_floor)
