"""Define what every system is: two images (and perhaps a condition) in, the unknown and λ out.

    Prediction = model(moving, fixed, condition)        on the model's grid
    u          = model.displacement(prediction, shape)  integrated, on the lattice of the images
    E          = model.objective(condition)             what training minimizes
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..fields.parameters import Displacement, StationaryVelocity
from ..objective import Objective

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Prediction:
    """Answer of a model for one pair (or of a pair's own optimisation).

    Args:
        parameters: the unknown, on the model's grid.
        lambda_map: λ (N, 1, *s) ≥ 0 on the same lattice, or None where the system has no spatial weight (or nobody asked).
    """

    parameters: Displacement | StationaryVelocity
    lambda_map: Tensor | None


@dataclass(frozen=True)
class Hyperparameter:
    """One coordinate of a condition. The network is given value / high.

    Args:
        name: as in design and settings: "alpha_prime", "lambda_max", "eta", "lambda".
        low, high: range the model was trained on.
        default: value used where none is given: the tuned optimum, or the middle of the range.
    """

    name: str
    low: float
    high: float
    default: float

    def __post_init__(self) -> None:
        if not (0 <= self.low < self.high and self.low <= self.default <= self.high):
            raise ValueError(
                f"The range of {self.name} must be 0 <= low < high with the default inside, "
                f"got low {self.low}, high {self.high}, default {self.default}."
            )


class RegistrationModel(nn.Module, ABC):
    """A trained (or trainable) system.

    Subclasses are final, take one frozen settings dataclass, and are listed in `models/catalogue.py`.

    Attributes:
        system: its name in the catalogue, e.g. "tm-spr".
        settings: the dataclass it was built from.
        hyperparameters: coordinates of its condition; empty where it takes none.
    """

    system: ClassVar[str]
    settings: Any
    hyperparameters: tuple[Hyperparameter, ...] = ()

    @abstractmethod
    def forward(
        self, moving: Tensor, fixed: Tensor, condition: Tensor | None = None, *, with_lambda: bool = True
    ) -> Prediction:
        """One pass.

        Args:
            moving, fixed: (N, 1, *s) in [0, 1], any size: padded inside where the network needs it.
            condition: (1, H) in units of the hyperparameters' highs (see `condition`); None for unconditioned models.
            with_lambda: False skips what only λ needs; `lambda_map` of the answer is then None.

        Returns:
            Prediction on the model's grid (half the image's resolution, or the image's own).
        """

    @abstractmethod
    def displacement(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        """u (N, 3, *shape) of a prediction: integrated, on the lattice of images of size `shape`, in its voxels."""

    @abstractmethod
    def velocity(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        """v (N, 3, *shape) with exp(v) ≈ id + u, on the lattice of images of size `shape`, in its voxels per unit time.

        Raises:
            ValueError: the system predicts a displacement.
        """

    @abstractmethod
    def inverse_displacement(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        """u of φ⁻¹, like `displacement`; ValueError where the system's integrator has none."""

    @abstractmethod
    def lambda_on(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor | None:
        """λ (N, 1, *shape) on the lattice of the images, by linear interpolation; None where there is none."""

    @abstractmethod
    def objective(self, condition: Tensor | None = None) -> Objective:
        """(warped, fixed, u, lambda_map) → Energy, the loss of the system at this condition.

        `lambda_map` is `lambda_on(...)`, or None for systems of uniform λ, whose objective carries its own constant.
        """

    def use_checkpointing(self, on: bool = True) -> None:
        """Compute activations again for the gradient instead of keeping them: less memory, about a quarter more time.

        Raises:
            ValueError: the system cannot.
        """
        if on:
            raise ValueError(f"Activation checkpointing is not available for {self.system}; train it without.")

    def condition(self, values: Mapping[str, float] | None = None, *, device: torch.device | None = None) -> Tensor | None:
        """(1, H) for named hyperparameters, defaults where a name is missing; None for unconditioned models.

        Raises:
            ValueError: an unknown name, or a value outside of the range.
        """
        values = dict(values or {})
        known = {h.name: h for h in self.hyperparameters}
        for name, value in values.items():
            if name not in known:
                expected = ", ".join(known) or "none: this model is not conditioned"
                raise ValueError(f"Unknown hyperparameter {name!r}; this model takes {expected}.")
            if not known[name].low <= value <= known[name].high:
                raise ValueError(
                    f"{name} must be from {known[name].low:g} to {known[name].high:g}, the range this model was trained on, "
                    f"got {value:g}; choose a value in that range."
                )
        if not known:
            return None
        row = [values.get(h.name, h.default) / h.high for h in self.hyperparameters]
        return torch.tensor([row], dtype=torch.float32, device=device)


class EncodingModel(RegistrationModel, ABC):
    """A system whose pass has a first half that can be kept.

    `forward` is `decode(encode(moving, fixed, condition), condition)`. A caller that changes only the condition keeps the
    result of `encode`, unless `encoder_conditioned`.
    """

    @property
    @abstractmethod
    def encoder_conditioned(self) -> bool:
        """True where `encode` gives something else for another condition, so that its result cannot be kept."""

    @abstractmethod
    def encode(self, moving: Tensor, fixed: Tensor, condition: Tensor | None = None) -> Any:
        """First half of `forward`; the condition may be left out where not `encoder_conditioned`.

        Raises:
            ValueError: images of different or unsuitable size, or with values that are not finite.
        """

    @abstractmethod
    def decode(self, encoded: Any, condition: Tensor | None = None, *, with_lambda: bool = True) -> Prediction:
        """Second half of `forward`."""

    def forward(
        self, moving: Tensor, fixed: Tensor, condition: Tensor | None = None, *, with_lambda: bool = True
    ) -> Prediction:
        return self.decode(self.encode(moving, fixed, condition), condition, with_lambda=with_lambda)


def network_precision(name: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Inside the block, convolutions and matrix products are computed in that precision; parameters stay as they are."""
    return torch.autocast(device.type, dtype=PRECISIONS[name], enabled=name != "float32")


def in_float32(prediction: Prediction) -> Prediction:
    """The same prediction in float32: all that follows (integration, energies, geometry) is computed in it."""
    unknown = prediction.parameters
    floats = {f.name: getattr(unknown, f.name).float() for f in fields(unknown)}
    lambda_map = prediction.lambda_map
    return Prediction(replace(unknown, **floats), None if lambda_map is None else lambda_map.float())


def predict(
    network: Callable[..., Prediction], moving: Tensor, fixed: Tensor, condition: Tensor | None, precision: str = "float32"
) -> Prediction:
    """A model's answer, computed in the asked-for precision, given in float32."""
    with network_precision(precision, fixed.device):
        return in_float32(network(moving, fixed, condition))
