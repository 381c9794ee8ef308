"""Keep one weight everywhere: plain diffusion as a special case of the spatial weight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from .prior import Prior, lambda_max

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class UniformPrior(Prior):
    """λ ≡ lambda_max: plain diffusion. A point mass has no energy to speak of; 0 is returned.

    Args:
        lambda_max: the weight, ≥ 0.
    """

    name: ClassVar[str] = "uniform"
    summary: ClassVar[str] = "one constant weight, lambda-max"

    lambda_max: float = lambda_max()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lambda_max) and self.lambda_max >= 0):
            raise ValueError(f"lambda_max must be at least 0, got {self.lambda_max}.")

    @property
    def reference(self) -> float:
        """λmax."""
        return self.lambda_max

    def __call__(self, lambda_map: Tensor) -> Tensor:
        return lambda_map.new_zeros(())

    def optimal_lambda(self, energy: Tensor) -> Tensor:
        """λ ≡ lambda_max."""
        import torch

        return torch.full_like(energy, self.lambda_max)
