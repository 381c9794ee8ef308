"""Place voxels in patient space: shape, spacing, origin and direction, without the voxels themselves.

Coordinates are millimetres in the LPS frame (x to the Left, y to the Posterior, z to the Superior), as in ITK and DICOM.
A voxel index p = (i, j, k) may be fractional; index 0 is the *centre* of the first voxel.

    x = A p + t,      A = direction · diag(spacing),   t = origin
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ORTHONORMAL_TOLERANCE = 1e-3
"""Largest accepted deviation of directionᵀ·direction from the identity (headers store about six digits)."""


@dataclass(frozen=True)
class Grid:
    """A regular lattice of voxel centres in patient space.

    Args:
        shape: number of voxels along the axes (i, j, k) (or (i, j)), each ≥ 1.
        spacing: distance between neighbouring voxel centres along each axis, mm, > 0.
        origin: LPS position of voxel (0, 0, 0), mm.
        direction: rows of the direction cosine matrix; column a is the unit LPS vector of axis a. det = +1 or -1.

    Raises:
        ValueError: a wrong count, a non-positive spacing, or a direction matrix that is not orthonormal.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        d = len(shape)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "spacing", tuple(float(s) for s in self.spacing))
        object.__setattr__(self, "origin", tuple(float(o) for o in self.origin))
        object.__setattr__(self, "direction", tuple(tuple(float(c) for c in row) for row in self.direction))
        if d not in (2, 3):
            raise ValueError(f"A grid has 2 or 3 axes, got {d} (shape {shape}). Extract one volume of a series first.")
        if min(shape) < 1:
            raise ValueError(f"Grid shape must be at least 1 along each axis, got {shape}.")
        if len(self.spacing) != d or len(self.origin) != d:
            raise ValueError(f"spacing and origin need {d} numbers each, got {self.spacing} and {self.origin}.")
        if not all(math.isfinite(s) and s > 0 for s in self.spacing):
            raise ValueError(f"Voxel spacing must be positive and finite, got {self.spacing}. Repair the image header.")
        if not all(math.isfinite(o) for o in self.origin):
            raise ValueError(f"Grid origin must be finite, got {self.origin}. Repair the image header.")
        matrix = np.array(self.direction)
        if matrix.shape != (d, d):
            raise ValueError(f"direction must be a {d}x{d} matrix, got shape {matrix.shape}.")
        if not np.allclose(matrix.T @ matrix, np.eye(d), atol=ORTHONORMAL_TOLERANCE):
            raise ValueError(
                f"Grid directions must be orthonormal, got {matrix.tolist()}. Sheared (gantry-tilted) images cannot be "
                "represented: resample the image to an orthogonal lattice first."
            )

    @classmethod
    def from_affine(cls, affine: np.ndarray, shape: tuple[int, ...]) -> Grid:
        """The grid whose index-to-LPS matrix is `affine` ((d+1)x(d+1), mm)."""
        d = len(shape)
        linear = np.asarray(affine, dtype=np.float64)[:d, :d]
        spacing = np.linalg.norm(linear, axis=0)
        if not np.all(spacing > 0):
            raise ValueError(f"Voxel spacing must be positive, got {tuple(spacing)}. Repair the image header.")
        return cls(tuple(shape), tuple(spacing), tuple(np.asarray(affine)[:d, d]), tuple(map(tuple, linear / spacing)))

    @property
    def dimension(self) -> int:
        """Number of axes, 2 or 3."""
        return len(self.shape)

    @property
    def affine(self) -> np.ndarray:
        """Index-to-LPS matrix [[A, t], [0, 1]], float64, mm."""
        d = self.dimension
        matrix = np.eye(d + 1)
        matrix[:d, :d] = np.array(self.direction) * np.array(self.spacing)
        matrix[:d, d] = self.origin
        return matrix

    @property
    def extent(self) -> tuple[float, ...]:
        """Distance between the first and the last voxel centre along each axis, mm."""
        return tuple((n - 1) * s for n, s in zip(self.shape, self.spacing, strict=True))

    @property
    def center(self) -> tuple[float, ...]:
        """LPS position of the middle of the grid, mm."""
        return tuple(self.index_to_point(np.array([(n - 1) / 2 for n in self.shape])))

    def index_to_point(self, index: np.ndarray) -> np.ndarray:
        """LPS positions (…, d) in mm of fractional voxel indices (…, d)."""
        d = self.dimension
        matrix = self.affine
        return np.asarray(index, dtype=np.float64) @ matrix[:d, :d].T + matrix[:d, d]

    def point_to_index(self, point: np.ndarray) -> np.ndarray:
        """Fractional voxel indices (…, d) of LPS positions (…, d) in mm."""
        d = self.dimension
        inverse = np.linalg.inv(self.affine)
        return np.asarray(point, dtype=np.float64) @ inverse[:d, :d].T + inverse[:d, d]

    def contains(self, point: np.ndarray, *, margin: float = 0.5) -> np.ndarray:
        """True where an LPS point lies within `margin` voxels of the lattice of centres."""
        index = self.point_to_index(point)
        return np.all((index >= -margin) & (index <= np.array(self.shape) - 1 + margin), axis=-1)

    def resized(self, shape: tuple[int, ...]) -> Grid:
        """Same first and last voxel centres, another number of voxels (the rule `align_corners=True`).

        An axis of one voxel, before or after, keeps its spacing.
        """
        spacing = [
            s if n == 1 or m == 1 else s * (n - 1) / (m - 1)
            for n, m, s in zip(self.shape, shape, self.spacing, strict=True)
        ]
        return Grid(tuple(shape), tuple(spacing), self.origin, self.direction)

    def shifted(self, start: tuple[int, ...], shape: tuple[int, ...]) -> Grid:
        """Voxels of the same lattice: `shape` of them from voxel `start` on, which may be negative."""
        return Grid(tuple(shape), self.spacing, tuple(self.index_to_point(np.array(start))), self.direction)

    def reoriented(self, axes: tuple[int, ...], flips: tuple[bool, ...]) -> Grid:
        """The same lattice with its axes permuted (`new axis a = old axis axes[a]`), then flipped where asked."""
        affine = self.affine
        d = self.dimension
        linear = affine[:d, :d][:, list(axes)]
        origin = affine[:d, d].copy()
        shape = tuple(self.shape[a] for a in axes)
        for a, flip in enumerate(flips):
            if flip:
                origin += linear[:, a] * (shape[a] - 1)
                linear[:, a] *= -1
        return Grid.from_affine(np.block([[linear, origin[:, None]], [np.zeros((1, d)), np.ones((1, 1))]]), shape)

    def matches(self, other: Grid, *, tolerance: float = 1e-3) -> bool:
        """True when both have the same shape and all corners agree within `tolerance` voxels."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(self.dimension, -1).T
        return bool(np.abs(other.point_to_index(self.index_to_point(corners)) - corners).max() <= tolerance)

    def describe(self) -> str:
        """For people: "64 x 64 x 48 voxels of 1 x 1 x 1.5 mm"."""
        return f"{' x '.join(map(str, self.shape))} voxels of {' x '.join(f'{s:.3g}' for s in self.spacing)} mm"
