"""What happens to two images before they meet: checks, the lattice to work on, intensities on a common scale.

Nothing is repaired silently: an image that cannot be registered raises one sentence with the remedy, and the lattice
says in words at which resolution it works.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from ..geometry.grid import Grid
from ..geometry.volume import Volume
from .resample import resample_lattice

CT_WINDOW = (-1000.0, 1000.0)
"""HU: air to dense bone; padding below it and metal above it are cut."""
SOFT_TISSUE_WINDOW = (-300.0, 300.0)
"""HU: what networks for CT of the whole body were trained on; lungs and bone are flat in it."""
_WINDOWS = {"ct": CT_WINDOW, "ct-soft": SOFT_TISSUE_WINDOW, "none": (-math.inf, math.inf)}
PERCENTILES = (0.5, 99.5)
"""Intensities outside are cut: a few hot voxels must not flatten the rest."""
ISOTROPIC_ENOUGH = 1.5
"""Ratio of the largest to the smallest voxel spacing up to which the image's own lattice is kept."""
SMALLEST_OVERLAP = 0.05
"""Least share of one field of view that must lie in the other."""
_PROBE = 1 << 20
"""Voxels from which percentiles are taken, about."""


def check_image(volume: Volume, name: str) -> None:
    """Refuses an image that no registration can use.

    Args:
        volume: (1, i, j, k), any numeric type.
        name: "fixed image" or "moving image", for the message.

    Raises:
        ValueError: not three-dimensional, a single slice, several channels, NaN or infinite values, or one value everywhere.
    """
    if volume.grid.dimension != 3:
        raise ValueError(f"The {name} must be 3-D, got {volume.grid.dimension}-D; convert it to a volume first.")
    if min(volume.grid.shape) < 2:
        raise ValueError(
            f"The {name} is a single slice ({_times(volume.grid.shape)} voxels): registration is three-dimensional and needs "
            "at least 2 voxels along every axis; give the whole volume."
        )
    if volume.data.shape[0] != 1:
        raise ValueError(f"The {name} must have one channel, got {volume.data.shape[0]}; extract one of them first.")
    if volume.data.is_floating_point() and not bool(torch.isfinite(volume.data).all()):
        bad = int((~torch.isfinite(volume.data)).sum())
        raise ValueError(f"The {name} holds {bad} NaN or infinite voxels; replace them by the background value first.")
    low, high = (float(v) for v in volume.data.aminmax())
    if low == high:
        raise ValueError(f"The {name} is constant (every voxel is {low:g}): there is nothing to align; check the file.")


def check_labels(labels: Volume, grid: Grid, name: str) -> None:
    """Refuses a label map that does not lie on its image's grid.

    Raises:
        ValueError: another grid.
    """
    if not labels.grid.matches(grid):
        raise ValueError(
            f"The {name} lie on another grid ({_describe(labels.grid)}) than their image ({_describe(grid)}); resample "
            "them onto the image with nearest-neighbor interpolation first."
        )


def fit_mask(mask: Volume, grid: Grid, name: str) -> Volume:
    """A mask on the grid of its image, 1 where mask > 0 (nearest voxel; 0 outside the mask's field of view).

    Masks may be drawn on any grid of the same patient space, for example on another sequence of the same study.

    Args:
        mask: (1, i, j, k), any numeric type; NaN and infinite voxels are outside.
        grid: of the image it belongs to.
        name: "fixed mask" or "moving mask", for the message.

    Returns:
        (1, *grid.shape), uint8.

    Raises:
        ValueError: several channels, or no voxel of the image inside the mask.
    """
    if mask.data.shape[0] != 1 or mask.grid.dimension != 3:
        raise ValueError(f"The {name} must be one 3-D mask, got {tuple(mask.data.shape)}; extract one of them first.")
    inside = ((mask.data > 0) & (mask.data < math.inf)).to(torch.uint8)
    if not bool(inside.any()):
        raise ValueError(f"The {name} is empty (no voxel above 0): draw it, or leave it out to use the whole image.")
    if not mask.grid.matches(grid):
        pull = np.linalg.inv(mask.grid.affine) @ grid.affine
        inside = resample_lattice(inside, pull, grid.shape, nearest=True, fill=0)
        if not bool(inside.any()):
            raise ValueError(
                f"The {name} and its image do not overlap in patient space; check that they belong together."
            )
    return Volume(inside, grid)


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
        return f"Worked at the resolution of the fixed image, {_describe(fixed)}."
    return f"Worked at {_describe(working)}; the fixed image has {_describe(fixed)}."


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _describe(grid: Grid) -> str:
    return _times(grid.shape) + " voxels of " + " x ".join(f"{s:.3g}" for s in grid.spacing) + " mm"


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
