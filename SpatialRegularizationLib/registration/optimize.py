"""Optimize the velocity of one pair by descent: coarse to fine, or a few steps from a network's answer; λ in closed form.

    minimize over v:   D(fixed, moving∘exp(v)) + R(v, λ*(v)) - log p(λ*(v))

λ* minimizes the energy for the present v (`models/free.py`), so the gradient for v is that of the first two terms at
fixed λ (the envelope theorem). Every tensor here is in voxels.

Deviates: the paper's networks are trained with R of the displacement u = exp(v) - id. A pair that is optimized to the end
would find what that leaves free: |∇u| stays below 1 however far tissue is compressed, so the compression to nothing is
cheap. ∇v is the logarithm of the local strain, the same for small deformations, and grows without bound towards a fold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..fields.resize import resize_displacement
from ..fields.sampling import warp
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..integrators.scaling_and_squaring import integrate_velocity, steps_for
from ..models.free import Adam, Free, low_resolution_lambda
from ..models.guided import Guided
from ..objective import Objective
from ..transforms.diffeomorphism import displacement_of
from ..transforms.resample import regrid, regrid_displacement
from .conclude import VelocitySolution
from .large_motion import initial_velocity, search_if_wanted
from .network import Answer
from .prepare import PreparedPair
from .result import LevelHistory
from .working_pair import TensorPair, level_shape

SEARCHED_VOXELS = 48
"""Voxels along the longest axis of an image that shows no more than the search has seen."""


REFINEMENT = ((3.0, 0.4), (2.0, 0.3), (1.0, 0.3))
"""Of a refinement: how much coarser the correction's lattice is than the velocity's, and the share of the steps there."""
REFINEMENT_SPEED = 2.0
"""Learning rate of a refinement over that of the settings, both in voxels of the velocity's lattice: it has few steps.

