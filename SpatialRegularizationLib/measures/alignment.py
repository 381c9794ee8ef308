"""Measure how well any transform aligns two images, the same way whoever made it."""

from __future__ import annotations

import torch

from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..images.preparation import prepare_intensity, working_grid
from ..similarity.local_correlation import local_ncc
from ..similarity.mind import MindSsc
from ..transforms.resample import resample, total_displacement

MOST_VOXELS = 12_000_000
"""Similarity of larger images is taken on a coarser lattice."""
MOST_DESCRIBED = 2_000_000
"""The same for MIND, which has twelve numbers for each voxel."""


def lncc_of(
    fixed: Volume, moving: Volume, transform: SpatialTransform, *, mask: Volume | None = None, window: int = 9
) -> float:
    """Mean squared local correlation of the fixed and the warped image, 0 to 1, on the fixed grid.

    Args:
        fixed, moving: (1, i, j, k).
        transform: φ, fixed points to moving points.
        mask: on the fixed grid, voxels > 0 count; None counts all.
        window: odd side of the window, voxels.
    """
    warped, reference, inside = _seen(fixed, moving, transform, mask, MOST_VOXELS)
    with torch.no_grad():
        return float(local_ncc(warped, reference, window=window, mask=inside))


def mind_of(fixed: Volume, moving: Volume, transform: SpatialTransform, *, mask: Volume | None = None) -> float:
    """1 - mean squared difference of the MIND-SSC descriptors of the fixed and the warped image; arguments as `lncc_of`.

    Comparable between modalities, where `lncc_of` is not.
    """
    warped, reference, inside = _seen(fixed, moving, transform, mask, MOST_DESCRIBED)
    with torch.no_grad():
        return 1.0 - float(MindSsc()(warped, reference, inside))


def _seen(
    fixed: Volume, moving: Volume, transform: SpatialTransform, mask: Volume | None, most: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Warped image, fixed image and mask, (1, 1, i, j, k) each, intensities in [0, 1], on the fixed grid or a coarser one."""
    grid = working_grid(fixed.grid, max_voxels=most)
    images = [prepare_intensity(image, "percentile") for image in (fixed, moving)]
    reference = resample(images[0], None, grid)
    warped = resample(images[1], transform, grid, fill=float(images[1].data.min()))
    inside = None if mask is None else resample(mask, None, grid, nearest=True).data[None].to(torch.float32)
    return warped.data[None], reference.data[None], inside


def measured_displacement(transform: SpatialTransform, grid: Grid) -> tuple[DisplacementField, str]:
    """The displacement whose regularity is measured, on the fixed grid, and one sentence about it.

    For φ(x) = B(x + d(x)) it is d, for the other order φ(x) - x, which includes the affine map.
    """
    field = transform.displacement
    if field is None:
        return DisplacementField.zeros(grid), "The transform is affine: there is no nonlinear part."
    if (transform.affine_first and transform.has_affine) or transform.following is not None:
        return total_displacement(transform, grid), "Regularity of the whole transform, the affine part included."
    if field.grid.matches(grid):
        return field, "Regularity of the nonlinear part, on the fixed grid."
    moved = total_displacement(SpatialTransform(displacement=field), grid)
    return moved, "Regularity of the nonlinear part, interpolated onto the fixed grid from the grid of the field."
