"""Define what a regularizer is: how rough a deformation is, weighted in space."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Regularizer(ABC):
    """-log p(u | λ); subclasses are frozen dataclasses of their hyperparameters."""

    @abstractmethod
    def __call__(self, u: Tensor, lambda_map: Tensor | float) -> Tensor:
        """R ≥ 0 of a displacement or velocity u (N, d, *s) in voxels, linear in λ (N, 1, *s): a mean over the voxels."""
