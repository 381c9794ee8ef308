"""Images as a registration can use them: voxels without a number are set aside, and what was done in reading is told."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..geometry.volume import Volume
from .prepare import check_image, fit_mask
from .result import Companions


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
