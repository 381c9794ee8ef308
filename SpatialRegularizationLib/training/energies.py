"""Compute what a training step minimizes: the model's own objective on a batch, and terms that training may add.

E = E_model(warped, fixed, u, λ) + w_Dice · Dice
symmetric: the mean of E of (φ, moving → fixed) and of (φ⁻¹, fixed → moving)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..fields.sampling import warp
from ..models.base import Prediction, RegistrationModel, predict
from ..objective import Energy, NonFiniteEnergyError, Objective
from ..similarity.overlap import one_hot, soft_dice_loss
from .pairs import Batch
from .settings import TrainingSettings

TERMS = ("total", "similarity", "regularization", "prior")


@dataclass(frozen=True)
class BatchEnergy:
    """Energy of a batch, mean over its pairs.

    Args:
        energy: of the model.
        dice: 1 - soft Dice, or None where it does not count.
        total: what is minimised.
    """

    energy: Energy
    dice: Tensor | None
    total: Tensor

    def numbers(self) -> dict[str, float]:
        """The terms as Python numbers.

        Raises:
            NonFiniteEnergyError: a term is not finite; the message names it.
        """
        found = self.energy.numbers()
        if self.dice is None:
            return found
        dice = float(self.dice.detach())
        if not math.isfinite(dice):
            raise NonFiniteEnergyError(f"The Dice term of the energy is {dice}, expected a finite number; check the label maps.")
        return found | {"total": float(self.total.detach()), "dice_loss": dice}


class EnergyOf:
    """Energy of batches under one model and one set of settings.

    Args:
        model: knows how to integrate and what to minimise.
        network: what is called for a prediction: the model, or the model wrapped for several processes.
        settings: precision, symmetric, dice_weight.
    """

    def __init__(
        self,
        model: RegistrationModel,
        network: Callable[..., Prediction],
        settings: TrainingSettings,
    ) -> None:
        self.model = model
        self.network = network
        self.settings = settings

    def __call__(self, batch: Batch, condition: Tensor | None, label_values: tuple[int, ...] = ()) -> BatchEnergy:
        """Energy of a batch.

        Args:
            batch: the pairs.
            condition: of the model.
            label_values: labels of the Dice term.
        """
        prediction = predict(self.network, batch.moving, batch.fixed, condition, self.settings.precision)
        shape = tuple(batch.fixed.shape[2:])
        lambda_map = self.model.lambda_on(prediction, shape)
        objective = self.model.objective(condition)
        u = self.model.displacement(prediction, shape)
        parts = [self._one_way(batch, u, lambda_map, objective, label_values)]
        if self.settings.symmetric:
            inverse = self.model.inverse_displacement(prediction, shape)
            parts.append(self._one_way(exchanged(batch), inverse, lambda_map, objective, label_values))
        energy = _mean([part for part, _ in parts])
        if parts[0][1] is None:
            return BatchEnergy(energy, None, energy.total)
        dice = torch.stack([dice for _, dice in parts]).mean()
        return BatchEnergy(energy, dice, energy.total + self.settings.dice_weight * dice)

    def _one_way(
        self, batch: Batch, u: Tensor, lambda_map: Tensor | None, objective: Objective, labels: tuple[int, ...]
    ) -> tuple[Energy, Tensor | None]:
        """The terms, pair by pair, so that a pair counts alike whatever the size of its batch and of its field of view."""
        fixed = batch.fixed if batch.fixed_compared is None else batch.fixed_compared
        warped = warp(batch.moving if batch.moving_compared is None else batch.moving_compared, u)
        energies = [
            objective(
                warped[n : n + 1],
                fixed[n : n + 1],
                u[n : n + 1],
                None if lambda_map is None else lambda_map[n : n + 1],
                None if batch.fixed_inside is None else batch.fixed_inside[n : n + 1],
            )
            for n in range(len(warped))
        ]
        return _mean(energies), self._dice(batch, u, labels) if self.settings.dice_weight else None

    def _dice(self, batch: Batch, u: Tensor, labels: tuple[int, ...]) -> Tensor:
        losses = [
            soft_dice_loss(
                warp(one_hot(batch.moving_labels[n : n + 1], labels), u[n : n + 1]),
                one_hot(batch.fixed_labels[n : n + 1], labels),
            )
            for n in range(len(u))
        ]
        return torch.stack(losses).mean()


def exchanged(batch: Batch) -> Batch:
    """The batch with moving and fixed exchanged."""
    names = ("", "_labels", "_inside", "_compared")
    pairs = [(f"moving{name}", f"fixed{name}") for name in names]
    values = {a: getattr(batch, b) for pair in pairs for a, b in (pair, pair[::-1])}
    return replace(batch, **values)


def _mean(energies: list[Energy]) -> Energy:
    if len(energies) == 1:
        return energies[0]
    return Energy(*(torch.stack([getattr(energy, name) for energy in energies]).mean() for name in TERMS))
