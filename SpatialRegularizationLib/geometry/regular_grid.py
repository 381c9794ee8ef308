"""Make a regular grid of the axes that a file gives, where they are nearly or not at all at right angles."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from .grid import ORTHONORMAL_TOLERANCE, Grid

ROUNDED_COSINES = 0.01
"""Direction cosines that are off by less come from rounding; the nearest right-angled frame stands for them."""
SMALLEST_ANGLE = 0.3
"""Volume of the cell of unit axes below which they are too nearly in one plane to be resampled (1 is right-angled)."""
LARGEST_GROWTH = 8.0
"""A sheared lattice is resampled onto at most so many times its voxels."""


@dataclass(frozen=True)
class Regular:
    """The grid that stands for a lattice.

    Args:
        grid: right-angled, in the same patient space.
        pull: 4x4, indices of `grid` to indices of the lattice, where its voxels have to be resampled; None: they are the same.
        notes: what was done about its axes, sentences that start with "its axes".
    """

    grid: Grid
    pull: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def regular_grid(shape: tuple[int, ...], affine: np.ndarray, *, rounded: float = ROUNDED_COSINES) -> Regular:
    """The grid of a lattice of parallelepipeds.

    Right-angled axes are kept as they are. Axes off by less than `rounded` are replaced by the nearest orthonormal
    frame (polar decomposition), about the first voxel. Sheared ones (a tilted gantry) keep the first axis and the plane of the
    first two, with the third along its normal, so that slices stay slices; the grid covers the whole lattice.

    Args:
        shape: voxels along (i, j, k).
        affine: 4x4, index to LPS mm.
        rounded: largest error of a direction cosine that counts as rounding; 0 resamples everything that is off.

    Raises:
        ValueError: numbers that are not finite, an axis of no length, axes in one plane, or a lattice that is too oblique.
    """
    linear, spacing = _measured(affine)
    cosines = linear / spacing
    volume = abs(float(np.linalg.det(cosines)))
    if volume < SMALLEST_ANGLE:
        raise ValueError(
            f"Its axes lie nearly in one plane (they span {volume:.2g} of a right-angled cell): repair the image header."
        )
    if np.allclose(cosines.T @ cosines, np.eye(3), atol=ORTHONORMAL_TOLERANCE):
        return Regular(Grid.from_affine(affine, shape))
    frame = _nearest_frame(cosines)
    if np.abs(frame - cosines).max() >= rounded:
        return _unsheared(shape, affine)
    grid = Grid(shape, tuple(spacing), tuple(affine[:3, 3]), tuple(map(tuple, frame)))
    error = max(np.linalg.norm((linear - frame * spacing) @ corner) for corner in _corners(shape))
    return Regular(grid, None, (
        f"its axes are {_degrees_off(cosines):.2g} degrees off right angles (rounded direction cosines): the nearest "
        f"right-angled axes were taken, off by {error:.3g} mm at the farthest corner",
    ))  # fmt: skip


def _measured(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    linear = np.asarray(affine, dtype=np.float64)[:3, :3]
    if not np.isfinite(affine).all():
        raise ValueError(f"Its position in space is not finite ({_words(affine)}): repair the image header.")
    spacing = np.linalg.norm(linear, axis=0)
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        raise ValueError(f"Its voxel spacing must be positive, got {tuple(spacing.tolist())} mm: repair the image header.")
    return linear, spacing


def _words(affine: np.ndarray) -> str:
    rows = (" ".join(f"{number:g}" for number in row) for row in np.asarray(affine)[:3])
    return "; ".join(rows)


def _nearest_frame(matrix: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def _degrees_off(cosines: np.ndarray) -> float:
    products = cosines.T @ cosines
    return math.degrees(math.asin(min(1.0, max(abs(products[a, b]) for a, b in itertools.combinations(range(3), 2)))))


def _corners(shape: tuple[int, ...]) -> np.ndarray:
    return np.array(list(itertools.product(*[(0, n - 1) for n in shape])), dtype=np.float64)


def _unsheared(shape: tuple[int, ...], affine: np.ndarray) -> Regular:
    """Q diag(R) of A = Q R (R upper triangular): indices differ by a shear with ones on its diagonal."""
    linear = np.asarray(affine, dtype=np.float64)[:3, :3]
    frame, lengths = np.linalg.qr(linear)
    signs = np.sign(np.diag(lengths))
    frame, lengths = frame * signs, lengths * signs[:, None]
    spacing = np.diag(lengths)
    reach = _corners(shape) @ (lengths / spacing[:, None]).T
    low = np.floor(reach.min(axis=0) + 1e-6)
    size = tuple(int(n) for n in np.ceil(reach.max(axis=0) - 1e-6) - low + 1)
    degrees = _degrees_off(linear / np.linalg.norm(linear, axis=0))
    if math.prod(size) > LARGEST_GROWTH * math.prod(shape):
        raise ValueError(
            f"Its axes are sheared by {degrees:.1f} degrees, so that a right-angled lattice around it needs {math.prod(size)} "
            f"voxels instead of {math.prod(shape)}: resample it to a smaller one first."
        )
    origin = affine[:3, 3] + (frame * spacing) @ low
    grid = Grid(size, tuple(spacing), tuple(origin), tuple(map(tuple, frame)))
    return Regular(grid, np.linalg.inv(affine) @ grid.affine, (
        f"its axes are sheared by {degrees:.1f} degrees (such as a tilted gantry): it was resampled onto right-angled axes in "
        f"the same patient space, {_size(size)} voxels instead of {_size(shape)}",
    ))  # fmt: skip


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
