"""Conclude a registration without a deformation: φ(x) = B x, exact with its inverse, and the figures that a linear map has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..geometry.transform import SpatialTransform
from ..images.preparation import working_grid
from ..transforms.resample import resample
from .conclude import common_figures, fill_of
from .prepare import PreparedPair
from .result import Registration

BEGIN = 0.1
"""Share of a whole job at which the alignment ends; the rest of the bar is the descent's, which is left out here."""
SCORED_VOXELS = 1_000_000
"""Similarity before and after is taken on a lattice of at most about this many: 2 mm in a head, two seconds of one core each."""
CHECKED = 0.105
"""The same where the result is checked."""
FASTER = 0.9 / BEGIN
"""How much faster the bar moves during the alignment of a job that ends with it."""


def check_straight(initial: SpatialTransform | None) -> None:
    """Refuses an initial transform that a linear result cannot hold.

    Raises:
        ValueError: it bends.
    """
    if initial is not None and not initial.is_affine:
        raise ValueError(
            "The initial transform bends, and nothing is to deform (deformable none): give its affine part only, or choose "
            "deformable on or a preset that deforms."
        )


@torch.no_grad()
def conclude_linear(prepared: PreparedPair) -> Registration:
    """The registration that the alignment of a pair stands for; no lattice to work on is made but the one of the scores."""
    tell, fixed, moving = prepared.reporter.tell, prepared.fixed, prepared.moving
    tell("warping and scoring", BEGIN)
    transform = SpatialTransform(prepared.affine)
    similarity = _score(prepared, np.eye(4)), _score(prepared, prepared.affine)
    warped = resample(moving, transform, fixed.grid, fill=fill_of(moving))
    figures = common_figures(prepared, transform, similarity)
    return Registration(
        fixed=fixed, moving=moving, warped=warped, displacement=None,
        inverse_transform=SpatialTransform(np.linalg.inv(prepared.affine)), affine=prepared.affine, lambda_map=None,
        jacobian=None, history=(), figures=figures, settings=prepared.settings, seconds=prepared.reporter.seconds,
        notes=(*prepared.notes, *prepared.companions.notes), preset=prepared.preset,
    )  # fmt: skip


def _score(prepared: PreparedPair, affine: np.ndarray) -> float:
    """Similarity of the pair under an affine map."""
    grid = working_grid(prepared.fixed.grid, max_voxels=SCORED_VOXELS)
    return prepared.choices.score(replace(prepared, start=replace(prepared.start, matrix=affine)).tensors(grid))
