"""Let a trained network answer for one pair: load it, show it the pair on its own grid, bring its answer back."""

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
from ..images.preparation import prepare_intensity
from ..models.base import Prediction, RegistrationModel, in_float32, network_precision
from ..zoo.training_grid import model_grid
from .working_pair import read_through

if TYPE_CHECKING:
    from ..zoo.card import ModelCard
from functools import cached_property

from ..fields.parameters import Displacement, StationaryVelocity
from ..fields.resize import resize_displacement
from ..transforms.resample import regrid, regrid_displacement
from .conclude import DisplacementSolution
from .large_motion import velocity_of
from .prepare import PreparedPair
from .working_pair import TensorPair


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
    """Two images on a network's grid.

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
    grid, notes = model_grid(fixed, card.training_grid)
    return SeenPair(
        read_through(moving, grid, affine).to(device),
        read_through(fixed, grid, np.eye(4)).to(device),
        grid,
        notes,
    )


@dataclass(frozen=True)
class Answer:
    """What a network says about a pair. Fields are made when they are asked for: a refinement needs no displacement.

    Args:
        network: who says it.
        prediction: on the network's own lattice.
        grid: lattice of the images that it saw.
        notes: sentences for the report.
    """

    network: Network
    prediction: Prediction
    grid: Grid
    notes: tuple[str, ...] = ()

    @cached_property
    @torch.no_grad()
    def u(self) -> Tensor:
        """(1, 3, *grid.shape) voxels.

        Raises:
            RuntimeError: NaN or infinite displacement.
        """
        return self._checked(self.network.model.displacement(self.prediction, self.grid.shape))

    @cached_property
    @torch.no_grad()
    def inverse(self) -> Tensor | None:
        """The same of φ⁻¹; None where the system knows none in closed form: it is found numerically."""
        if isinstance(self.prediction.parameters, Displacement):
            return None
        return self.network.model.inverse_displacement(self.prediction, self.grid.shape).float()

    @cached_property
    @torch.no_grad()
    def lambda_map(self) -> Tensor:
        """(1, 1, *grid.shape); constant for systems of uniform λ."""
        found = self.network.model.lambda_on(self.prediction, self.grid.shape)
        if found is None:
            at = self.prediction.parameters
            like = at.u if isinstance(at, Displacement) else at.velocity
            found = like.new_full((1, 1, *self.grid.shape), uniform_lambda(self.network))
        return found.float()

    def solution(self, prepared: PreparedPair, pair: TensorPair) -> DisplacementSolution:
        """The answer on the grid of the stored field, similarity before and after on the working grid of `pair`."""
        where, score = prepared.field_grid, prepared.choices.score
        u = regrid_displacement(self.u, self.grid, where)
        inverse = None if self.inverse is None else regrid_displacement(self.inverse, self.grid, where)
        before = score(pair)
        after = score(pair, lambda shape: resize_displacement(u, shape).to(pair.fixed))
        lambda_map = regrid(self.lambda_map, self.grid, where)
        notes = (*self.notes, *_worse(before, after))
        return DisplacementSolution((), (before, after), u, inverse, lambda_map, model=self.network.describe(), notes=notes)

    @torch.no_grad()
    def velocity(self) -> Tensor:
        """A stationary velocity (1, 3, *grid.shape) with exp(v) ≈ id + u, voxels of `grid`.

        Raises:
            RuntimeError: NaN or infinite velocity.
        """
        if isinstance(self.prediction.parameters, StationaryVelocity):
            return self._checked(self.network.model.velocity(self.prediction, self.grid.shape))
        with torch.enable_grad():
            return velocity_of(self.u, size=max(self.grid.shape))

    def _checked(self, vectors: Tensor) -> Tensor:
        if not bool(torch.isfinite(vectors).all()):
            raise RuntimeError(
                f"The model {self.network.card.name} answered with NaN or infinite displacements: its file may be damaged, or "
                "the images may have extreme intensities; import the model again, or register without one."
            )
        return vectors.float()


@torch.no_grad()
def predict(prepared: PreparedPair, network: Network) -> Answer:
    """One pass of a network over a pair.

    Args:
        prepared: the pair, with its images.
        network: model and condition.

    Raises:
        ValueError: the images are far from the model's training.
    """
    tell, notes = prepared.reporter.tell, ()
    tell("preparing for the network", 0.15)
    alike = network.card.intensity == prepared.settings.intensity
    given = prepared.images if alike else (prepared.fixed, prepared.moving)
    seen = seen_pair(given, network.card, prepared.affine, prepared.choices.device, prepared=alike)
    if any(mask is not None for mask in prepared.masks):
        notes = ("The masks have no influence on the network's answer, only on the scores and on the refinement.",)
    tell("network", 0.2)
    prediction = network.predict(seen.moving, seen.fixed)
    tell("integrating", 0.75)
    return Answer(network, prediction, seen.grid, (*seen.notes, *notes))


def _worse(before: float, after: float) -> tuple[str, ...]:
    if after >= before:
        return ()
    return (
        f"The network left the images less alike than they were ({after:.4f}, before {before:.4f}): refine its answer, "
        "or register without a model; images that nearly match already gain little from a network.",
    )


def uniform_lambda(network: Network) -> float:
    """λ of a system that predicts none.

    Raises:
        RuntimeError: it names none either.
    """
    value = network.model.objective(network.condition).uniform_lambda
    if value is None:
        raise RuntimeError(
            f"The model {network.card.name} predicts no lambda and its objective names no uniform one: its system must have "
            "one of both; choose another model."
        )
    return float(value)
