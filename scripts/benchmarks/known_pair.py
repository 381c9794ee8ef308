"""One pair of the accuracy benchmarks with what is known of the right answer, and how its images are read.

Arrays are numpy in (i, j, k) order, positions LPS mm. All files come from the data folder beside the repository (environment
variable SPATIALREG_SHARED_DATA overrides it); nothing of it is stored in the repository.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from SpatialRegularizationLib.geometry.grid import Grid  # noqa: E402

DATA = Path(os.environ.get("SPATIALREG_SHARED_DATA", ROOT.parent / "shared" / "data"))


@dataclass(frozen=True)
class Case:
    """One pair and its ground truth; whatever is unknown is None or empty.

    Args:
        name: unique within all sets, a file name.
        fixed, moving: float32 (i, j, k) intensities on `fixed_grid`, `moving_grid`.
        preset: the registration preset a user would take.
        start: what brings the pair together first: "none", "center" (centres of the grids) or "affine" (shared affine).
        fixed_labels, moving_labels: int32 label maps on the two grids; `labels` are the scored values.
        fixed_points, moving_points: (n, 3) corresponding LPS positions, mm.
        fixed_mask, moving_mask: bool regions of interest.
        truth: (3, i, j, k) displacement in LPS mm on the fixed grid, fixed(x) = moving(x + truth(x)).
        regions: named bool maps on the fixed grid in which the error against `truth` is averaged.
        reference: 4x4 LPS matrix that carries fixed to moving positions.
    """

    name: str
    fixed: np.ndarray
    moving: np.ndarray
    fixed_grid: Grid
    moving_grid: Grid
    preset: str = "generic"
    start: str = "none"
    fixed_labels: np.ndarray | None = None
    moving_labels: np.ndarray | None = None
    labels: tuple[int, ...] = ()
    fixed_points: np.ndarray | None = None
    moving_points: np.ndarray | None = None
    fixed_mask: np.ndarray | None = None
    moving_mask: np.ndarray | None = None
    truth: np.ndarray | None = None
    regions: dict[str, np.ndarray] = field(default_factory=dict)
    reference: np.ndarray | None = None


def grid_of(image: sitk.Image) -> Grid:
    """The geometry of a SimpleITK image."""
    direction = np.array(image.GetDirection()).reshape(3, 3)
    return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), tuple(map(tuple, direction)))


def read(path: str | Path, dtype: type = np.float32) -> tuple[np.ndarray, Grid]:
    """Voxels (i, j, k) and grid of an image file below the data folder."""
    image = sitk.ReadImage(str(DATA / path))
    array = np.ascontiguousarray(sitk.GetArrayFromImage(image).transpose(2, 1, 0))
    return array.astype(dtype), grid_of(image)


def to_image(array: np.ndarray, grid: Grid) -> sitk.Image:
    """A SimpleITK image of an (i, j, k) array."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection([c for row in grid.direction for c in row])
    return image


def resample_array(array: np.ndarray, grid: Grid, target: Grid, *, nearest: bool = False) -> np.ndarray:
    """Values of an image at the voxel centres of another grid (0 outside)."""
    kind = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    image = sitk.Resample(
        to_image(array, grid),
        to_image(np.zeros(target.shape, np.uint8), target),
        sitk.Transform(3, sitk.sitkIdentity),
        kind,
        0.0,
        sitk.sitkUnknown,
    )
    return np.ascontiguousarray(sitk.GetArrayFromImage(image).transpose(2, 1, 0))
