"""Transforms from and to files, in the meaning that ITK and 3D Slicer give them: fixed points to moving points.

    .h5                    affine map, field, or both (an ITK composite); the only format without restrictions
    .tfm .txt .mat         affine map (ITK's text and MATLAB formats); fields in them are read, not written
    .nrrd .mha .nii.gz     one field, vectors in mm: `fields.py`

In an ITK composite the transform added last acts first:  T₀ ∘ T₁ ∘ … ∘ Tₙ₋₁.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from ..geometry.transform import SpatialTransform
from .atomic import atomic_path
from .fields import read_field, write_field
from .itk import grid_of, image_of, quiet, reason_of, tensor_of

AFFINE_ONLY = (".tfm", ".txt", ".mat")
FIELD_ONLY = (".nrrd", ".mha", ".nii.gz", ".nii")
ANY_TRANSFORM = (".h5",)
BYTES_PER_VOXEL = 24
"""ITK stores fields in .h5 as three doubles a voxel, uncompressed."""


def transform_suffix(path: str | os.PathLike) -> str:
    """The ending that decides the format, lower case; ".nii.gz" counts as one."""
    name = Path(path).name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def read_transform(path: str | os.PathLike) -> SpatialTransform:
    """A transform file written by this library, Slicer, SimpleITK, ANTs or anything else that speaks ITK.

    Args:
        path: .h5, .tfm, .txt, .mat (ITK transforms) or .nrrd, .nhdr, .mha, .mhd, .nii, .nii.gz (displacement field).

    Returns:
        φ, fixed points to moving points.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: unreadable, 2-D, spline, several fields, or an order of parts that `SpatialTransform` cannot hold.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the path.")
    if transform_suffix(path) in (*FIELD_ONLY, ".nhdr", ".mhd"):
        return SpatialTransform(displacement=read_field(path))
    parts = _flatten(_read_itk(path), path)
    return _assemble(parts, path)


def write_transform(path: str | os.PathLike, transform: SpatialTransform) -> None:
    """Write a transform; the file is whole or absent.

    Args:
        path: .h5 for every transform; .tfm, .txt or .mat for an affine map; .nrrd, .mha, .nii or .nii.gz for a field
            without an affine map.
        transform: φ. An affine map that is the identity is left out.

    Raises:
        ValueError: the format cannot hold this transform.
        OSError: the file cannot be written.
    """
    path = Path(path)
    suffix = transform_suffix(path)
    if suffix not in (*ANY_TRANSFORM, *AFFINE_ONLY, *FIELD_ONLY):
        raise ValueError(
            f"Cannot write a transform as {path.name!r}: use .h5, or {', '.join(AFFINE_ONLY)} for an affine map, or "
            f"{', '.join(FIELD_ONLY)} for a displacement field."
        )
    field = transform.displacement
    if suffix in FIELD_ONLY:
        if field is None or transform.has_affine:
            raise ValueError(
                f"{path.name} can hold a displacement field only, and this transform has an affine part: write .h5, or "
                "the total displacement on a grid."
            )
        write_field(path, field)
        return
    if suffix in AFFINE_ONLY and field is not None:
        raise ValueError(f"{path.name} can hold an affine map only, and this transform has a field: write .h5.")
    needed = 0 if field is None else BYTES_PER_VOXEL * int(np.prod(field.grid.shape)) + 100_000
    with atomic_path(path, suffix, needed_bytes=needed) as temporary:
        sitk.WriteTransform(_itk_transform(transform), str(temporary))


def _itk_transform(transform: SpatialTransform) -> sitk.Transform:
    matrix = transform.affine_matrix
    affine = sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())
    if transform.displacement is None:
        return affine
    vectors = transform.displacement.vectors.detach().cpu().double().numpy()
    field = sitk.DisplacementFieldTransform(image_of(vectors, transform.displacement.grid))
    if not transform.has_affine:
        return field
    composite = sitk.CompositeTransform(3)
    for part in (field, affine) if transform.affine_first else (affine, field):
        composite.AddTransform(part)
    return composite


