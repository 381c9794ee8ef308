"""Prepare an image to be registered: intensities on a common scale, the grid to compute on, the share that two images overlap."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..geometry.grid import Grid
from ..geometry.volume import Volume

ISOTROPIC_ENOUGH = 1.5
"""Ratio of the largest to the smallest voxel spacing up to which the image's own lattice is kept."""


SMALLEST_OVERLAP = 0.05
"""Least share of one field of view that must lie in the other."""


def overlap_share(fixed: Grid, moving: Grid, affine: np.ndarray) -> float:
    """Share of the fixed field of view that `affine` (4x4, fixed → moving, mm LPS) carries into the moving one."""
    axes = [np.linspace(0, n - 1, min(n, 24)) for n in fixed.shape]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, fixed.dimension)
    points = fixed.index_to_point(index) @ affine[:3, :3].T + affine[:3, 3]
    return float(moving.contains(points).mean())


def check_overlap(fixed: Grid, moving: Grid, affine: np.ndarray) -> float:
    """The share of the fixed field of view in the moving one, refused where there is too little to register.

    Raises:
        ValueError: less than `SMALLEST_OVERLAP` of either field of view lies in the other.
    """
    share = overlap_share(fixed, moving, affine)
    if max(share, overlap_share(moving, fixed, np.linalg.inv(affine))) < SMALLEST_OVERLAP:
        distance = float(np.linalg.norm(affine[:3, :3] @ fixed.center + affine[:3, 3] - np.array(moving.center)))
        raise ValueError(
            f"Fixed and moving image overlap in {100 * share:.1f} % of the fixed field of view, at least "
            f"{100 * SMALLEST_OVERLAP:g} % is needed (their centers are {distance:.0f} mm apart); use an affine start "
            "or give an initial transform."
        )
    return share


def working_grid(fixed: Grid, *, spacing_mm: float | None = None, max_voxels: int) -> Grid:
    """The lattice to compute on: the fixed one, made as isotropic as it allows and small enough.

    A nearly isotropic lattice (`ISOTROPIC_ENOUGH`) is kept. Thick slices are evened out to the geometric mean of the
    spacings: about as many voxels as the data has, evenly spread, so that a window or a smoothness term means the same
    length along every axis. Too many voxels: the finest axes are coarsened until they fit. First and last voxel centers
    stay where they are.

    Args:
        fixed: grid of the fixed image.
        spacing_mm: asked-for spacing of all axes, mm; None decides as above.
        max_voxels: most voxels.

    Returns:
        The grid; equal to `fixed` where nothing is to be done.
    """
    target = np.array(fixed.spacing)
    if spacing_mm is not None:
        target = np.full(fixed.dimension, float(spacing_mm))
    elif target.max() > ISOTROPIC_ENOUGH * target.min():
        target = np.full(fixed.dimension, float(np.prod(target)) ** (1 / fixed.dimension))
    finest = 0.0
    while math.prod(_shape_at(fixed, np.maximum(target, finest))) > max_voxels:
        finest = max(1.02 * finest, float(target.min()))
        if finest > max(fixed.extent):
            break
    return fixed.resized(_shape_at(fixed, np.maximum(target, finest)))


def _shape_at(grid: Grid, spacing: np.ndarray) -> tuple[int, ...]:
    """Voxels per axis that keep the end centers in place at about this spacing, at least two where there were two."""
    return tuple(
        1 if n == 1 else max(2, 1 + round(extent / s))
        for n, extent, s in zip(grid.shape, grid.extent, spacing, strict=True)
    )


def describe_working_grid(fixed: Grid, working: Grid) -> str:
    """One sentence for the report about the resolution that was worked at."""
    if working.matches(fixed):
        return f"Worked at the resolution of the fixed image, {fixed.describe()}."
    return f"Worked at {working.describe()}; the fixed image has {fixed.describe()}."


CT_WINDOW = (-1000.0, 1000.0)
"""HU: air to dense bone; padding below it and metal above it are cut."""


SOFT_TISSUE_WINDOW = (-300.0, 300.0)
"""HU: what networks for CT of the whole body were trained on; lungs and bone are flat in it."""


_WINDOWS = {"ct": CT_WINDOW, "ct-soft": SOFT_TISSUE_WINDOW, "none": (-math.inf, math.inf)}


PERCENTILES = (0.5, 99.5)
"""Intensities outside are cut: a few hot voxels must not flatten the rest."""


_PROBE = 1 << 20
"""Voxels from which percentiles are taken, about."""


def prepare_intensity(volume: Volume, kind: str, name: str = "image") -> Volume:
    """Intensities as float32 on a common scale.

    Args:
        volume: (1, i, j, k), any numeric type, finite.
        kind: "percentile" cuts at the 0.5th and 99.5th percentile and scales to [0, 1]; "ct" cuts at `CT_WINDOW` HU,
            "ct-soft" at `SOFT_TISSUE_WINDOW` HU, and scales to [0, 1]; "none" keeps the values.
        name: for the message.

    Raises:
        ValueError: an unknown kind, or an image that is constant (after the cut).
    """
    if kind not in ("percentile", *_WINDOWS):
        raise ValueError(f"Intensity preparation must be percentile, ct, ct-soft or none, got {kind!r}.")
    low, high = _bulk(volume.data) if kind == "percentile" else _WINDOWS[kind]
    data = volume.data.to(torch.float32, copy=True)
    lowest, highest = (float(v) for v in data.clamp_(low, high).aminmax())
    if not lowest < highest:
        remedy = "is it in Hounsfield units? If not, choose percentile." if kind in ("ct", "ct-soft") else "check the file."
        raise ValueError(f"The {name} is constant between {low:g} and {high:g}: nothing to align; {remedy}")
    if kind == "none":
        return volume.with_data(data)
    return volume.with_data(data.sub_(low).div_(high - low))


def _bulk(data: torch.Tensor) -> tuple[float, float]:
    """The values at `PERCENTILES`, from an even sample; the extremes where they coincide (sparse images)."""
    flat = data.flatten()
    step = max(1, len(flat) // _PROBE)
    while math.gcd(step, len(flat)) > 1:  # else the sample would be a few columns of the image
        step += 1
    values = flat[::step].float().cpu().numpy()
    places = [round(p / 100 * (len(values) - 1)) for p in PERCENTILES]
    low, high = (float(value) for value in np.partition(values, places)[places])
    return (low, high) if low < high else tuple(float(v) for v in data.aminmax())
