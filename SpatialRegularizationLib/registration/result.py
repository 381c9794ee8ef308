"""Hold the result of a registration: transform, maps, figures and history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..geometry.displacement import DisplacementField
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from .settings import RegistrationSettings
from .verdict import Verdict


@dataclass(frozen=True)
class LevelHistory:
    """The energies of one level of the optimization, one number per step (sums and weights as in the objective)."""

    stage: str
    total: tuple[float, ...]
    similarity: tuple[float, ...]
    regularization: tuple[float, ...]
    prior: tuple[float, ...]


@dataclass(frozen=True)
class Figures:
    """The numbers of a registration; None where they do not apply. Conventions: the report states each of them.

    Args:
        seconds: wall time of the registration without reading and writing, s.
        peak_memory_mb: largest resident memory of the process (or of the device, if larger), MB.
        start_seconds: wall time of the affine start, s; 0 where none was sought.
        device: where it ran, "cpu", "cuda:0", "mps".
        similarity_before, similarity_after: the similarity's own value (LNCC: mean, 1 is best) on the working grid.
        dice_before, dice_after: {label: Dice, "mean": Dice}.
        tre_before_mm, tre_after_mm: {"mean", "median", "p95", "max", "share_outside"}, mm.
        folding_percent: voxels with a central-difference Jacobian determinant ≤ 0, percent of the fixed grid.
        folding_one_sided_percent: voxels where any of the eight one-sided determinants is ≤ 0, percent.
        smoothed_percent: voxels that folded before the deformation was smoothed there, percent.
        ndv_percent: non-diffeomorphic volume, percent (`measures/regularity.py`).
        sd_log_j: standard deviation of the logarithm of the Jacobian determinant.
        inverse_residual_p99_mm, inverse_residual_mm: distance between x and inverse(transform(x)) over the voxel centers x of the
            fixed image, 99th percentile and largest, mm.
        hd95_before_mm, hd95_after_mm: {label: HD95, "mean": HD95}, mm.
    """

    seconds: float
    peak_memory_mb: float
    device: str
    start_seconds: float = 0.0
    similarity_before: float | None = None
    similarity_after: float | None = None
    dice_before: dict | None = None
    dice_after: dict | None = None
    tre_before_mm: dict | None = None
    tre_after_mm: dict | None = None
    folding_percent: float | None = None
    folding_one_sided_percent: float | None = None
    ndv_percent: float | None = None
    smoothed_percent: float | None = None
    sd_log_j: float | None = None
    inverse_residual_p99_mm: float | None = None
    inverse_residual_mm: float | None = None
    hd95_before_mm: dict | None = None
    hd95_after_mm: dict | None = None


@dataclass(frozen=True)
class Registration:
    """A finished registration: φ(x) = B (x + d(x)) carries points of the fixed image to points of the moving image.

    Where nothing was to deform, φ(x) = B x: displacement, λ and Jacobian are None, and the inverse is that of B.

    Args:
        fixed, moving: the two images as given.
        warped: moving resampled once onto the fixed grid, original intensities.
        displacement: d on the fixed grid, mm LPS, without the affine part.
        inverse_transform: φ⁻¹, points of the moving image to points of the fixed image.
        affine: B, 4x4, LPS mm, fixed world to moving world.
        lambda_map: λ(p) on the fixed grid (1, i, j, k), dimensionless, 0 to λmax.
        jacobian: determinant of the Jacobian of x + d(x) on the fixed grid (1, i, j, k), dimensionless.
        history: one entry per level.
        figures: the numbers.
        settings: what it was run with; those that were chosen where the pair decided them.
        seconds: wall time, s.
        notes: sentences for the report (working resolution, what was repaired, and why).
        model: name, system, condition and checksum of the network that answered; empty where there was none.
        verdict: good, look here or failed, and why; None before it has been checked.
        preset: that the pair decided (auto), "" where the settings were given.
    """

    fixed: Volume
    moving: Volume
    warped: Volume
    displacement: DisplacementField | None
    inverse_transform: SpatialTransform
    affine: np.ndarray
    lambda_map: Volume | None
    jacobian: Volume | None
    history: tuple[LevelHistory, ...]
    figures: Figures
    settings: RegistrationSettings
    seconds: float
    notes: tuple[str, ...] = ()
    model: dict[str, Any] = field(default_factory=dict)
    verdict: Verdict | None = None
    preset: str = ""

    @property
    def transform(self) -> SpatialTransform:
        """φ: points of the fixed image to points of the moving image; resamples moving images onto the fixed grid."""
        return SpatialTransform(self.affine, self.displacement)

    @property
    def inverse(self) -> DisplacementField | None:
        """d_inv on the grid of d alone: (id + d)∘(id + d_inv) ≈ id where that grid reaches; None where nothing deforms."""
        if self.displacement is None:
            return None
        wide, grid = self.inverse_transform.displacement, self.displacement.grid
        first = np.rint(wide.grid.point_to_index(np.array(grid.origin))).astype(int)
        inner = tuple(slice(a, a + n) for a, n in zip(first, grid.shape, strict=True))
        return DisplacementField(wide.vectors[(slice(None), *inner)], grid)
