"""Draw the spatial weight to λmax by an exponential law.

    -log p(λ) = κ mean_p ( 1 - w(p) ),       w = λ/λmax in [0, 1],  κ ≥ 0
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..declaration import number
from .prior import Prior, lambda_floor, lambda_max

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ExponentialPrior(Prior):
    """Linear cost of a low weight: λ is either λmax or as low as the floor, by the gradient energy.

    Args:
        lambda_max: largest weight, > 0.
        kappa: κ, cost of a weight of 0, ≥ 0.
        lambda_floor: smallest w that `optimal_lambda` returns, in [0, 1].
    """

    name: ClassVar[str] = "exponential"
    summary: ClassVar[str] = "all or nothing: lambda-max where little bends, the floor elsewhere"

    lambda_max: float = lambda_max()
    kappa: float = number(0.03, 0.0, 1e3, "", "cost of a weight of 0", symbol="κ", live=True, search=(0.003, 0.3))
    lambda_floor: float = lambda_floor()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lambda_max) and self.lambda_max > 0):
            raise ValueError(f"lambda_max must be positive, got {self.lambda_max}.")
        if not (math.isfinite(self.kappa) and self.kappa >= 0):
            raise ValueError(f"kappa must be at least 0, got {self.kappa}.")
        if not 0 <= self.lambda_floor <= 1:
            raise ValueError(f"lambda_floor must lie in [0, 1], got {self.lambda_floor}.")

    @property
    def reference(self) -> float:
        """λmax."""
        return self.lambda_max

    def __call__(self, lambda_map: Tensor) -> Tensor:
        return self.kappa * (1 - lambda_map / self.lambda_max).mean()

    def optimal_lambda(self, energy: Tensor) -> Tensor:
        """argmin over λ in [floor, λmax] of λ g + κ (1 - λ/λmax):   λmax where λmax g ≤ κ, else the floor."""
        w = (self.lambda_max * energy <= self.kappa).to(energy.dtype)
        return self.lambda_max * w.clamp(min=self.lambda_floor)
