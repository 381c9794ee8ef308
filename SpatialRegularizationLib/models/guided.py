"""Refine a network's velocity and λ for one pair."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..fields.parameters import StationaryVelocity
from ..fields.resize import resize_displacement
from .base import Prediction

RELAXATION = 0.1
"""Share of the way from the present λ to its closed form that every step takes."""


class Guided(nn.Module):
    """A network's velocity with a correction on a coarser lattice, and the network's λ on its way to the closed form.

        v = v_network + interpolated correction,      λ ← (1 - r) λ + r λ*(v)  at every step

    The correction loses nothing of the network's detail, and few steps of a coarse one move large regions. A network's λ
    comes from many images, the closed form from this pair's present velocity alone: damped alternating minimization.

    Args:
        velocity: the network's (1, 3, *s), or that of the stage before.
        lambda_map: λ (1, 1, *s) to start from.
        optimal_lambda: velocity (1, 3, *s) → λ* (1, 1, *s).
        lattice: of the correction.
        spacing: relative voxel sizes of the velocity's lattice for the energy, see `regularizers.diffusion`.
        relaxation: r, 0 (λ stays the network's) to 1 (λ*).
    """

    def __init__(  # six arguments and the form of the energy
        self,
        velocity: Tensor,
        lambda_map: Tensor,
        optimal_lambda: Callable[[Tensor], Tensor],
        *,
        lattice: tuple[int, ...],
        spacing: tuple[float, ...] | None = None,
        relaxation: float = RELAXATION,
    ) -> None:
        super().__init__()
        self.unknown = nn.Parameter(velocity.new_zeros(1, 3, *lattice))
        self.optimal_lambda = optimal_lambda
        self.spacing = spacing
        self.relaxation = relaxation
        self.register_buffer("start", velocity)
        self.register_buffer("present_lambda", lambda_map.clone())

    @property
    def coarser(self) -> float:
        """Edge of a voxel of the correction in voxels of the velocity, the largest over the axes."""
        pairs = zip(self.start.shape[2:], self.unknown.shape[2:], strict=True)
        return max((n - 1) / (m - 1) if m > 1 else 1.0 for n, m in pairs)

    @property
    def velocity(self) -> Tensor:
        """v (1, 3, *s)."""
        return self.start + resize_displacement(self.unknown, tuple(self.start.shape[2:]))

    @torch.no_grad()
    def lambda_map(self, field: Tensor) -> Tensor:
        """The present λ after one more relaxation towards the closed form of `field`; `keep` makes it the present one."""
        return torch.lerp(self.present_lambda, self.optimal_lambda(field.detach()), self.relaxation)

    def keep(self, lambda_map: Tensor) -> None:
        """The next relaxation starts from this λ (1, 1, *s)."""
        self.present_lambda = lambda_map

    def forward(self) -> Prediction:
        return Prediction(StationaryVelocity(self.velocity), self.present_lambda)
