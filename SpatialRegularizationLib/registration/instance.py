"""Per-pair registration: gradient descent on the velocity of one pair, coarse to fine, λ in closed form.

    minimise over v:   D(fixed, moving∘exp(v)) + R(v, λ*(v)) - log p(λ*(v))

λ* minimises the energy for the present v (`models/free.py`), so the gradient for v is that of the first two terms at
fixed λ (the envelope theorem). Every tensor here is in voxels.

Deviates: the paper's networks are trained with R of the displacement u = exp(v) - id. A pair that is optimised to the end
would find what that leaves free: |∇u| stays below 1 however far tissue is compressed, so the compression to nothing is
cheap. ∇v is the logarithm of the local strain, the same for small deformations, and grows without bound towards a fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..fields.resize import resize_displacement
from ..fields.sampling import warp
from ..integrators.scaling_and_squaring import integrate_velocity, steps_for
from ..models.free import Free
from ..models.guided import Guided
from ..objective import Objective
from .working_pair import TensorPair

ROUNDING = 1e-4
"""Largest difference, as a share of the image's range, that resampling in single precision may leave between equal images."""


@dataclass(frozen=True)
class Descent:
    """How one level is minimised.

    Args:
        iterations: most steps.
        learning_rate: Adam's step, voxels of the velocity's lattice.
        tolerance: the level ends when the mean energy of the last ten steps has fallen by less than this share of
            what it fell since the start of the level; 0 never ends early.
        largest_step: voxels; decides the number of squarings from the fastest velocity.
    """

    iterations: int
    learning_rate: float = 0.1
    tolerance: float = 0.0
    largest_step: float = 0.5


def descend(
    free: Free | Guided,
    pair: TensorPair,
    objective: Objective,
    descent: Descent,
    *,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Minimises the objective over `free.unknown` in place; returns the energies of every step.

    With masks the similarity, a mean over them, is multiplied by their share of the lattice: what a voxel weighs
    against the regularization, a mean over all voxels, is then the same with and without a mask.

    No evidence, no motion: where the warped image equals the fixed one at the start there is nothing to gain, and Adam, whose
    steps have the same length however small the gradient is, would only follow rounding. The start is kept then.
    """
    optimizer = Adam(free.unknown, descent.learning_rate)
    history: list[dict[str, float]] = []
    shape = tuple(pair.fixed.shape[2:])
    weight = None
    if pair.masked:
        with torch.no_grad():
            u = integrate_velocity(free.velocity, steps=steps_for(free.velocity))
            weight = pair.weight(resize_displacement(u, shape))
        objective = replace(objective, similarity_weight=objective.similarity_weight * float(weight.mean()))
    for step in range(descent.iterations):
        velocity = free.velocity
        u = integrate_velocity(velocity, steps=steps_for(velocity, largest_step=descent.largest_step))
        full = u if tuple(u.shape[2:]) == shape else resize_displacement(u, shape)
        warped = warp(pair.moving, full, offset=pair.offset)
        lambda_map = free.lambda_map(velocity)
        free.keep(lambda_map)
        energy = objective(warped, pair.fixed, velocity, lambda_map, weight)
        history.append(energy.numbers())
        if step == 0 and _equal(warped, pair.fixed):
            break
        (gradient,) = torch.autograd.grad(energy.total, free.unknown)
        optimizer.step(gradient)
        if on_step is not None:
            on_step(step, history[-1])
        if descent.tolerance > 0 and _converged(history, descent.tolerance):
            break
    return history


@torch.no_grad()
def _equal(warped: Tensor, fixed: Tensor) -> bool:
    """Whether two images differ by rounding only."""
    lowest, highest = fixed.aminmax()
    return bool((warped - fixed).abs().max() <= ROUNDING * (highest - lowest))


class Adam:
    """Adam (Kingma and Ba, ICLR 2015) for one tensor, in place.

    PyTorch's own pulls in its compiler at the first import, 2.7 s of a registration that may take two.
    """

    def __init__(self, parameter: Tensor, learning_rate: float, *, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        self.parameter, self.learning_rate, self.betas = parameter, learning_rate, betas
        self.mean = torch.zeros_like(parameter)
        self.square = torch.zeros_like(parameter)
        self.count = 0

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """parameter ← parameter - rate · m̂ / (√v̂ + ε)."""
        self.count += 1
        first, second = self.betas
        self.mean.mul_(first).add_(gradient, alpha=1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = (1 - second**self.count) ** 0.5
        denominator = self.square.sqrt().div_(scale).add_(1e-12)
        self.parameter.addcdiv_(self.mean, denominator, value=-self.learning_rate / (1 - first**self.count))


def _converged(history: Sequence[dict[str, float]], tolerance: float) -> bool:
    if len(history) < 20:
        return False
    totals = [h["total"] for h in history]
    now, before, start = sum(totals[-10:]) / 10, sum(totals[-20:-10]) / 10, totals[0]
    return before - now < tolerance * max(start - now, 1e-12)
