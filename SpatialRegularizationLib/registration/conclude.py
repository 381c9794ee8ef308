"""The last stages: a solution in voxels becomes a fold-free transform in patient space with its inverse, maps and figures."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..evaluation.regularity import measure_regularity
from ..fields.derivatives import jacobian_determinant
from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from .job import Job
from .resample import resample
from .result import Figures, Registration
from .round_trip import round_trip
from .scores import landmark_scores, overlap_scores, peak_memory_mb
from .solution import Settled, Solution

BEGIN, WARP = 0.86, 0.94
"""Shares of the whole job at which folds are looked for, and at which images are warped."""


def field_grid(job: Job, grid: Grid, notes: list[str]) -> Grid:
    """The fixed grid, or the working grid where the fixed one is too large for a field of its own."""
    voxels = job.fixed.data[0].numel()
    if voxels <= job.settings.max_voxels or grid.matches(job.fixed.grid):
        return job.fixed.grid
    notes.append(
        f"The transform, its Jacobian and lambda are stored at the working resolution (the fixed image has {voxels} "
        "voxels); the warped image has the full resolution of the fixed image."
    )
    return grid


@torch.no_grad()
def conclude(job: Job, solution: Solution, where: Grid, affine: np.ndarray, notes: list[str]) -> Registration:
    """The registration that a solution stands for.

    Args:
        job: the pair and its settings.
        solution: what was found.
        where: grid of the transform's field, see `field_grid`.
        affine: B, 4x4.
        notes: sentences so far; more are added.
    """
    tell = job.reporter.tell
    tell("removing folds", BEGIN)
    settled = solution.settle(where.shape, lambda stage, share: tell(stage, BEGIN + (WARP - BEGIN) * share))
    _note_folds(settled, notes)
    u = settled.u
    missed = round_trip(settled.inverse, u, where, job.fixed.grid)
    u = u.cpu()
    displacement = DisplacementField.from_voxels(u[0], where)
    transform = SpatialTransform(affine, displacement)
    tell("warping and scoring", WARP)
    warped = resample(job.moving, transform, job.fixed.grid, fill=min(0.0, float(job.moving.data.min())))
    jacobian = Volume(jacobian_determinant(u)[0], where)
    figures = _figures(job, solution, transform, u, missed)
    tell("done", 1.0)
    return Registration(
        fixed=job.fixed, moving=job.moving, warped=warped, displacement=displacement,
        inverse_transform=settled.inverse.transform(affine, where), affine=affine,
        lambda_map=Volume(settled.lambda_map[0].cpu(), where), jacobian=jacobian,
        history=solution.history, figures=figures, settings=job.settings, seconds=job.reporter.seconds,
        notes=(*notes, *job.companions.notes), model=solution.model,
    )  # fmt: skip


def _note_folds(settled: Settled, notes: list[str]) -> None:
    if settled.folded:
        share = 100 * settled.folded / settled.u[0, 0].numel()
        left = f"{settled.left} still fold: raise lambda-floor or lambda-max." if settled.left else "none folds now."
        notes.append(
            f"The deformation was smoothed around {settled.folded} voxels where it folded on the lattice ({share:.3f} %); {left}"
        )


def _figures(
    job: Job, solution: Solution, transform: SpatialTransform, u: Tensor, missed: tuple[float, float]
) -> Figures:
    identity = SpatialTransform.identity()
    grid, moving = job.fixed.grid, job.moving.grid
    before, after = (overlap_scores(job.companions, t, grid) for t in (identity, transform))
    regularity = measure_regularity(u)
    return Figures(
        seconds=job.reporter.seconds,
        peak_memory_mb=peak_memory_mb(job.choices.device),
        device=str(job.choices.device),
        similarity_before=solution.similarity[0],
        similarity_after=solution.similarity[1],
        dice_before=before and before[0],
        dice_after=after and after[0],
        hd95_before_mm=before and before[1],
        hd95_after_mm=after and after[1],
        tre_before_mm=landmark_scores(job.companions, identity, moving),
        tre_after_mm=landmark_scores(job.companions, transform, moving),
        folding_percent=regularity.folding_percent,
        folding_one_sided_percent=regularity.folding_one_sided_percent,
        ndv_percent=regularity.ndv_percent,
        sd_log_j=regularity.sd_log_j,
        inverse_residual_p99_mm=missed[0],
        inverse_residual_mm=missed[1],
    )
