"""A trained network ready for one pair: the model, its card, the values of its hyperparameters, and the pair as it sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..models.base import Prediction, RegistrationModel
from ..models.precision import in_float32, network_precision
from .model_grid import TrainingLattice, model_grid
from .prepare import prepare_intensity
from .working_pair import read_through

if TYPE_CHECKING:
    from ..zoo.card import ModelCard


@dataclass(frozen=True)
class Network:
    """A model that answers at one condition.

    Args:
        model: on its device, in evaluation mode.
        card: what it was trained on.
        values: of its hyperparameters by name; defaults where a name is missing.
        condition: the same as the model takes it, (1, H), or None.
        precision: of its pass, "float32" or "bf16".
    """

    model: RegistrationModel
    card: ModelCard
    values: Mapping[str, float]
    condition: Tensor | None
    precision: str = "float32"

    def predict(self, moving: Tensor, fixed: Tensor) -> Prediction:
        """One pass, answer in float32."""
        with network_precision(self.precision, fixed.device):
            return in_float32(self.model(moving, fixed, self.condition))

    def describe(self) -> dict[str, Any]:
        """For the report."""
        values = {h.name: float(self.values.get(h.name, h.default)) for h in self.model.hyperparameters}
        return {"name": self.card.name, "system": self.model.system, "condition": values, "sha256": self.card.sha256}


@dataclass(frozen=True)
class SeenPair:
    """Two images on a network's lattice.

    Args:
        moving, fixed: (1, 1, *grid.shape), intensities as in training; the moving one read through the affine start.
        grid: where they lie, in the patient space of the fixed image.
        notes: what to say about the lattice.
    """

    moving: Tensor
    fixed: Tensor
    grid: Grid
    notes: tuple[str, ...]


def network_of(
    model: str | Path | tuple[RegistrationModel, ModelCard],
    values: Mapping[str, float],
    device: torch.device,
    precision: str = "float32",
) -> Network:
    """The model of a name, a path, or one at hand, checked to answer at these values.

    Raises:
        FileNotFoundError, ValueError: no such model (the nearest name is suggested), a corrupt file, or values that the
            model does not take.
    """
    found, card = _loaded(model, device) if isinstance(model, (str, Path)) else model
    found = found.to(device).eval()
    return Network(found, card, dict(values), found.condition(values, device=device), precision)


def check_initial(initial: SpatialTransform | None) -> None:
    """Refuses a start that a network cannot take.

    Raises:
        ValueError: it bends.
    """
    if initial is not None and initial.displacement is not None:
        raise ValueError(
            "A network starts from an affine map, and the initial transform bends: give its affine part only, or register "
            "without a model."
        )


def _loaded(name: str | Path, device: torch.device) -> tuple[RegistrationModel, ModelCard]:
    from ..zoo.card import load_model  # here: a registration without a model reads no model files

    return load_model(name, device)


def seen_pair(
    images: tuple[Volume, Volume],
    card: ModelCard,
    affine: np.ndarray,
    device: torch.device,
    *,
    prepared: bool = False,
) -> SeenPair:
    """Both images as the network wants to see them; beyond the field of view the border value is repeated, as in training.

    Args:
        images: fixed and moving.
        card: what the network was trained on.
        affine: B, 4x4 LPS mm, fixed to moving.
        device: of the result.
        prepared: True where their intensities are as the model wants them already.

    Raises:
        ValueError: the fixed image is far from what the model was trained on.
    """
    fixed, moving = images
    if not prepared:
        fixed = prepare_intensity(fixed, card.intensity, "fixed image")
        moving = prepare_intensity(moving, card.intensity, "moving image")
    grid, notes = model_grid(fixed, lattice_of(card))
    return SeenPair(
        read_through(moving, grid, affine).to(device),
        read_through(fixed, grid, np.eye(4)).to(device),
        grid,
        notes,
    )


def lattice_of(card: ModelCard) -> TrainingLattice:
    """Where a model's training images lay."""
    return TrainingLattice(tuple(card.shape), tuple(card.spacing_mm), card.orientation)
