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

from ..fields.resize import resample_axes, resize_displacement, shrink
from ..fields.sampling import warp
from ..integrators.scaling_and_squaring import integrate_velocity, steps_for
from ..models.free import Free
from ..models.guided import Guided
from ..objective import Objective


@dataclass(frozen=True)
class TensorPair:
    """Two images on lattices of the same voxel size.

    Args:
        fixed: (1, C, *s).
        moving: (1, C, *t); may reach beyond the fixed lattice.
        offset: where fixed voxel 0 lies in the moving lattice, voxels along each axis.
        mask: (1, 1, *s), 1 where the similarity counts; None: everywhere.
        moving_mask: (1, 1, *t), the same for the moving image, asked where a fixed voxel has been carried to.
        extent: length of the fixed lattice between its end voxels along each axis, in any unit; None: cubic voxels.
    """

    fixed: Tensor
    moving: Tensor
    offset: tuple[float, ...]
    mask: Tensor | None = None
    moving_mask: Tensor | None = None
    extent: tuple[float, ...] | None = None

    def at_level(self, factor: float) -> TensorPair:
        """The pair on a lattice `factor` times coarser along every axis (smoothed against aliasing)."""
        shape = level_shape(tuple(self.fixed.shape[2:]), factor)
        if shape == tuple(self.fixed.shape[2:]):
            return self
        step = tuple((n - 1) / (m - 1) if m > 1 else 1.0 for n, m in zip(self.fixed.shape[2:], shape, strict=True))
        margin = tuple(int(o / f + 1e-9) for o, f in zip(self.offset, step, strict=True))
        start = tuple(o - m * f for o, m, f in zip(self.offset, margin, step, strict=True))
        count = tuple(
            max(1, int((n - 1 - b) / f + 1e-9) + 1)
            for n, b, f in zip(self.moving.shape[2:], start, step, strict=True)
        )
        moving, moving_mask = (
            None if x is None else resample_axes(x, start, step, count) for x in (self.moving, self.moving_mask)
        )
        mask = None if self.mask is None else shrink(self.mask, shape)
        offset = tuple(float(m) for m in margin)
        return TensorPair(shrink(self.fixed, shape), moving, offset, mask, moving_mask, self.extent)

    @property
    def masked(self) -> bool:
        """Whether the similarity counts somewhere only."""
        return self.mask is not None or self.moving_mask is not None

    @torch.no_grad()
    def weight(self, u: Tensor) -> Tensor | None:
        """(1, 1, *s): 1 where both masks hold once fixed voxels are carried by u (1, 3, *s); None without masks."""
        both = self.mask
        if self.moving_mask is not None:
            carried = warp(self.moving_mask, u, fill=0.0, offset=self.offset)
            both = carried if both is None else both * carried
        return None if both is None else (both >= 0.5).to(u.dtype)


def level_shape(shape: tuple[int, ...], factor: float) -> tuple[int, ...]:
    """Voxels per axis on a lattice `factor` times coarser; thin axes keep at least 8 voxels (or what they have)."""
    return tuple(min(n, max(8, round((n - 1) / factor) + 1)) for n in shape)


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

    With masks the similarity, a mean over them, is multiplied by their share of the lattice: what the likeness of a voxel weighs
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
        energy = objective(warped, pair.fixed, velocity, free.lambda_map(velocity), weight)
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