def _read_itk(path: Path) -> sitk.Transform:
    _check_single(path)
    try:
        with quiet():
            transform = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        hint = "expected an ITK transform file (.h5, .tfm, .txt, .mat) that maps fixed to moving points"
        if "Inverse" in str(error):
            hint = "it seems to hold an inverse field as Slicer writes it: invert it in Slicer and save it again"
        raise ValueError(f"{path} is not a readable transform ({reason_of(error)}): {hint}.") from error
    if transform.GetDimension() != 3:
        raise ValueError(f"{path} holds a {transform.GetDimension()}-D transform: a 3-D one is needed.")
    return transform


def _check_single(path: Path) -> None:
    """SimpleITK reads the first of several transforms in a text file and drops the others."""
    if transform_suffix(path) not in (".tfm", ".txt"):
        return
    with path.open("rb") as file:
        names = [line for line in file if line.startswith(b"Transform:")]
    if len(names) > 1 and b"Composite" not in names[0]:
        raise ValueError(f"{path} holds {len(names)} separate transforms: save them as one composite transform (.h5).")


def _flatten(transform: sitk.Transform, path: Path) -> list[np.ndarray | DisplacementField]:
    """The parts in the order T₀, T₁, … : 4x4 matrices and fields."""
    if transform.IsLinear():
        return [_matrix(transform)]
    if transform.GetTransformEnum() == sitk.sitkDisplacementField:
        image = sitk.DisplacementFieldTransform(transform).GetDisplacementField()
        return [DisplacementField(tensor_of(image).float(), grid_of(image))]
    if transform.GetTransformEnum() != sitk.sitkComposite:
        raise ValueError(
            f"{path} holds a {transform.GetName()}, which is not supported: convert it to a displacement field first "
            "(in Slicer: Transforms module, Convert)."
        )
    composite = sitk.CompositeTransform(transform)
    count = composite.GetNumberOfTransforms()
    return [part for n in range(count) for part in _flatten(composite.GetNthTransform(n), path)]


def _matrix(transform: sitk.Transform) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        matrix[:3, axis] = np.array(transform.TransformPoint(np.eye(3)[axis].tolist())) - matrix[:3, 3]
    return matrix


def _assemble(parts: list[np.ndarray | DisplacementField], path: Path) -> SpatialTransform:
    """outer ∘ (id + d) ∘ inner, brought into one of the two orders of `SpatialTransform`."""
    fields = [n for n, part in enumerate(parts) if isinstance(part, DisplacementField)]
    if len(fields) > 1:
        raise ValueError(f"{path} holds {len(fields)} displacement fields: compose them into one first.")
    split = fields[0] if fields else len(parts)
    outer, inner = _product(parts[:split]), _product(parts[split + 1 :])
    if not fields:
        return SpatialTransform(outer)
    field = parts[split]
    if np.allclose(inner, np.eye(4), rtol=0, atol=1e-12):
        return SpatialTransform(outer, field)
    if np.allclose(outer, np.eye(4), rtol=0, atol=1e-12):
        return SpatialTransform(inner, field, affine_first=True)
    try:
        return SpatialTransform(outer @ inner, _carried(field, np.linalg.inv(inner)))
    except ValueError as error:
        raise ValueError(
            f"{path} has affine maps before and after its field, and the first of them shears or scales its grid: "
            "convert it to one displacement field first (in Slicer: Transforms module, Convert)."
        ) from error


def _product(matrices: list[np.ndarray]) -> np.ndarray:
    total = np.eye(4)
    for matrix in matrices:
        total = total @ matrix
    return total


def _carried(field: DisplacementField, matrix: np.ndarray) -> DisplacementField:
    """M ∘ (id + d) ∘ M⁻¹: the same field in another frame, exact where M keeps right angles."""
    grid = Grid.from_affine(matrix @ field.grid.affine, field.grid.shape)
    linear = field.vectors.new_tensor(matrix[:3, :3])
    return DisplacementField((linear @ field.vectors.flatten(1)).view(field.vectors.shape), grid)
