"""Add up the -log posterior of a registration: similarity, regularization and prior.

    E(u, λ) = D(fixed, moving∘φ_u) + R(u, λ) - log p(λ)                                  (TM-SPR journal paper, Eq. 19)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .priors.prior import Prior
from .regularizers.regularizer import Regularizer
from .similarity.similarity import Similarity


class NonFiniteEnergyError(RuntimeError):
    """A term of the energy became NaN or infinite; the message names it."""


@dataclass(frozen=True)
class Energy:
    """The terms of E; `total` is what is minimised."""

    total: Tensor
    similarity: Tensor
    regularization: Tensor
    prior: Tensor

    def numbers(self) -> dict[str, float]:
        """The terms as Python numbers.

        Raises:
            NonFiniteEnergyError: a term is not finite.
        """
        names = ("total", "similarity", "regularization", "prior")
        values = torch.stack([getattr(self, name).detach().double().reshape(()) for name in names]).tolist()
        for name, value in zip(names[1:] + names[:1], values[1:] + values[:1], strict=True):
            if value != value or value in (float("inf"), float("-inf")):
                raise NonFiniteEnergyError(
                    f"The {name} term of the energy is {value}, expected a finite number. "
                    "Lower the learning rate, or check the images for extreme intensities."
                )
        return dict(zip(names, values, strict=True))


@dataclass(frozen=True)
class Objective:
    """E(u, λ) for tensors in voxels.

    Args:
        similarity: D, e.g. `Lncc(9)`.
        regularizer: R, e.g. `WeightedDiffusion()`.
        prior: -log p(λ), e.g. `BetaPrior()`.
        uniform_lambda: λ of systems that predict none.
        similarity_weight: factor of D (HyperMorph: 1 - λ).
    """

    similarity: Similarity
    regularizer: Regularizer
    prior: Prior
    uniform_lambda: float | None = None
    similarity_weight: float = 1.0

    def __call__(
        self, warped: Tensor, fixed: Tensor, u: Tensor, lambda_map: Tensor | None, mask: Tensor | None = None
    ) -> Energy:
        """Terms of E.

        Raises:
            ValueError: neither `lambda_map` nor `uniform_lambda` is there.
        """
        if lambda_map is None:
            if self.uniform_lambda is None:
                raise ValueError("The objective needs a lambda map (or a uniform_lambda), got none; predict with_lambda=True.")
            lambda_map = u.new_full((u.shape[0], 1, *u.shape[2:]), self.uniform_lambda)
        similarity = self.similarity_weight * self.similarity(warped, fixed, mask)
        regularization = self.regularizer(u, lambda_map)
        prior = self.prior(lambda_map)
        return Energy(similarity + regularization + prior, similarity, regularization, prior)
