"""Grids, images and transforms for tests in patient space, and SimpleITK's view of the same things."""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk
import torch

from SpatialRegularizationLib.geometry import DisplacementField, Grid, SpatialTransform, Volume

SPACING = (1.0, 1.5, 2.5)
SHAPE = (40, 34, 24)
CENTER = np.array([8.0, -14.0, 31.0])


def rotation(a: float, b: float, c: float) -> np.ndarray:
    """Rotation by three angles (radians) about x, then y, then z."""
    x = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    y = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    return z @ y @ x


OBLIQUE = rotation(0.4, -0.3, 0.25)
AXES = {"R": (-1, 0, 0), "L": (1, 0, 0), "A": (0, -1, 0), "P": (0, 1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
"""LPS vectors of the anatomical directions that a voxel axis may lead to."""
DIRECTIONS = {
    **{name: np.array([AXES[letter] for letter in name], dtype=float).T for name in ("RAS", "LAS", "LPS", "LIA")},
    "oblique": OBLIQUE,
    "oblique left-handed": OBLIQUE @ np.diag([1.0, -1.0, 1.0]),
}


def grid(orientation: str, *, shape=SHAPE, spacing=SPACING, center=CENTER) -> Grid:
    """A grid of a given orientation about a given center."""
    direction = DIRECTIONS[orientation]
    half = (np.array(shape) - 1) / 2 * np.array(spacing)
    return Grid(shape, spacing, tuple(np.asarray(center) - direction @ half), tuple(map(tuple, direction)))


def other_grid(orientation: str) -> Grid:
    """A larger moving grid of other shape, spacing and center, covering what `grid` covers and a margin."""
    return grid(orientation, shape=(58, 46, 50), spacing=(1.3, 1.9, 1.6), center=CENTER + np.array([2, -1, 1.5]))


def pattern(points: np.ndarray) -> np.ndarray:
    """A smooth scalar function of LPS positions (…, 3): the same anatomy on whatever grid it is drawn."""
    x, y, z = np.moveaxis(points - CENTER, -1, 0)
    return 100 * np.sin(x / 5 + 0.3) + 80 * np.cos(y / 6) + 60 * np.sin(z / 7 - 0.5) + 2 * x - y + 0.5 * z


def image(where: Grid, dtype: torch.dtype = torch.float64) -> Volume:
    """`pattern` drawn on a grid."""
    return Volume(torch.from_numpy(pattern(voxel_centers(where)))[None].to(dtype), where)


def label_map(where: Grid) -> Volume:
    """Three nested and off-center shapes: 0 outside, labels 1, 2 and 7."""
    x, y, z = np.moveaxis(voxel_centers(where) - CENTER, -1, 0)
    labels = np.zeros(where.shape, dtype=np.int32)
    labels[(x / 16) ** 2 + (y / 18) ** 2 + (z / 20) ** 2 < 1] = 1
    labels[((x - 4) / 7) ** 2 + ((y + 3) / 9) ** 2 + ((z - 2) / 11) ** 2 < 1] = 2
    labels[np.abs(x + 9) + np.abs(y - 2) / 2 + np.abs(z + 4) / 2 < 4] = 7
    return Volume(torch.from_numpy(labels)[None], where)


def voxel_centers(where: Grid) -> np.ndarray:
    """LPS positions (i, j, k, 3) of the voxel centers."""
    return where.index_to_point(np.stack(np.meshgrid(*[np.arange(n) for n in where.shape], indexing="ij"), axis=-1))


def bump_field(where: Grid, height: float = 6.0) -> DisplacementField:
    """A smooth field of about `height` mm that vanishes on the border, different in each component; float64."""
    axes = np.meshgrid(*[np.linspace(0, 1, n) for n in where.shape], indexing="ij")
    bump = np.prod([np.sin(np.pi * a) for a in axes], axis=0)
    vectors = [
        part * bump * (1 + 0.3 * np.sin(7 * axes[0] + phase))
        for part, phase in ((0.8 * height, 0.0), (-0.5 * height, 1.0), (0.65 * height, 2.0))
    ]
    return DisplacementField(torch.from_numpy(np.stack(vectors)), where)


def affine() -> np.ndarray:
    """A 4x4 map that commutes with nothing: rotation about an axis away from the center, scaling, shear, shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = (
        rotation(0.1, -0.07, 0.15) @ np.diag([1.06, 0.95, 1.02]) @ np.array([[1, 0.05, 0], [0, 1, -0.04], [0, 0, 1]])
    )
    matrix[:3, 3] = CENTER - matrix[:3, :3] @ CENTER + np.array([2.0, -1.5, 1.0])
    return matrix


def transform(where: Grid, *, affine_first: bool = False) -> SpatialTransform:
    """Field and affine map together."""
    return SpatialTransform(affine(), bump_field(where), affine_first=affine_first)


def inner_points(where: Grid, count: int = 200, margin: float = 3.0) -> np.ndarray:
    """Random LPS points at least `margin` voxels inside of a grid (negative: also outside)."""
    high = np.array(where.shape) - 1 - margin
    return where.index_to_point(np.random.default_rng(1).uniform(margin, high, (count, 3)))


def itk_image(array: torch.Tensor | np.ndarray, where: Grid) -> sitk.Image:
    """SimpleITK's image of (i, j, k) values or (3, i, j, k) vectors, written out independently of the library."""
    array = np.asarray(array)
    if array.ndim == 4:
        made = sitk.GetImageFromArray(np.ascontiguousarray(np.moveaxis(array, 0, -1).transpose(2, 1, 0, 3)), True)
    else:
        made = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    made.SetSpacing(where.spacing)
    made.SetOrigin(where.origin)
    made.SetDirection(np.array(where.direction).ravel().tolist())
    return made


def itk_array(made: sitk.Image) -> np.ndarray:
    """(i, j, k) values of a SimpleITK image."""
    return sitk.GetArrayFromImage(made).transpose(2, 1, 0)


def itk_field(field: DisplacementField) -> sitk.DisplacementFieldTransform:
    """ITK's displacement field transform of a field."""
    return sitk.DisplacementFieldTransform(itk_image(field.vectors.double().numpy(), field.grid))


def itk_affine(matrix: np.ndarray) -> sitk.AffineTransform:
    """ITK's affine transform of a 4x4 matrix."""
    return sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())


def itk_transform(given: SpatialTransform) -> sitk.Transform:
    """ITK's composite of the same meaning; the transform added last acts first."""
    composite = sitk.CompositeTransform(3)
    parts = [itk_affine(given.affine_matrix)]
    if given.displacement is not None:
        parts.insert(0 if given.affine_first else 1, itk_field(given.displacement))
    for part in parts:
        composite.AddTransform(part)
    return composite


def itk_points(made: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """Points (n, 3) through an ITK transform."""
    return np.array([made.TransformPoint(p.tolist()) for p in points])


def itk_resample(volume: Volume, made: sitk.Transform, where: Grid, interpolator: int, fill: float = 0.0) -> np.ndarray:
    """(i, j, k) values of SimpleITK's resampling of the first channel onto a grid."""
    moving = itk_image(volume.data[0], volume.grid)
    reference = itk_image(np.zeros(where.shape, dtype=np.float32), where)
    return itk_array(sitk.Resample(moving, reference, made, interpolator, fill))
