"""Beta hyperprior of the spatial weight (TM-SPR journal paper, Eqs. 17-18; β = 1).

    -log p(λ) = -α′ mean_p log w(p),       w = λ/λmax in (0, 1],  α′ = α - 1 ≥ 0

α′ = 0 prefers nothing; a large α′ pushes λ to λmax.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..declaration import number
from .prior import Prior, lambda_floor, lambda_max

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST_WEIGHT = 1e-6


@dataclass(frozen=True)
class BetaPrior(Prior):
    """Power-function prior on w = λ/λmax.

    Args:
        lambda_max: largest weight, > 0.
        alpha_prime: α′ = α - 1, ≥ 0 (mean form: the published optima apply).
        lambda_floor: smallest relative weight w that `optimal_lambda` returns, in [0, 1].
    """

    name: ClassVar[str] = "beta"
    summary: ClassVar[str] = "a power of lambda / lambda-max"

    lambda_max: float = lambda_max()
    alpha_prime: float = number(
        0.03, 0.0, 1e3, "", "beta prior: alpha - 1; larger keeps lambda nearer lambda-max, 0 switches the prior off",
        symbol="α′", live=True, search=(0.003, 0.3),
    )  # fmt: skip
    lambda_floor: float = lambda_floor()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lambda_max) and self.lambda_max > 0):
            raise ValueError(f"lambda_max must be positive, got {self.lambda_max}.")
        if not (math.isfinite(self.alpha_prime) and self.alpha_prime >= 0):
            raise ValueError(f"alpha_prime must be at least 0, got {self.alpha_prime}.")
        if not 0 <= self.lambda_floor <= 1:
            raise ValueError(f"lambda_floor must lie in [0, 1], got {self.lambda_floor}.")

    @property
    def reference(self) -> float:
        """λmax."""
        return self.lambda_max

    def __call__(self, lambda_map: Tensor) -> Tensor:
        w = (lambda_map / self.lambda_max).clamp(SMALLEST_WEIGHT, 1.0)
        return -self.alpha_prime * w.log().mean()

    def optimal_lambda(self, energy: Tensor) -> Tensor:
        """argmin over λ of λ g - α′ log(λ/λmax):   λ* = λmax · min(1, α′/(λmax g)), for the gradient energy g ≥ 0."""
        import torch

        scaled = (self.lambda_max * energy).clamp(min=torch.finfo(energy.dtype).tiny)
        w = (self.alpha_prime / scaled).clamp(max=1.0)
        return self.lambda_max * w.clamp(min=self.lambda_floor)
