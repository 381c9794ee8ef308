"""A finished registration made by hand: what the tests of reports and result folders start from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from SpatialRegularizationLib.geometry import DisplacementField, Grid, SpatialTransform, Volume
from SpatialRegularizationLib.registration.result import Figures, LevelHistory, Registration
from SpatialRegularizationLib.registration.settings import RegistrationSettings
from SpatialRegularizationLib.transforms.resample import resample

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def ramp_volume(shape: tuple[int, int, int] = (14, 12, 10), direction: tuple = IDENTITY) -> Volume:
    """A smooth image that differs along every axis, 1.5 × 2 × 3 mm voxels."""
    grid = Grid(shape, (1.5, 2.0, 3.0), (-10.0, 4.0, 20.0), direction)
    i, j, k = torch.meshgrid(*[torch.linspace(0, 1, n) for n in shape], indexing="ij")
    return Volume((i + 2 * j * j + torch.sin(3 * k))[None], grid)


def finished_registration(*, folded: bool = False, affine: np.ndarray | None = None) -> Registration:
    """A small displacement along the first axis; `folded` makes one voxel of the Jacobian map negative."""
    fixed = ramp_volume()
    moving = fixed.with_data(fixed.data + 0.1)
    field = DisplacementField(torch.full((3, *fixed.grid.shape), 0.5), fixed.grid)
    back = DisplacementField(-field.vectors, fixed.grid)
    jacobian = torch.ones_like(fixed.data)
    if folded:
        jacobian[0, 7, 6, 5] = -0.5
    percent = 100 * float((jacobian <= 0).double().mean())
    weights = torch.linspace(0.1, 1, fixed.data.numel()).reshape(fixed.data.shape)
    figures = Figures(
        seconds=1.5,
        peak_memory_mb=300.0,
        device="cpu",
        similarity_before=0.3,
        similarity_after=0.8,
        dice_before={1: 0.5, "mean": 0.5},
        dice_after={1: 0.75, "mean": 0.75},
        tre_before_mm={"mean": 5.0, "share_outside": 0.0},
        tre_after_mm={"mean": 1.25, "share_outside": float("nan")},
        folding_percent=percent,
        folding_one_sided_percent=percent,
        ndv_percent=0.0,
        sd_log_j=0.1,
        inverse_residual_p99_mm=0.005,
        inverse_residual_mm=0.01,
    )
    return Registration(
        fixed=fixed,
        moving=moving,
        warped=resample(moving, None, fixed.grid),
        displacement=field,
        inverse_transform=SpatialTransform(np.linalg.inv(np.eye(4) if affine is None else affine), back, affine_first=True),
        affine=np.eye(4) if affine is None else affine,
        lambda_map=fixed.with_data(weights),
        jacobian=fixed.with_data(jacobian),
        history=(LevelHistory("level 1 of 1", (1.0, 0.6, 0.5), (0.9, 0.5, 0.4), (0.1, 0.1, 0.1), (0.0, 0.0, 0.0)),),
        figures=figures,
        settings=RegistrationSettings(),
        seconds=1.5,
        notes=("Worked at the resolution of the fixed image.",),
    )


def linear_registration(affine: np.ndarray) -> Registration:
    """The same pair under an affine map alone."""
    deformed = finished_registration(affine=affine)
    none = dict.fromkeys(("folding_percent", "folding_one_sided_percent", "ndv_percent", "sd_log_j", "inverse_residual_mm"))
    return replace(
        deformed, displacement=None, lambda_map=None, jacobian=None, history=(), notes=(),
        inverse_transform=SpatialTransform(np.linalg.inv(affine)),
        warped=resample(deformed.moving, SpatialTransform(affine), deformed.fixed.grid),
        figures=replace(deformed.figures, **none, inverse_residual_p99_mm=None),
        settings=RegistrationSettings(affine="rigid", deformable="none"),
    )  # fmt: skip
