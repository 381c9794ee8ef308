"""What a step minimises: the model's own objective on a batch, and the terms that training may add.

E = E_model(warped, fixed, u, λ) + w_Dice · Dice
symmetric: the mean of E of (φ, moving → fixed) and of (φ⁻¹, fixed → moving)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..fields.sampling import warp
from ..models.base import Prediction, RegistrationModel
from ..models.precision import in_float32, network_precision
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
        label_values: labels of the Dice term.
    """

    def __init__(
        self,
        model: RegistrationModel,
        network: Callable[..., Prediction],
        settings: TrainingSettings,
        label_values: tuple[int, ...],
    ) -> None:
        self.model = model
        self.network = network
        self.settings = settings
        self.label_values = label_values

    def __call__(self, batch: Batch, condition: Tensor | None) -> BatchEnergy:
        prediction = predict(self.network, batch, condition, self.settings.precision)
        shape = tuple(batch.fixed.shape[2:])
        lambda_map = self.model.lambda_on(prediction, shape)
        objective = self.model.objective(condition)
        u = self.model.displacement(prediction, shape)
        parts = [self._one_way(batch, u, lambda_map, objective)]
        if self.settings.symmetric:
            inverse = self.model.inverse_displacement(prediction, shape)
            parts.append(self._one_way(exchanged(batch), inverse, lambda_map, objective))
        energy = _mean([part for part, _ in parts])
        if parts[0][1] is None:
            return BatchEnergy(energy, None, energy.total)
        dice = torch.stack([dice for _, dice in parts]).mean()
        return BatchEnergy(energy, dice, energy.total + self.settings.dice_weight * dice)

    def _one_way(self, batch: Batch, u: Tensor, lambda_map: Tensor | None, objective: Objective) -> tuple[Energy, Tensor | None]:
        """The terms, pair by pair, so that a pair counts alike whatever the size of its batch and of its field of view."""
        warped = warp(batch.moving, u)
        energies = [
            objective(
                warped[n : n + 1],
                batch.fixed[n : n + 1],
                u[n : n + 1],
                None if lambda_map is None else lambda_map[n : n + 1],
                None if batch.fixed_inside is None else batch.fixed_inside[n : n + 1],
            )
            for n in range(len(warped))
        ]
        return _mean(energies), self._dice(batch, u) if self.settings.dice_weight else None

    def _dice(self, batch: Batch, u: Tensor) -> Tensor:
        losses = [
            soft_dice_loss(
                warp(one_hot(batch.moving_labels[n : n + 1], self.label_values), u[n : n + 1]),
                one_hot(batch.fixed_labels[n : n + 1], self.label_values),
            )
            for n in range(len(u))
        ]
        return torch.stack(losses).mean()


def predict(network: Callable[..., Prediction], batch: Batch, condition: Tensor | None, precision: str = "float32") -> Prediction:
    """The network's answer, computed in the asked-for precision, given in float32."""
    with network_precision(precision, batch.fixed.device):
        return in_float32(network(batch.moving, batch.fixed, condition))


def exchanged(batch: Batch) -> Batch:
    """The batch with moving and fixed exchanged."""
    return Batch(
        batch.fixed,
        batch.moving,
        batch.fixed_labels,
        batch.moving_labels,
        batch.fixed_inside,
        batch.moving_inside,
        batch.names,
    )


def _mean(energies: list[Energy]) -> Energy:
    if len(energies) == 1:
        return energies[0]
    return Energy(*(torch.stack([getattr(energy, name) for energy in energies]).mean() for name in TERMS))
