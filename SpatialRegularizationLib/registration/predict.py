"""A network's answer for one pair, on the network's lattice and as a solution on any other.

    both images → the network's lattice (`model_grid.py`) → Prediction → u, λ there → the fixed lattice (`carry.py`)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..fields.parameters import Displacement, StationaryVelocity
from ..geometry.grid import Grid
from ..geometry.volume import Volume
from ..models.base import Prediction
from .carry import carry, carry_displacement
from .discrete import velocity_of
from .instance import TensorPair
from .job import Job
from .network import Network, seen_pair
from .scores import likeness
from .solution import DisplacementSolution


@dataclass(frozen=True)
class Answer:
    """What a network says about a pair. Fields are made when they are asked for: a refinement needs no displacement.

    Args:
        network: who says it.
        prediction: on the network's own lattice.
        grid: lattice of the images that it saw.
    """

    network: Network
    prediction: Prediction
    grid: Grid

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

    def solution(self, job: Job, pair: TensorPair, where: Grid) -> DisplacementSolution:
        """The answer on the lattice `where`, likeness before and after on the working lattice of `pair`."""
        u = carry_displacement(self.u, self.grid, where)
        inverse = None if self.inverse is None else carry_displacement(self.inverse, self.grid, where)
        found = DisplacementSolution(
            (), (likeness(job, pair), 0.0), u, inverse, carry(self.lambda_map, self.grid, where),
            model=self.network.describe(),
        )  # fmt: skip
        after = likeness(job, pair, lambda shape: found.displacement(shape).to(pair.fixed))
        return found.scored(after)

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
def predict(
    job: Job, network: Network, images: tuple[Volume, Volume], affine: np.ndarray, notes: list[str]
) -> Answer:
    """One pass of a network over a pair.

    Args:
        job: the pair.
        network: model and condition.
        images: fixed and moving, prepared as the settings of the job ask for.
        affine: B, 4x4.
        notes: sentences so far; more are added.

    Raises:
        ValueError: the images are far from the model's training.
    """
    job.reporter.tell("preparing for the network", 0.15)
    prepared = network.card.intensity == job.settings.intensity
    given = images if prepared else (job.fixed, job.moving)
    seen = seen_pair(given, network.card, affine, job.choices.device, prepared=prepared)
    notes.extend(seen.notes)
    if any(mask is not None for mask in (job.companions.fixed_mask, job.companions.moving_mask)):
        notes.append("The masks have no influence on the network's answer, only on the scores and on the refinement.")
    job.reporter.tell("network", 0.2)
    prediction = network.predict(seen.moving, seen.fixed)
    job.reporter.tell("integrating", 0.75)
    return Answer(network, prediction, seen.grid)


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
