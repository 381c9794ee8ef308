"""Take one training step: pairs → prediction → energy → gradients → Adam."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..models.base import RegistrationModel
from ..objective import NonFiniteEnergyError
from .augment import augmented
from .data import Data
from .distributed import Workers
from .draws import stream, stream_seed
from .energies import EnergyOf
from .pairs import Batch
from .settings import TrainingSettings
from .sources import PairSource


class Stepper:
    """Takes steps; holds what changes with them: parameters, optimizer, gradient scale, moving average.

    Args:
        model: on the device of the team.
        data: for the orientation of the lattice and the labels.
        source: of the pairs.
        settings: as given to `train`.
        team: the processes.
    """

    def __init__(
        self, model: RegistrationModel, data: Data, source: PairSource, settings: TrainingSettings, team: Workers
    ) -> None:
        self.model, self.source, self.settings, self.team = model, source, settings, team
        self.orientation = data.preparation.training_grid.orientation
        self.average = MovingAverage(model, settings.ema_decay) if settings.ema_decay else None
        self.network = team.wrap(model)
        self.energy_of = EnergyOf(model, self.network, settings)
        self.label_values = counted_labels(settings, data.label_values)
        self.optimizer = optimizer_for(settings, model.parameters())
        self.scaler = torch.amp.GradScaler(team.device.type, enabled=settings.precision == "fp16")

    @property
    def best_model(self) -> RegistrationModel:
        """What is validated and kept: the moving average, where there is one."""
        return self.model if self.average is None else self.average.model

    def parts(self) -> dict[str, Any]:
        """Everything with a state to be saved, by name."""
        parts = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler}
        return parts if self.average is None else parts | {"average": self.average.model}

    def set_learning_rate(self, rate: float) -> None:
        """For the steps that follow."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def step(self, epoch: int, number: int) -> dict[str, float]:
        """One step of the optimizer; returns the mean terms of its energy.

        Args:
            epoch, number: which step; its pairs, conditions and all that is random follow from them.

        Raises:
            NonFiniteEnergyError: a term or the gradient is not finite; the parameters are those before the step.
        """
        settings = self.settings
        means: dict[str, float] = {}
        self.optimizer.zero_grad(set_to_none=True)
        for part in range(settings.accumulate):
            draw = number * settings.accumulate + part
            torch.manual_seed(stream_seed(settings.seed, "network", epoch, draw, self.team.rank))
            batch = self._batch(epoch, draw)
            with self.team.without_averaging(self.network, wait=part < settings.accumulate - 1):
                energy = self.energy_of(batch, self.condition(epoch, draw), self._labels(epoch, draw))
                terms = _at(batch, energy.numbers)
                self.scaler.scale(energy.total / settings.accumulate).backward()
            for name, value in terms.items():
                means[name] = means.get(name, 0.0) + value / settings.accumulate
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.gradient_norm or math.inf)
        if not self.scaler.is_enabled():
            _at(batch, lambda: _check_gradient(norm))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.follow(self.model)
        return means

    def _batch(self, epoch: int, draw: int) -> Batch:
        """This process's pairs of a forward pass."""
        settings = self.settings
        first = (draw * self.team.size + self.team.rank) * settings.batch
        places = range(first, first + settings.batch)
        batch = self.source.batch(epoch, places, self.team.device)
        generators = [stream(settings.seed, "augmentation", epoch, place) for place in places]
        return augmented(batch, settings, self.orientation, generators)

    def _labels(self, epoch: int, draw: int) -> tuple[int, ...]:
        """The labels of the Dice term of a forward pass, the same in all processes."""
        count = self.settings.dice_labels
        if count is None or count >= len(self.label_values):
            return self.label_values
        chosen = torch.randperm(len(self.label_values), generator=stream(self.settings.seed, "labels", epoch, draw))[:count]
        return tuple(self.label_values[place] for place in sorted(chosen.tolist()))

    def condition(self, epoch: int, draw: int) -> Tensor | None:
        """Hyperparameters drawn evenly from their ranges, the same in all processes; None for models without."""
        generator = stream(self.settings.seed, "condition", epoch, draw)
        draws = torch.rand(len(self.model.hyperparameters), generator=generator).tolist()
        values = {h.name: h.low + (h.high - h.low) * r for h, r in zip(self.model.hyperparameters, draws, strict=True)}
        return self.model.condition(values, device=self.team.device)


def counted_labels(settings: TrainingSettings, values: tuple[int, ...]) -> tuple[int, ...]:
    """The labels whose overlap counts, of those that occur."""
    anatomy = settings.synthesis and settings.synthesis.anatomy
    return tuple(v for v in values if v in anatomy.counted) if anatomy and anatomy.counted else values


def _at(batch: Batch, check: Callable[[], Any]) -> Any:
    """What the check returns; its NonFiniteEnergyError names the pairs."""
    try:
        return check()
    except NonFiniteEnergyError as error:
        raise NonFiniteEnergyError(f"{', '.join(batch.names)}: {error}") from error


def _check_gradient(norm: Tensor) -> None:
    if not bool(torch.isfinite(norm)):
        raise NonFiniteEnergyError(
            f"The gradient of the energy is {float(norm)}, expected finite numbers; lower the learning rate."
        )


class MovingAverage:
    """A second copy of a model that follows the trained one:  a ← d·a + (1 - d)·θ  after every step.

    Args:
        model: the trained one.
        decay: d in [0, 1).
    """

    def __init__(self, model: RegistrationModel, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def follow(self, model: RegistrationModel) -> None:
        """One step; buffers (running statistics) are copied."""
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - self.decay)
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)


def optimizer_for(settings: TrainingSettings, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam or AdamW; the papers use Adam, their released code AdamW or Adam with AMSGrad."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[settings.optimizer](
        parameters, lr=settings.learning_rate, amsgrad=settings.amsgrad, weight_decay=settings.weight_decay
    )


def learning_rate(settings: TrainingSettings, epoch: int) -> float:
    """Learning rate of an epoch e = 0 … E-1.

    polynomial: round(lr·(1 - e/E)^0.9, 8), the released schedule of TM-SPR;   cosine: lr·(1 + cos(π e/E))/2;   constant: lr.
    """
    share = epoch / settings.epochs
    if settings.schedule == "polynomial":
        return round(settings.learning_rate * (1 - share) ** 0.9, 8)
    if settings.schedule == "cosine":
        return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
    return settings.learning_rate
