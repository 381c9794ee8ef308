"""Check that images, masks, labels and points can be registered; set aside voxels that are NaN, and say so."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..geometry.companions import Companions
from ..geometry.grid import Grid
from ..geometry.volume import Volume
from ..transforms.resample import resample_array


@dataclass(frozen=True)
class UsablePair:
    """Two images that can be registered.

    Args:
        fixed, moving: every voxel finite; no notes of their own any more.
        companions: with a mask where voxels were set aside and none was given.
        notes: sentences for the report about the images and what goes with them.
    """

    fixed: Volume
    moving: Volume
    companions: Companions
    notes: tuple[str, ...]


def usable_pair(fixed: Volume, moving: Volume, companions: Companions | None = None) -> UsablePair:
    """A pair whose NaN and infinite voxels, as masking and fMRI preparation leave them, count as outside of the mask.

    Args:
        fixed, moving: (1, i, j, k), any numeric type.
        companions: what goes with them.

    Raises:
        ValueError: an image that no registration can use, see `check_image`; NaN everywhere, or inside a given mask.
    """
    companions = companions or Companions()
    given = {name: volume for name, volume in vars(companions).items() if isinstance(volume, Volume)}
    notes = [*told(fixed, "fixed image"), *told(moving, "moving image")]
    for name, volume in given.items():
        notes += told(volume, name.replace("_", " "))
    images, masks = [], {}
    for volume, side in ((fixed, "fixed"), (moving, "moving")):
        mask = given.get(f"{side}_mask")
        if mask is not None:
            notes += _mask_notes(mask, f"{side} mask")
        image, masks[f"{side}_mask"], lost = usable_image(volume, mask, f"{side} image")
        images.append(image)
        notes += lost
    return UsablePair(*images, replace(companions, **masks), tuple(notes))


def usable_image(volume: Volume, mask: Volume | None, name: str) -> tuple[Volume, Volume | None, tuple[str, ...]]:
    """One image, its mask and what to say: as `usable_pair`."""
    lost = lost_voxels(volume)
    if lost is None:
        check_image(volume, name)
        return replace(volume, notes=()), mask, ()
    count, voxels = int(lost.sum()), lost.numel()
    if count == voxels:
        raise ValueError(f"The {name} holds no number (all {voxels} voxels are NaN or infinite): export it again.")
    whole = Volume(filled(volume.data, lost), volume.grid)
    check_image(whole, name)
    if mask is not None:
        inside = int((lost & (fit_mask(mask, volume.grid, f"mask of the {name}").data > 0)).sum())
        if inside:
            raise ValueError(
                f"The {name} holds {inside} NaN or infinite voxels inside its mask: leave them out of the mask, or replace "
                "them by numbers first."
            )
    else:
        mask = Volume((~lost).to(torch.uint8), volume.grid)
    return whole, mask, (
        f"{count} of {voxels} voxels of the {name} are NaN or infinite: they were taken as background outside of its mask.",
    )  # fmt: skip


def lost_voxels(volume: Volume) -> Tensor | None:
    """True (C, i, j, k) where a voxel is NaN or infinite; None where every voxel is a number."""
    if not volume.data.is_floating_point():
        return None
    finite = torch.isfinite(volume.data)
    return None if bool(finite.all()) else ~finite


def filled(data: Tensor, lost: Tensor) -> Tensor:
    """The values with the background in the place of lost ones: 0, or the smallest number if that is less (air in CT)."""
    lowest = float(data[~lost].min())
    return data.masked_fill(lost, min(0.0, lowest))


def told(volume: Volume, name: str) -> list[str]:
    """The notes of a volume as sentences about it."""
    return [f"The {name}: {note}." for note in volume.notes]


def _mask_notes(mask: Volume, name: str) -> list[str]:
    lost = lost_voxels(mask)
    return [] if lost is None else [f"{int(lost.sum())} voxels of the {name} are NaN or infinite: they were taken as outside."]


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
            f"The {name} is a single slice ({volume.grid.describe()}): registration is three-dimensional and needs at least 2 "
            "voxels along every axis; give the whole volume."
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
            f"The {name} lie on another grid ({labels.grid.describe()}) than their image ({grid.describe()}); resample "
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
        inside = resample_array(inside, pull, grid.shape, nearest=True, fill=0)
        if not bool(inside.any()):
            raise ValueError(
                f"The {name} and its image do not overlap in patient space; check that they belong together."
            )
    return Volume(inside, grid)


def check_companions(companions: Companions, fixed: Grid, moving: Grid) -> None:
    """Refuses labels and points that do not fit their images.

    Raises:
        ValueError: a label map on another grid, unequal numbers of points, or points outside of their image.
    """
    for labels, grid, name in (
        (companions.fixed_labels, fixed, "fixed labels"),
        (companions.moving_labels, moving, "moving labels"),
    ):
        if labels is not None:
            check_labels(labels, grid, name)
    points = companions.fixed_points, companions.moving_points
    if (points[0] is None) != (points[1] is None):
        missing = "moving" if points[1] is None else "fixed"
        raise ValueError(f"Landmarks need a partner: the {missing} points are missing; give both lists or none.")
    if points[0] is None:
        return
    if len(points[0]) != len(points[1]):
        raise ValueError(
            f"Fixed and moving points must correspond one to one, got {len(points[0])} and {len(points[1])}; "
            "remove the ones without a partner."
        )
    for positions, grid, name in ((points[0], fixed, "fixed"), (points[1], moving, "moving")):
        outside = int((~grid.contains(positions, margin=1.0)).sum())
        if outside:
            raise ValueError(
                f"{outside} of {len(positions)} {name} points lie outside of the {name} image; check whether they are "
                "in LPS or RAS millimetres, and that they belong to this image."
            )
