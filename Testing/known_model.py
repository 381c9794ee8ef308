"""A model whose answer is known in closed form, for tests of everything around a network.

On images of s voxels, in voxels of their lattice (whatever it is in the patient):

    v(p) = strength · height · exp(-|p - center|² / 2 width²),     center = share · (s - 1),      λ(p) = λmax · p_0 / (s_0 - 1)

The velocity is answered on the half lattice, voxel h at 2h + 1/2, as networks do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from SpatialRegularizationLib.fields.parameters import Displacement, StationaryVelocity
from SpatialRegularizationLib.geometry import Grid
from SpatialRegularizationLib.integrators.scaling_and_squaring import integrate_velocity
from SpatialRegularizationLib.models.base import Hyperparameter, Prediction, RegistrationModel
from SpatialRegularizationLib.objective import Objective
from SpatialRegularizationLib.priors.beta import BetaPrior
from SpatialRegularizationLib.regularizers.diffusion import WeightedDiffusion
from SpatialRegularizationLib.similarity.lncc import Lncc
from SpatialRegularizationLib.zoo.card import ModelCard
from SpatialRegularizationLib.zoo.training_grid import letters_of


@dataclass(frozen=True)
class KnownSettings:
    """The closed form; `integrates` False answers u = v instead, `spatial` False a uniform λ of `lambda_max`."""

    height: tuple[float, float, float] = (2.4, -1.6, 0.8)
    width: float = 9.0
    share: tuple[float, float, float] = (0.5, 0.5, 0.5)
    lambda_max: float = 2.0
    integrates: bool = True
    spatial: bool = True


class Known(RegistrationModel):
    """The closed form of this file, with one hyperparameter, "alpha_prime", that is its strength."""

    system = "known"
    hyperparameters = (Hyperparameter("alpha_prime", 0.0, 2.0, 1.0),)

    def __init__(self, settings: KnownSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or KnownSettings()
        self.calls = 0

    def value(self, p: Tensor, shape: tuple[int, ...], strength: float = 1.0) -> Tensor:
        """v at positions (3, *t) in voxels of the images: (3, *t)."""
        column = [-1, *[1] * (p.dim() - 1)]
        size = torch.tensor(shape, dtype=p.dtype)
        center = (torch.tensor(self.settings.share, dtype=p.dtype) * (size - 1)).view(column)
        bump = torch.exp(-(p - center).square().sum(0, keepdim=True) / (2 * self.settings.width**2))
        return strength * torch.tensor(self.settings.height, dtype=p.dtype).view(column) * bump

    def forward(self, moving: Tensor, fixed: Tensor, condition: Tensor | None = None, *, with_lambda: bool = True):
        self.calls += 1
        shape = tuple(fixed.shape[2:])
        axes = [2 * torch.arange(-(-n // 2)) + 0.5 for n in shape]
        p = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        v = self.value(p, shape, float(condition[0, 0]) * self.hyperparameters[0].high)[None]
        kind = StationaryVelocity if self.settings.integrates else Displacement
        spatial = with_lambda and self.settings.spatial
        lambda_map = self.settings.lambda_max * p[:1][None] / (shape[0] - 1) if spatial else None
        return Prediction(kind(v / 2), lambda_map)

    def displacement(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        parameters = prediction.parameters
        if isinstance(parameters, Displacement):
            return 2 * self._doubled(parameters.u, shape)
        return 2 * self._doubled(integrate_velocity(parameters.velocity, steps=7), shape)

    def velocity(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        if isinstance(prediction.parameters, Displacement):
            raise ValueError("A displacement has no velocity.")
        return 2 * self._doubled(prediction.parameters.velocity, shape)

    def inverse_displacement(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        if isinstance(prediction.parameters, Displacement):
            raise ValueError("A displacement has no inverse in closed form.")
        return self.displacement(Prediction(StationaryVelocity(-prediction.parameters.velocity), None), shape)

    def lambda_on(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor | None:
        return None if prediction.lambda_map is None else self._doubled(prediction.lambda_map, shape)

    def objective(self, condition: Tensor | None = None) -> Objective:
        uniform = None if self.settings.spatial else self.settings.lambda_max
        return Objective(Lncc(7), WeightedDiffusion(), BetaPrior(self.settings.lambda_max, 0.1), uniform_lambda=uniform)

    @staticmethod
    def _doubled(x: Tensor, shape: tuple[int, ...]) -> Tensor:
        doubled = F.interpolate(x, scale_factor=2.0, mode="trilinear", align_corners=False)
        return doubled[:, :, : shape[0], : shape[1], : shape[2]]


def card_of(grid: Grid, name: str = "known-form", **more: Any) -> ModelCard:
    """The card of a model that was trained on images that lie like `grid`."""
    return ModelCard(
        name=name, shape=grid.shape, spacing_mm=grid.spacing, orientation=letters_of(grid), intensity="percentile", **more
    )