Both chosen on hippocampus pairs of a half-trained network. Seeing the coarse corrections at half resolution takes a quarter less
time and costs 0.004 Dice (scripts/studies/hippocampus.yaml, 40 pairs: 0.798, then 0.794; per pair 0.791).
"""


def optimize(prepared: PreparedPair, pair: TensorPair, initial: SpatialTransform | None = None) -> VelocitySolution:
    """Coarse to fine over the levels of the settings, from an initial transform, a search for large motion, or rest.

    Args:
        prepared: the pair and its settings.
        pair: both images on the working grid.
        initial: where it starts; its affine part is that of `prepared`.
    """
    velocity, notes = initial_velocity(initial, prepared.affine, prepared.grid, pair.fixed), ()
    if velocity is None:
        velocity, notes = search_if_wanted(
            pair, prepared.settings.global_search,
            tell=lambda share: prepared.reporter.tell("search for large motion", 0.1 + 0.1 * share),
        )  # fmt: skip
    before = prepared.choices.score(pair)
    shape = tuple(pair.fixed.shape[2:])
    levels = _levels_after(prepared, shape, velocity)
    work = [max(1, steps) / shrink**3 for shrink, _, steps in levels]
    history = []
    for number, (shrink, velocity_shrink, steps) in enumerate(levels):
        lattice = level_shape(shape, velocity_shrink)
        velocity = pair.fixed.new_zeros(1, 3, *lattice) if velocity is None else resize_displacement(velocity, lattice)
        free = _free(prepared, pair, velocity)
        span = (0.2 + 0.65 * sum(work[:number]) / sum(work), 0.65 * work[number] / sum(work))
        history.append(_level(prepared, free, pair.at_level(shrink), f"level {number + 1} of {len(levels)}", (steps, *span)))
        velocity = free.velocity.detach()
    after = prepared.choices.score(pair, lambda s: displacement_of(velocity, s))
    return VelocitySolution(tuple(history), (before, after), velocity, _closed_form(prepared, free.spacing), notes=notes)


def refine(prepared: PreparedPair, pair: TensorPair, answer: Answer) -> VelocitySolution:
    """`settings.refine_steps` steps from a network's velocity and λ, at the finest level of the settings or a finer one.

    Images coarser than those that the network saw would take back what it found, see `_refined_at`. Few steps go further
    where each moves a larger region: corrections begin on a coarse lattice, see `REFINEMENT`.

    Args:
        prepared: the pair and its settings.
        pair: both images on the working grid.
        answer: the network's.
    """
    before, grid = prepared.choices.score(pair), prepared.grid
    shrink, velocity_shrink = _refined_at(prepared, answer.grid)
    images = pair.at_level(shrink)
    lattice = level_shape(grid.shape, velocity_shrink)
    where = grid.resized(lattice)
    velocity = regrid_displacement(answer.velocity(), answer.grid, where).to(pair.fixed)
    lambda_map = regrid(answer.lambda_map, answer.grid, where).to(pair.fixed)
    spacing = prepared.choices.relative_spacing(pair, lattice)
    parts, history = _refinement_steps(prepared.settings.refine_steps), []
    for number, (coarser, steps) in enumerate(parts):
        guided = Guided(
            velocity, lambda_map, _closed_form(prepared, spacing), spacing=spacing,
            lattice=level_shape(grid.shape, velocity_shrink * coarser),
        )  # fmt: skip
        span = (steps, 0.4 + 0.45 * number / len(parts), 0.45 / len(parts))
        history.append(_level(prepared, guided, images, f"refinement {number + 1} of {len(parts)}", span))
        velocity, lambda_map = guided.velocity.detach(), guided.present_lambda
    note = f"The network's answer was refined by {sum(len(level.total) for level in history)} steps."
    after = prepared.choices.score(pair, lambda s: displacement_of(velocity, s))
    return VelocitySolution(
        tuple(history), (before, after), velocity, lambda_map, model=answer.network.describe(), notes=(*answer.notes, note)
    )


def _refined_at(prepared: PreparedPair, seen: Grid) -> tuple[float, float]:
    """How much coarser than the working grid images and velocity are: by voxel volume not coarser than what was seen."""
    shrink, velocity_shrink, _ = prepared.settings.levels[-1]
    edges = [math.prod(grid.spacing) ** (1 / 3) for grid in (prepared.grid, seen)]
    finest = max(1.0, min(shrink, edges[1] / edges[0]))
    return finest, velocity_shrink * finest / shrink


def _refinement_steps(steps: int) -> list[tuple[float, int]]:
    """(how much coarser the correction's lattice is, steps there) of each part; together `steps`."""
    ends = [round(steps * share) for share in itertools.accumulate(share for _, share in REFINEMENT)]
    counts = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    return [(coarser, count) for (coarser, _), count in zip(REFINEMENT, counts, strict=True) if count]


def _free(prepared: PreparedPair, pair: TensorPair, velocity: Tensor) -> Free:
    return Free(
        velocity, prepared.choices.prior.optimal_lambda, lambda_pooling=prepared.settings.lambda_pooling,
        spacing=prepared.choices.relative_spacing(pair, tuple(velocity.shape[2:])),
    )  # fmt: skip


def _closed_form(prepared: PreparedPair, spacing: tuple[float, ...] | None) -> Callable[[Tensor], Tensor]:
    """λ of a velocity, on its lattice."""
    return lambda velocity: low_resolution_lambda(
        velocity, prepared.choices.prior.optimal_lambda, pooling=prepared.settings.lambda_pooling, spacing=spacing
    )


def _levels_after(prepared: PreparedPair, shape: tuple[int, ...], velocity: Tensor | None) -> tuple[tuple[int, int, int], ...]:
    """The levels that see more than the search (or initial transform) has seen: at least the last one."""
    if velocity is None:
        return prepared.settings.levels
    seen = max(1.0, max(shape) / SEARCHED_VOXELS)
    return tuple(level for level in prepared.settings.levels if level[0] <= seen) or prepared.settings.levels[-1:]


def _level(
    prepared: PreparedPair, free: Free | Guided, pair: TensorPair, stage: str, span: tuple[int, float, float]
) -> LevelHistory:
    """One descent; `span` is (steps, share of the whole work done before, share that this level is)."""
    steps, begin, length = span

    def on_step(step: int, energies: dict[str, float]) -> None:
        prepared.reporter.tell(stage, begin + length * (step + 1) / steps, energies["total"])

    speed = REFINEMENT_SPEED / free.coarser if isinstance(free, Guided) else 1.0
    descent = Descent(steps, speed * prepared.settings.learning_rate, prepared.settings.tolerance)
    regularizer = prepared.choices.regularizer(pair.fixed, tuple(free.velocity.shape[2:]), free.spacing)
    objective = Objective(prepared.choices.similarity, regularizer, prepared.choices.prior)
    energies = descend(free, prepared.choices.featured(pair), objective, descent, on_step=on_step)
    columns = {name: tuple(e[name] for e in energies) for name in ("total", "similarity", "regularization", "prior")}
    return LevelHistory(stage=stage, **columns)


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


def _converged(history: Sequence[dict[str, float]], tolerance: float) -> bool:
    if len(history) < 20:
        return False
    totals = [h["total"] for h in history]
    now, before, start = sum(totals[-10:]) / 10, sum(totals[-20:-10]) / 10, totals[0]
    return before - now < tolerance * max(start - now, 1e-12)
