"""Describe an image file by its header: one answer about its grid for images, label maps and displacement fields.

The lattice is ITK's in every case, so that an image lies where 3D Slicer shows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..geometry.regular_grid import Regular, regular_grid

FORMATS = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd) or a DICOM folder"


@dataclass(frozen=True)
class ImageFile:
    """What the header of an image file says.

    Args:
        path: the file, or the folder of a series.
        shape: voxels along (i, j, k).
        affine: 4x4, index to LPS mm; the axes need not be at right angles.
        read: reads the stored values, (i, j, k), or (i, j, k, channels) where there are several.
        channels: values per voxel.
        scale: slope and intercept that make values of what is stored.
        tags: what else a displacement field needs to be understood.
        notes: about the reading, as `Volume.notes`.
    """

    path: Path
    shape: tuple[int, int, int]
    affine: np.ndarray
    read: Callable[[], np.ndarray]
    channels: int = 1
    scale: tuple[float, float] = (1.0, 0.0)
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def regular(self) -> Regular:
        """The grid that stands for the lattice, see `regular_grid`.

        Raises:
            ValueError: no grid can stand for it.
        """
        try:
            return regular_grid(self.shape, self.affine)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error

    def stored(self) -> np.ndarray:
        """The values as stored.

        Raises:
            ValueError: the file is damaged or incomplete.
        """
        try:
            return self.read()
        except (ValueError, OSError, EOFError) as error:
            raise damaged(self.path, error) from error


def damaged(path: Path, reason: object) -> ValueError:
    """The error of a file whose header is fine and whose voxels are not."""
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return ValueError(f"{path} is damaged or incomplete ({text.rstrip('. ')}): copy or export it again.")


def unreadable(path: Path, reason: object) -> ValueError:
    """The error of a file whose header cannot be understood."""
    return ValueError(f"{path} is not a readable image ({str(reason).rstrip('. ')}): expected {FORMATS}.")


def spatial_shape(sizes: Sequence[int], path: Path) -> tuple[int, int, int]:
    """(i, j, k) of a list of sizes of an image with one or more axes.

    Raises:
        ValueError: not 3-D, a series, or a size that no image has.
    """
    if any(n < 1 for n in sizes) or math.prod(sizes) > np.iinfo(np.int64).max // 64:
        raise unreadable(path, f"its header claims a size of {_times(sizes)} voxels")
    if len(sizes) < 3:
        raise ValueError(f"{path} is a {len(sizes)}-D image ({_times(sizes)}): a 3-D volume is needed.")
    frames = math.prod(sizes[3:])
    if frames > 1:
        raise ValueError(
            f"{path} is a {len(sizes)}-D series of {frames} volumes ({_times(sizes)}): extract one of them to its own file "
            "first."
        )
    return tuple(int(n) for n in sizes[:3])


def _times(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
