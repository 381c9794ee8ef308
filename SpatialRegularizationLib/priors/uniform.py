"""One weight everywhere: plain diffusion as a special case of the spatial weight."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class UniformPrior:
    """λ ≡ lambda_mean: plain diffusion. A point mass has no energy to speak of; 0 is returned.

    Args:
        lambda_mean: the weight, ≥ 0.
    """

    lambda_mean: float = 0.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lambda_mean) and self.lambda_mean >= 0):
            raise ValueError(f"lambda_mean must be at least 0, got {self.lambda_mean}.")

    def __call__(self, lambda_map: Tensor) -> Tensor:
        return torch.zeros((), dtype=lambda_map.dtype, device=lambda_map.device)

    def optimal_lambda(self, energy: Tensor) -> Tensor:
        """λ ≡ lambda_mean."""
        return torch.full_like(energy, self.lambda_mean)
