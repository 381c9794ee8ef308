"""Cuts of all volumes of one registration through the same slices, as arrays ready to be colored."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..transforms.resample import resample
from .planes import patient_planes, spread_slices

if TYPE_CHECKING:
    from ..geometry.companions import Companions
    from ..registration.result import Registration

SLICES = 5
"""Slices per plane in the comparison; the middle one is the slice of all other pictures."""
PADDING_SHARE = 0.01
"""A lowest value more frequent than this is taken for padding or an emptied background."""
LARGEST = 288
"""Pictures are averaged down to at most this many pixels along an axis."""


class Cuts:
    """Cuts of all volumes of one registration through the same slices.

    Args:
        registration: the finished registration.
        companions: its label maps, for outlines.
    """

    def __init__(self, registration: Registration, companions: Companions | None = None) -> None:
        self.registration = registration
        self.companions = companions
        self.grid = registration.fixed.grid
        self.planes = patient_planes(self.grid)
        foreground = registration.fixed.data[0] > registration.fixed.data[0].to(torch.float32).mean()
        self.slices = [spread_slices(self.grid, foreground, plane, SLICES) for plane in self.planes]
        self.fixed_window = intensity_window(registration.fixed)
        self.moving_window = intensity_window(registration.moving)
        affine = SpatialTransform(registration.affine, None)
        self.has_affine = not np.allclose(registration.affine, np.eye(4), atol=1e-9)
        self.image = registration.moving.to(torch.float32)
        self.transforms = {"before": None, "affine": affine, "after": registration.transform}

    def middle(self, plane: int) -> int:
        """The slice number shown in every row."""
        return self.slices[plane][SLICES // 2]

    def worst_fold(self) -> np.ndarray | None:
        """Voxel (3,) of the fixed grid nearest to the most negative Jacobian determinant, or None without folds."""
        jacobian = self.registration.jacobian.data[0]
        lowest = int(jacobian.argmin())
        if float(jacobian.reshape(-1)[lowest]) > 0:
            return None
        index = np.unravel_index(lowest, tuple(jacobian.shape))
        scale = [(n - 1) / max(m - 1, 1) for n, m in zip(self.grid.shape, jacobian.shape, strict=True)]
        return np.rint(np.multiply(index, scale)).astype(int)

    def field_slice(self, plane: int, number: int) -> int:
        """The slice of the deformation's lattice (same end voxels, perhaps coarser) at a slice of the fixed grid."""
        axis = self.planes[plane].axes[2]
        fixed, own = self.grid.shape[axis], self.registration.jacobian.grid.shape[axis]
        return round(number * (own - 1) / max(fixed - 1, 1))

    def field(self, data: torch.Tensor, plane: int, number: int) -> np.ndarray:
        """A cut of data (i, j, k) on the lattice of the deformation, at slice `number` of the fixed grid."""
        return self.planes[plane].cut(data, self.field_slice(plane, number))

    def fixed(self, plane: int, number: int) -> np.ndarray:
        """Fixed image, window scaled to [0, 1]."""
        return scaled(shrunk(self.planes[plane].cut(self.registration.fixed.data[0], number)), self.fixed_window)

    def moving(self, plane: int, number: int, state: str) -> np.ndarray:
        """Moving image "before" (as stored), after the "affine" part, or "after"; NaN outside its field of view."""
        grid = self.planes[plane].slice_grid(self.grid, number)
        image = resample(self.image, self.transforms[state], grid, fill=math.nan)
        return scaled(shrunk(self.planes[plane].cut(image.data[0], 0)), self.moving_window)


def intensity_window(volume: Volume) -> tuple[float, float]:
    """The 1st and 99.5th percentile of about 200 000 voxels; a frequent lowest value (padding) does not count."""
    flat = volume.data[0].reshape(-1)
    sample = flat[:: max(1, flat.numel() // 200_000)].to(torch.float32).cpu().numpy()
    sample = sample[np.isfinite(sample)]
    inside = sample[sample > sample.min()]
    if 0 < inside.size < (1 - PADDING_SHARE) * sample.size:
        sample = inside
    low, high = np.percentile(sample, (1, 99.5))
    return float(low), float(high if high > low else low + 1)


def scaled(image: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """The window mapped to [0, 1], clamped; NaN stays."""
    return np.clip((image - window[0]) / (window[1] - window[0]), 0, 1)


def shrunk(image: np.ndarray) -> np.ndarray:
    """Block means so that no side is above `LARGEST` pixels (the last block repeats the border)."""
    for axis in (0, 1):
        block = -(-image.shape[axis] // LARGEST)
        if block > 1:
            padding = [(0, 0), (0, 0)]
            padding[axis] = (0, -image.shape[axis] % block)
            padded = np.moveaxis(np.pad(image, padding, mode="edge"), axis, -1)
            image = np.moveaxis(padded.reshape(*padded.shape[:-1], -1, block).mean(-1), -1, axis)
    return image
