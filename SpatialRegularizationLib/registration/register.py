"""Two volumes in, one registration out: the main job.

    prepare intensities and masks → affine start B → working lattice → (search for large motion) → coarse-to-fine descent on the
    velocity with λ in closed form → folds removed → displacement in mm, its inverse, λ, Jacobian, figures

    φ(x) = B( x + d(x) )        fixed point → moving point, LPS mm
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..evaluation.regularity import measure_regularity
from ..fields.derivatives import jacobian_determinant
from ..fields.resize import resize, resize_displacement
from ..fields.sampling import warp
from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..models.free import Free, low_resolution_lambda
from ..objective import Objective
from .affine import AffineStart, start_affine
from .choices import ComputeChoices
from .diffeomorphism import displacement_of, inverse_of, inverse_residual, without_folds
from .instance import Descent, TensorPair, descend, level_shape
from .large_motion import initial_velocity, search_if_wanted
from .prepare import check_image, check_overlap, describe_working_grid, fit_mask, prepare_intensity, working_grid
from .resample import resample
from .result import Companions, Figures, LevelHistory, Monitor, Progress, Registration
from .scores import check_companions, landmark_scores, overlap_scores, peak_memory_mb
from .settings import RegistrationSettings

SEARCHED_VOXELS = 48
"""Voxels along the longest axis of an image that shows no more than the search has seen."""


def register(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings | None = None,
    *,
    companions: Companions | None = None,
    initial: SpatialTransform | None = None,
    monitor: Monitor | None = None,
) -> Registration:
    """Registers two 3-D volumes of any size, spacing and orientation.

    Args:
        fixed: (1, i, j, k); the result lives on its grid.
        moving: (1, i, j, k); is carried onto the fixed image.
        settings: see `presets.PRESETS`; default the generic preset.
        companions: masks, label maps and landmarks.
        initial: transform to start from; its affine part starts the affine stage, its displacement the velocity.
        monitor: told about the progress; raises `Cancelled` to stop.

    Returns:
        Registration; the same for the same inputs, settings, device and number of threads.

    Raises:
        ValueError: images, masks, labels or points that cannot be registered; one sentence with the remedy.
        RuntimeError: the asked-for device is not there; an energy term is not finite.
        Cancelled: by the monitor.
    """
    settings = settings or RegistrationSettings()
    companions = companions or Companions()
    check_image(fixed, "fixed image")
    check_image(moving, "moving image")
    check_companions(companions, fixed.grid, moving.grid)
    choices = ComputeChoices.of(settings)
    with _threads(settings.threads):
        return _Job(fixed, moving, settings, companions, choices, _Reporter(monitor)).run(initial)


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Reporter:
    """Turns stages with a share of the whole into `Progress`."""

    def __init__(self, monitor: Monitor | None) -> None:
        self.monitor = monitor
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def tell(self, stage: str, fraction: float, energy: float | None = None, message: str = "") -> None:
        if self.monitor is not None:
            self.monitor(Progress(stage, min(1.0, fraction), self.seconds, energy, message))


@dataclass(frozen=True)
class _Solution:
    """What the optimisation leaves: fields in voxels of the working lattice, and what to say about it."""

    velocity: Tensor
    history: tuple[LevelHistory, ...]
    similarity: tuple[float, float]


@dataclass(frozen=True)
class _Job:
    """One registration; the methods are its stages, in order."""

    fixed: Volume
    moving: Volume
    settings: RegistrationSettings
    companions: Companions
    choices: ComputeChoices
    reporter: _Reporter

    def run(self, initial: SpatialTransform | None) -> Registration:
        notes: list[str] = []
        self.reporter.tell("preparing", 0.0)
        images = (
            prepare_intensity(self.fixed, self.settings.intensity, "fixed image"),
            prepare_intensity(self.moving, self.settings.intensity, "moving image"),
        )
        masks = self._masks()
        affine = self._affine(images, masks, initial, notes)
        check_overlap(self.fixed.grid, self.moving.grid, affine)
        grid = working_grid(
            self.fixed.grid, spacing_mm=self.settings.working_spacing_mm, max_voxels=self.settings.max_voxels
        )
        notes.append(describe_working_grid(self.fixed.grid, grid))
        pair = self.choices.pair(images, masks, grid, affine)
        del images, masks
        solution = self._optimise(pair, initial_velocity(initial, affine, grid, self.choices), notes)
        del pair
        return self._result(solution, grid, affine, notes)

    def _masks(self) -> tuple[Volume | None, Volume | None]:
        given = (self.companions.fixed_mask, self.fixed.grid, "fixed mask"), (
            self.companions.moving_mask, self.moving.grid, "moving mask",
        )  # fmt: skip
        return tuple(None if mask is None else fit_mask(mask, grid, name) for mask, grid, name in given)

    def _affine(self, images, masks, initial: SpatialTransform | None, notes: list[str]) -> np.ndarray:
        start = None if initial is None else initial.affine_matrix
        if initial is not None and initial.displacement is not None:
            notes.append("The initial transform bends; it was taken as it is, without an affine stage.")
            return start
        kind = AffineStart(self.settings.affine)
        self.reporter.tell("affine start", 0.02)
        return start_affine(
            *images, kind, initial=start, masks=masks, seed=self.settings.seed,
            monitor=lambda share: self.reporter.tell("affine start", 0.02 + 0.08 * share),
        )  # fmt: skip

    def _optimise(self, pair: TensorPair, velocity: Tensor | None, notes: list[str]) -> _Solution:
        if velocity is None:
            velocity = search_if_wanted(
                pair, self.settings.global_search, notes,
                tell=lambda share: self.reporter.tell("search for large motion", 0.1 + 0.1 * share),
            )  # fmt: skip
        before = self._similarity(pair, None)
        shape = tuple(pair.fixed.shape[2:])
        levels = self._levels_after(shape, velocity)
        work = [max(1, steps) / shrink**3 for shrink, _, steps in levels]
        history = []
        for number, (shrink, velocity_shrink, steps) in enumerate(levels):
            lattice = level_shape(shape, velocity_shrink)
            velocity = (
                pair.fixed.new_zeros(1, 3, *lattice) if velocity is None else resize_displacement(velocity, lattice)
            )
            free = Free(
                velocity, self.choices.prior.optimal_lambda, lambda_pooling=self.settings.lambda_pooling,
                spacing=self.choices.relative_spacing(pair, lattice),
            )  # fmt: skip
            stage = f"level {number + 1} of {len(levels)}"
            span = (sum(work[:number]) / sum(work), work[number] / sum(work))
            history.append(self._level(free, pair.at_level(shrink), steps, stage, span))
            velocity = free.velocity.detach()
        return _Solution(velocity, tuple(history), (before, self._similarity(pair, velocity)))

    def _levels_after(self, shape: tuple[int, ...], velocity: Tensor | None) -> tuple[tuple[int, int, int], ...]:
        """The levels that see more than the search (or initial transform) has seen: at least the last one."""
        if velocity is None:
            return self.settings.levels
        seen = max(1.0, max(shape) / SEARCHED_VOXELS)
        return tuple(level for level in self.settings.levels if level[0] <= seen) or self.settings.levels[-1:]

    def _level(self, free: Free, pair: TensorPair, steps: int, stage: str, span: tuple[float, float]) -> LevelHistory:
        def on_step(step: int, energies: dict[str, float]) -> None:
            share = 0.2 + 0.65 * (span[0] + span[1] * (step + 1) / steps)
            self.reporter.tell(stage, share, energies["total"])

        descent = Descent(steps, self.settings.learning_rate, self.settings.tolerance)
        objective = Objective(self.choices.similarity, self.choices.regularizer(free.spacing), self.choices.prior)
        energies = descend(free, self.choices.featured(pair), objective, descent, on_step=on_step)
        columns = {name: tuple(e[name] for e in energies) for name in ("total", "similarity", "regularization", "prior")}
        return LevelHistory(stage=stage, **columns)

    @torch.no_grad()
    def _similarity(self, pair: TensorPair, velocity: Tensor | None) -> float:
        """Likeness on the working lattice: 1 - D for LNCC and MIND, -D for MSE (larger is more alike)."""
        pair = self.choices.featured(pair.at_level(self.choices.scoring_shrink(pair)))
        shape = tuple(pair.fixed.shape[2:])
        u = pair.fixed.new_zeros(1, 3, *shape) if velocity is None else displacement_of(velocity, shape)
        distance = float(self.choices.similarity(warp(pair.moving, u, offset=pair.offset), pair.fixed, pair.weight(u)))
        return -distance if self.settings.similarity == "mse" else 1.0 - distance

    @torch.no_grad()
    def _result(self, solution: _Solution, grid: Grid, affine: np.ndarray, notes: list[str]) -> Registration:
        field_grid = self._field_grid(grid, notes)
        tell = self.reporter.tell
        tell("removing folds", 0.86)
        velocity, u, folded, left = without_folds(
            solution.velocity, field_grid.shape, on_round=lambda n: tell("removing folds", 0.86 + 0.001 * n)
        )
        if folded:
            notes.append(
                f"The velocity was smoothed around {folded} voxels where its exponential folded on the lattice "
                f"({100 * folded / u[0, 0].numel():.3f} %); "
                + (f"{left} still fold: raise lambda-floor or lambda-max." if left else "none folds now.")
            )
        tell("inverting", 0.9)
        inverse = inverse_of(velocity, u).cpu()
        u = u.cpu()
        residual = _largest_mm(inverse_residual(u, inverse), field_grid)
        lambda_map = low_resolution_lambda(
            velocity, self.choices.prior.optimal_lambda, pooling=self.settings.lambda_pooling,
            spacing=self.choices.relative_spacing(None, tuple(velocity.shape[2:]), grid),
        )  # fmt: skip
        displacement = DisplacementField.from_voxels(u[0], field_grid)
        transform = SpatialTransform(affine, displacement)
        tell("warping and scoring", 0.94)
        warped = resample(self.moving, transform, self.fixed.grid, fill=min(0.0, float(self.moving.data.min())))
        jacobian = Volume(jacobian_determinant(u)[0], field_grid)
        figures = self._figures(solution, transform, u, residual)
        tell("done", 1.0)
        return Registration(
            fixed=self.fixed, moving=self.moving, warped=warped, displacement=displacement,
            inverse=DisplacementField.from_voxels(inverse[0], field_grid), affine=affine,
            lambda_map=Volume(resize(lambda_map, field_grid.shape)[0].cpu(), field_grid), jacobian=jacobian,
            history=solution.history, figures=figures, settings=self.settings, seconds=self.reporter.seconds,
            notes=tuple(notes),
        )  # fmt: skip

    def _field_grid(self, grid: Grid, notes: list[str]) -> Grid:
        """The fixed grid, or the working grid where the fixed one is too large for a field of its own."""
        voxels = self.fixed.data[0].numel()
        if voxels <= self.settings.max_voxels or grid.matches(self.fixed.grid):
            return self.fixed.grid
        notes.append(
            f"The transform, its Jacobian and lambda are stored at the working resolution (the fixed image has {voxels} "
            "voxels); the warped image has the full resolution of the fixed image."
        )
        return grid

    def _figures(self, solution: _Solution, transform: SpatialTransform, u: Tensor, residual: float) -> Figures:
        identity = SpatialTransform.identity()
        grid, moving = self.fixed.grid, self.moving.grid
        before, after = (overlap_scores(self.companions, t, grid) for t in (identity, transform))
        regularity = measure_regularity(u)
        return Figures(
            seconds=self.reporter.seconds,
            peak_memory_mb=peak_memory_mb(self.choices.device),
            device=str(self.choices.device),
            similarity_before=solution.similarity[0],
            similarity_after=solution.similarity[1],
            dice_before=before and before[0],
            dice_after=after and after[0],
            hd95_before_mm=before and before[1],
            hd95_after_mm=after and after[1],
            tre_before_mm=landmark_scores(self.companions, identity, moving),
            tre_after_mm=landmark_scores(self.companions, transform, moving),
            folding_percent=regularity.folding_percent,
            folding_one_sided_percent=regularity.folding_one_sided_percent,
            ndv_percent=regularity.ndv_percent,
            sd_log_j=regularity.sd_log_j,
            inverse_residual_mm=residual,
        )


def _largest_mm(r: Tensor, grid: Grid) -> float:
    """Largest length of vectors r (3, i, j, k) in voxels of a grid, mm; a few planes at a time."""
    linear = torch.from_numpy(grid.affine[:3, :3]).to(r)
    return max(float(torch.einsum("rc,cijk->rijk", linear, part).norm(dim=0).max()) for part in r.split(16, dim=1))
