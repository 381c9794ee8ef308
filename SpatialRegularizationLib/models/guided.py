"""A pair's own optimization that starts from a network's velocity and λ."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import Prediction
from .free import Free

RELAXATION = 0.1
"""Share of the way from the present λ to its closed form that every step takes."""


class Guided(nn.Module):
    """`Free` whose λ starts at a network's and is relaxed towards its closed form: damped alternating minimization.

        λ ← (1 - r) λ + r λ*(v)

    A network's λ comes from many images, the closed form from this pair's present velocity alone; few steps keep most of
    the former, many lead to the latter.

    Args:
        free: holds the velocity, started from the network's.
        start_lambda: the network's λ (1, 1, *s) on the velocity's lattice.
        relaxation: r, 0 (λ stays the network's) to 1 (`Free`).
    """

    def __init__(self, free: Free, start_lambda: Tensor, *, relaxation: float = RELAXATION) -> None:
        super().__init__()
        self.free = free
        self.relaxation = relaxation
        self.register_buffer("present_lambda", start_lambda.clone())

    @property
    def velocity(self) -> nn.Parameter:
        """The only parameter, (1, 3, *s)."""
        return self.free.velocity

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Relative voxel sizes for the energy."""
        return self.free.spacing

    def integrate(self, *, steps: int) -> Tensor:
        """u of exp(velocity), voxels."""
        return self.free.integrate(steps=steps)

    @torch.no_grad()
    def lambda_map(self, field: Tensor) -> Tensor:
        """The present λ after one more relaxation towards the closed form of `field`; asked once a step."""
        self.present_lambda = torch.lerp(self.present_lambda, self.free.lambda_map(field), self.relaxation)
        return self.present_lambda

    def forward(self) -> Prediction:
        return Prediction(self.free().parameters, self.present_lambda)
