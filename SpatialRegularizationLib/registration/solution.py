"""What a registration has found, in voxels, before it goes into patient space: an unknown that settles into u, u⁻¹ and λ.

A descent leaves a stationary velocity, a network's answer is a displacement; both settle the same way, without folds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..fields.resize import resize, resize_displacement
from .diffeomorphism import displacement_of, displacement_without_folds, without_folds
from .result import LevelHistory
from .round_trip import StoredInverse, stored_inverse


@dataclass(frozen=True)
class Settled:
    """The fields of a finished registration on one lattice, voxels.

    Args:
        u: (1, 3, *s).
        inverse: of id + u, for every point of the lattice.
        lambda_map: (1, 1, *s).
        folded: voxels that folded before they were smoothed.
        left: voxels that still fold.
    """

    u: Tensor
    inverse: StoredInverse
    lambda_map: Tensor
    folded: int
    left: int


@dataclass(frozen=True)
class Solution(ABC):
    """What a registration has found.

    Args:
        history: one entry per level of descent.
        similarity: before and after.
        model: the network it comes from, for the report; empty where none took part.
    """

    history: tuple[LevelHistory, ...]
    similarity: tuple[float, float]
    model: dict[str, Any] = field(default_factory=dict, kw_only=True)

    @abstractmethod
    def displacement(self, shape: tuple[int, ...]) -> Tensor:
        """u (1, 3, *shape) as found, voxels of a lattice of this size and the same extent."""

    @abstractmethod
    def settle(self, shape: tuple[int, ...], tell: Callable[[str, float], None]) -> Settled:
        """The fields on a lattice of this size and the same extent, without folds.

        Args:
            shape: voxels along each axis.
            tell: told the stage and the share of this work that is done, 0 to 1.
        """


@dataclass(frozen=True)
class VelocitySolution(Solution):
    """A stationary velocity (1, 3, *t), and how λ (1, 1, *t) follows from it."""

    velocity: Tensor
    lambda_of: Callable[[Tensor], Tensor]

    def displacement(self, shape: tuple[int, ...]) -> Tensor:
        """u of exp(velocity)."""
        return displacement_of(self.velocity, shape)

    @torch.no_grad()
    def settle(self, shape: tuple[int, ...], tell: Callable[[str, float], None]) -> Settled:
        """The velocity is smoothed near folds; exp(-v) begins the inverse."""
        velocity, u, folded, left = without_folds(self.velocity, shape, on_round=lambda n: tell("removing folds", n / 80))
        tell("inverting", 0.5)
        inverse = stored_inverse(u, displacement_of(-velocity, tuple(u.shape[2:])))
        return Settled(u, inverse, resize(self.lambda_of(velocity), shape), folded, left)


@dataclass(frozen=True)
class DisplacementSolution(Solution):
    """A displacement (1, 3, *s), its inverse where the network knows it, and λ (1, 1, *s), all on one lattice."""

    u: Tensor
    inverse: Tensor | None
    lambda_map: Tensor

    def scored(self, after: float) -> DisplacementSolution:
        """The same with this likeness after registration."""
        return replace(self, similarity=(self.similarity[0], after))

    def displacement(self, shape: tuple[int, ...]) -> Tensor:
        """u, resized."""
        return resize_displacement(self.u, shape)

    @torch.no_grad()
    def settle(self, shape: tuple[int, ...], tell: Callable[[str, float], None]) -> Settled:
        """The displacement is smoothed near folds; the network's own inverse begins the inverse."""
        u, folded, left = displacement_without_folds(
            self.displacement(shape), on_round=lambda n: tell("removing folds", n / 80)
        )
        tell("inverting", 0.5)
        start = None if self.inverse is None else resize_displacement(self.inverse, shape)
        return Settled(u, stored_inverse(u, start), resize(self.lambda_map, shape), folded, left)
