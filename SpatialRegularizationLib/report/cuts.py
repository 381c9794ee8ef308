"""Cut the volumes of a registration along the patient's axes and scale them for pictures, in radiological convention.

The cuts follow the voxel axes nearest to the patient axes, so nothing is interpolated. Axial: seen from the feet, the
patient's right is at the left of the picture, anterior on top. Coronal: from the front. Sagittal: anterior at left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..transforms.resample import resample

if TYPE_CHECKING:
    from ..geometry.companions import Companions
    from ..registration.result import Registration

LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))
"""Where each LPS axis comes from and goes to."""
OBLIQUE = 0.3
"""A second letter is shown when an axis leans towards it by more than this cosine (17 degrees)."""
TILT_COSINE = 0.966
"""Planes whose normal is more than 15 degrees off the patient axis are called oblique."""
SLICES = 5
"""Slices per plane in the comparison; the middle one is the slice of all other pictures."""
PADDING_SHARE = 0.01
"""A lowest value more frequent than this is taken for padding or an emptied background."""
LARGEST = 288
"""Pictures are averaged down to at most this many pixels along an axis."""


@dataclass(frozen=True)
class Plane:
    """One cut orientation of a grid.

    Args:
        name: "Axial", "Coronal" or "Sagittal".
        axes: voxel axes (rows, columns, normal).
        flips: whether (rows, columns, normal) run against the voxel index.
        letters: patient directions at the (left, right, top, bottom) edge.
        size_mm: (height, width) of the picture, mm.
        oblique: True where the normal leans away from the patient axis.
    """

    name: str
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    letters: tuple[str, str, str, str]
    size_mm: tuple[float, float]
    oblique: bool

    def slice_index(self, index: np.ndarray) -> int:
        """The slice number of this plane at a voxel index (3,)."""
        return int(index[self.axes[2]])

    def cut(self, data: torch.Tensor, number: int) -> np.ndarray:
        """(rows, columns) float32 picture of slice `number` of data (i, j, k), or of its only slice."""
        rows, columns, normal = self.axes
        piece = data.select(normal, 0 if data.shape[normal] == 1 else number)
        picture = piece if rows < columns else piece.T
        array = picture.detach().to(torch.float32).cpu().numpy()
        array = array[::-1] if self.flips[0] else array
        return array[:, ::-1] if self.flips[1] else array

    def slice_grid(self, grid: Grid, number: int) -> Grid:
        """The one-voxel-thick grid of slice `number`."""
        start = np.zeros(3)
        start[self.axes[2]] = number
        shape = tuple(1 if a == self.axes[2] else n for a, n in enumerate(grid.shape))
        return Grid(shape, grid.spacing, tuple(grid.index_to_point(start)), grid.direction)


def patient_planes(grid: Grid) -> tuple[Plane, Plane, Plane]:
    """The axial, coronal and sagittal plane of a 3-D grid."""
    direction = np.array(grid.direction)
    voxel_axis = max(permutations(range(3)), key=lambda p: sum(abs(direction[r, p[r]]) for r in range(3)))
    layout = (("Axial", 1, 0, 2, False), ("Coronal", 2, 0, 1, True), ("Sagittal", 2, 1, 0, True))
    return tuple(_plane(grid, direction, voxel_axis, *entry) for entry in layout)


def spread_slices(grid: Grid, foreground: torch.Tensor, plane: Plane, count: int) -> list[int]:
    """`count` slice numbers, from low to high, over the middle 80 % of the foreground (i, j, k) along the normal."""
    normal = plane.axes[2]
    weights = (
        foreground.to(torch.float32).sum(dim=[a for a in range(3) if a != normal]).cpu().numpy().astype(np.float64)
    )
    if weights.sum() <= 0:
        weights = np.ones(grid.shape[normal])
    cumulative = np.cumsum(weights) / weights.sum()
    low, high = np.searchsorted(cumulative, (0.05, 0.95))
    numbers = np.linspace(low, high, count).round().astype(int)
    return sorted(numbers.tolist(), reverse=plane.flips[2])


class Cuts:
    """Cuts of all volumes of one registration through the same slices.

    Args:
        registration: the finished registration.
        companions: its label maps, for outlines.

    Attributes:
        deforms: False where the result is a linear transform alone.
        has_affine: whether there is an affine part to be shown apart from the deformation.
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
        self.deforms = registration.displacement is not None
        self.has_affine = self.deforms and not np.allclose(registration.affine, np.eye(4), atol=1e-9)
        self.image = registration.moving.to(torch.float32)
        self.transforms = {"before": None, "affine": affine, "after": registration.transform}

    def middle(self, plane: int) -> int:
        """The slice number shown in every row."""
        return self.slices[plane][SLICES // 2]

    def constant_weight(self) -> float | None:
        """λ where it is the same at every voxel; None where it varies, or where nothing deforms."""
        if not self.deforms:
            return None
        low, high = (float(bound) for bound in torch.aminmax(self.registration.lambda_map.data))
        return high if high - low < 1e-6 else None

    def worst_fold(self) -> np.ndarray | None:
        """Voxel (3,) of the fixed grid nearest to the most negative Jacobian determinant, or None without folds."""
        if not self.deforms:
            return None
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


def _plane(grid: Grid, direction: np.ndarray, voxel_axis: tuple[int, ...], *entry: object) -> Plane:
    name, row, column, normal, up = entry  # patient axes of rows, columns, normal; up: rows run against the axis
    axes = (voxel_axis[row], voxel_axis[column], voxel_axis[normal])
    row_flip = bool(direction[row, axes[0]] < 0) != up
    column_flip = bool(direction[column, axes[1]] < 0)
    down = -direction[:, axes[0]] if row_flip else direction[:, axes[0]]
    right = -direction[:, axes[1]] if column_flip else direction[:, axes[1]]
    size = tuple(grid.shape[a] * grid.spacing[a] for a in axes[:2])
    return Plane(
        name=name,
        axes=axes,
        flips=(row_flip, column_flip, bool(direction[normal, axes[2]] < 0)),
        letters=(_letters(-right), _letters(right), _letters(-down), _letters(down)),
        size_mm=size,
        oblique=bool(abs(direction[normal, axes[2]]) < TILT_COSINE),
    )


def _letters(vector: np.ndarray) -> str:
    """The patient direction of a unit LPS vector: "L", or "LA" where it leans."""
    order = np.argsort(-np.abs(vector))
    chosen = [a for rank, a in enumerate(order) if rank == 0 or abs(vector[a]) > OBLIQUE]
    return "".join(LETTERS[a][int(vector[a] > 0)] for a in chosen)
