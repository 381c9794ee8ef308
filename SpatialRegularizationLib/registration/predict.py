"""A network's answer for one pair, on the network's lattice and as a solution on any other.

    both images → the network's lattice (`model_grid.py`) → Prediction → u, λ there → the fixed lattice (`carry.py`)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..fields.lengths import largest_length
from ..fields.parameters import Displacement, StationaryVelocity
from ..geometry.grid import Grid
from ..models.base import Prediction, RegistrationModel
from .carry import carry, carry_displacement
from .discrete import velocity_of
from .instance import TensorPair
from .job import Job
from .network import Network, seen_pair
from .scores import likeness
from .solution import DisplacementSolution

SMALL_SPEED = 2.0**-6
"""Voxels per unit time at which exp(v) is v to better than a percent of v's own change between voxels."""


@dataclass(frozen=True)
class Answer:
    """What a network says about a pair.

    Args:
        network: who says it.
        prediction: on the network's own lattice.
        grid: lattice of the images that it saw.
        u: (1, 3, *grid.shape) voxels.
        inverse: the same of φ⁻¹, or None where the system knows none.
        lambda_map: (1, 1, *grid.shape); constant for systems of uniform λ.
    """

    network: Network
    prediction: Prediction
    grid: Grid
    u: Tensor
    inverse: Tensor | None
    lambda_map: Tensor

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
        """A stationary velocity (1, 3, *grid.shape) with exp(v) ≈ id + u, voxels of `grid`."""
        if isinstance(self.prediction.parameters, StationaryVelocity):
            return velocity_on(self.network.model, self.prediction.parameters.velocity, self.grid.shape)
        with torch.enable_grad():
            return velocity_of(self.u, size=max(self.grid.shape))


@torch.no_grad()
def predict(job: Job, network: Network, affine: np.ndarray, notes: list[str]) -> Answer:
    """One pass of a network over a pair.

    Args:
        job: the pair.
        network: model and condition.
        affine: B, 4x4.
        notes: sentences so far; more are added.

    Raises:
        ValueError: the images are far from the model's training.
        RuntimeError: the answer is not finite.
    """
    job.reporter.tell("preparing for the network", 0.15)
    seen = seen_pair((job.fixed, job.moving), network.card, affine, job.choices.device)
    notes.extend(seen.notes)
    if any(mask is not None for mask in (job.companions.fixed_mask, job.companions.moving_mask)):
        notes.append("The masks have no influence on the network's answer, only on the scores and on the refinement.")
    job.reporter.tell("network", 0.2)
    prediction = network.predict(seen.moving, seen.fixed)
    job.reporter.tell("integrating", 0.75)
    return answer_of(network, prediction, seen.grid, with_inverse=not job.settings.refine_steps)


@torch.no_grad()
def answer_of(network: Network, prediction: Prediction, grid: Grid, *, with_inverse: bool = True) -> Answer:
    """The fields of a prediction on the lattice of the images.

    Raises:
        RuntimeError: NaN or infinite displacement.
    """
    model, shape = network.model, grid.shape
    u = model.displacement(prediction, shape)
    if not bool(torch.isfinite(u).all()):
        raise RuntimeError(
            f"The model {network.card.name} answered with NaN or infinite displacements: its file may be damaged, or the "
            "images may have extreme intensities; import the model again, or register without one."
        )
    inverse = _inverse(model, prediction, shape) if with_inverse else None
    lambda_map = model.lambda_on(prediction, shape)
    if lambda_map is None:
        lambda_map = u.new_full((1, 1, *shape), uniform_lambda(network))
    return Answer(network, prediction, grid, u.float(), inverse, lambda_map.float())


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


def _inverse(model: RegistrationModel, prediction: Prediction, shape: tuple[int, ...]) -> Tensor | None:
    if isinstance(prediction.parameters, Displacement):  # has none in closed form: it is found numerically
        return None
    return model.inverse_displacement(prediction, shape).float()


def velocity_on(model: RegistrationModel, velocity: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A velocity of the model's lattice on that of the images, through the model's own `displacement` D of slow velocities:

        v = D(0) + (D(εv) - D(0)) / ε

    So the model alone knows how its lattice lies in that of the images, and how it reads them: D(0) is not 0 for released
    networks whose warp at rest is not the identity.
    """
    scale = 1.0
    fastest = largest_length(velocity)
    while fastest * scale > SMALL_SPEED:
        scale /= 2

    def displacement(part: Tensor) -> Tensor:
        return model.displacement(Prediction(StationaryVelocity(part), None), shape).float()

    rest = displacement(torch.zeros_like(velocity))
    return rest + (displacement(velocity * scale) - rest) / scale
