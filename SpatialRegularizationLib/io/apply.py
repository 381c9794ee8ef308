"""Apply a transform file to another file, so that images, label maps, points and surfaces move together.

A transform is φ, fixed points to moving points. Images are pulled: out(x) = moving(φ(x)). Points and surfaces are
pushed: y ↦ φ⁻¹(y). Both carry what belongs to the moving image into the fixed space, as everything under a transform
node does in 3D Slicer. With `inverse` both go the other way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from ..geometry.volume import Volume
from ..images.usable import filled, lost_voxels, told
from ..transforms.inverse import invert, invert_points
from ..transforms.mapping import transform_points
from ..transforms.resample import resample, resample_labels
from . import meshes, points, volumes
from .transforms import read_transform

TOLERANCE_MM = 1e-2
"""Largest accepted distance |φ(φ⁻¹(y)) - y|."""


@dataclass(frozen=True)
class Applied:
    """What was done.

    Args:
        kind: "image", "label map", "points" or "mesh".
        path: the file written.
        residual_mm: largest error of the numerical inverse, mm; 0 where none was needed.
        notes: sentences for the user, such as points without a unique origin.
    """

    kind: str
    path: Path
    residual_mm: float = 0.0
    notes: tuple[str, ...] = ()


def apply_transform_file(
    transform_path: str | os.PathLike,
    input_path: str | os.PathLike,
    out_path: str | os.PathLike,
    *,
    reference: str | os.PathLike | None = None,
    inverse: bool = False,
    labels: bool = False,
) -> Applied:
    """Carry one file from the moving to the fixed space, or back with `inverse`.

    Outside of the input, a label map is 0 and an image its smallest value or 0, whichever is less (air in CT).

    Args:
        transform_path: φ, any file that `io/transforms.py` reads.
        input_path: an image, a label map, a point list (.csv, .fcsv, .mrk.json, .txt) or a surface (.vtk, .vtp, .stl,
            .ply, .obj).
        out_path: the file to write; its ending decides the format.
        reference: for images, the image on whose grid the result lies: the fixed image, or with `inverse` the moving
            one. Without it, the grid of the transform's field. For "index" point files, the image they count.
        inverse: from the fixed to the moving space.
        labels: the image is a label map: nearest voxel, integers stay integers.

    Returns:
        Applied, with notes where the inverse is not exact.

    Raises:
        FileNotFoundError, ValueError, OSError: one sentence each, from reading, checking and writing.
    """
    transform = read_transform(transform_path)
    input_path, out_path = Path(input_path), Path(out_path)
    suffix = points.points_suffix(input_path)
    if suffix in points.FORMATS:
        grid = None if reference is None else volumes.read_grid(reference)
        return _apply_to_points(transform, input_path, out_path, inverse, grid)
    if suffix in meshes.FORMATS:
        return _apply_to_mesh(transform, input_path, out_path, inverse)
    grid = _output_grid(transform, reference, inverse)
    return _apply_to_image(transform, input_path, out_path, (grid, inverse, labels))


def move_points(transform: SpatialTransform, positions: np.ndarray, *, inverse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) pushed from the moving to the fixed space (or back), and the residual of each in mm (n,)."""
    if inverse:
        return transform_points(transform, positions), np.zeros(len(positions))
    return invert_points(transform, positions)


def _output_grid(transform: SpatialTransform, reference: str | os.PathLike | None, inverse: bool) -> Grid:
    if reference is not None:
        return volumes.read_grid(reference)
    wanted = "moving" if inverse else "fixed"
    if transform.displacement is None or transform.following is not None or inverse != transform.affine_first:
        raise ValueError(f"This transform does not say where the result lies: name the {wanted} image as reference.")
    return transform.displacement.grid


def _apply_to_image(
    transform: SpatialTransform, input_path: Path, out_path: Path, choices: tuple[Grid, bool, bool]
) -> Applied:
    grid, inverse, labels = choices
    volume, notes = _read_image(input_path, labels=labels)
    residual = 0.0
    if inverse:
        transform, residual = invert(transform)
        notes += () if residual <= TOLERANCE_MM else (_image_note(residual),)
    if labels:
        moved = resample_labels(volume, transform, grid)
    else:
        moved = resample(volume, transform, grid, fill=min(0.0, float(volume.data.min())))
    volumes.write_volume(out_path, moved)
    return Applied("label map" if labels else "image", out_path, residual, notes)


def _read_image(path: Path, *, labels: bool) -> tuple[Volume, tuple[str, ...]]:
    """An image whose voxels are all numbers, and what is to be said about it."""
    volume = volumes.read_volume(path, labels=labels)
    notes = tuple(told(volume, "label map" if labels else "image"))
    lost = lost_voxels(volume)
    if lost is None:
        return volume, notes
    if bool(lost.all()):
        raise ValueError(f"{path} holds no number (every voxel is NaN or infinite): export it again.")
    note = f"{int(lost.sum())} of {lost.numel()} voxels of the image are NaN or infinite: they were taken as outside of it."
    return volume.with_data(filled(volume.data, lost)), (*notes, note)


def _apply_to_points(
    transform: SpatialTransform, input_path: Path, out_path: Path, inverse: bool, grid: Grid | None
) -> Applied:
    given = points.read_landmarks(input_path, grid=grid)
    moved, residual = move_points(transform, given.positions, inverse=inverse)
    points.write_points(out_path, moved, given.names, like=input_path)
    notes = _point_notes(residual) + _outside_notes(transform, given.positions if inverse else moved)
    if given.unplaced:
        names = ", ".join(given.unplaced[:5]) + (", …" if len(given.unplaced) > 5 else "")
        notes += (f"Never placed, and therefore not carried: {names}.",)
    return Applied("points", out_path, float(residual.max()), notes)


def _apply_to_mesh(transform: SpatialTransform, input_path: Path, out_path: Path, inverse: bool) -> Applied:
    mesh = meshes.read_mesh(input_path)
    moved, residual = move_points(transform, mesh.points, inverse=inverse)
    meshes.write_mesh(out_path, mesh.with_points(moved))
    notes = _point_notes(residual) + _outside_notes(transform, mesh.points if inverse else moved)
    return Applied("mesh", out_path, float(residual.max()), notes)


def _point_notes(residual: np.ndarray) -> tuple[str, ...]:
    open_ = int((residual > TOLERANCE_MM).sum())
    if open_ == 0:
        return ()
    return (
        f"{open_} of {len(residual)} points have no exact origin under the transform (largest error "
        f"{residual.max():.3g} mm): it folds there, or the points lie at the border of its field.",
    )


def _outside_notes(transform: SpatialTransform, fixed_points: np.ndarray) -> tuple[str, ...]:
    """Points (n, 3) of the fixed space that no field of the transform reaches follow its affine maps alone: that is told."""
    if all(part.displacement is None for part in transform.parts):
        return ()
    at, outside = fixed_points, np.ones(len(fixed_points), dtype=bool)
    for part in transform.parts:
        if part.displacement is not None:
            matrix = part.affine_matrix if part.affine_first else np.eye(4)
            outside &= ~part.displacement.grid.contains(at @ matrix[:3, :3].T + matrix[:3, 3])
        at = transform_points(replace(part, following=None), at)
    if not outside.any():
        return ()
    return (
        f"{int(outside.sum())} of {len(outside)} points lie outside of the transform's field, where nothing is known of the "
        "deformation: only the affine part moved them.",
    )


def _image_note(residual: float) -> str:
    return (
        f"The inverse of the transform is not exact everywhere (largest error {residual:.3g} mm): the transform "
        "folds or is very steep somewhere."
    )
