"""Read and write transforms in the meaning of ITK and 3D Slicer: fixed points to moving points.

    .h5                    affine map, field, or both (an ITK composite); the only format without restrictions
    .tfm .txt .mat         affine map (ITK's text and MATLAB formats); fields in them are read, not written
    .nrrd .mha .nii.gz     one field, vectors in mm: `fields.py`

In an ITK composite the transform added last acts first:  T₀ ∘ T₁ ∘ … ∘ Tₙ₋₁.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..geometry.displacement import DisplacementField
from ..geometry.transform import SpatialTransform
from .atomic import atomic_path
from .fields import field_on, read_field, write_field
from .isolated import Content, read_isolated, write_isolated
from .itk import affine_of, image_of, reason_of

AFFINE_ONLY = (".tfm", ".txt", ".mat")
FIELD_ONLY = (".nrrd", ".mha", ".nii.gz", ".nii")
ANY_TRANSFORM = (".h5",)
BYTES_PER_VOXEL = 24
"""ITK stores fields in .h5 as three doubles a voxel, uncompressed."""
MORE_THAN_ONE = "more than one transform"
"""What SimpleITK warns of when it reads the first transform of a file and drops the others."""
PLANES = 16
"""Planes of a field that are turned at once: a line of the processor's cache."""


def file_bytes(transform: SpatialTransform) -> int:
    """Size of the transform as .h5, at most."""
    fields = [part.displacement for part in transform.parts if part.displacement is not None]
    return 100_000 * bool(fields) + sum(BYTES_PER_VOXEL * int(np.prod(field.grid.shape)) for field in fields)


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
        ValueError: unreadable, 2-D, or of a kind that is neither linear nor a field (a spline).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the path.")
    if transform_suffix(path) in (*FIELD_ONLY, ".nhdr", ".mhd"):
        return SpatialTransform(displacement=read_field(path))
    content = read_isolated(transform_content, path)
    return _assemble([_part(line, content, path) for line in content.about["parts"]])


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
        if field is None or transform.has_affine or transform.following is not None:
            raise ValueError(
                f"{path.name} can hold a displacement field only, and this transform has an affine part: write .h5, or "
                "the total displacement on a grid."
            )
        write_field(path, field)
        return
    if suffix in AFFINE_ONLY and not transform.is_affine:
        raise ValueError(f"{path.name} can hold an affine map only, and this transform has a field: write .h5.")
    needed = file_bytes(transform)
    with atomic_path(path, suffix, needed_bytes=needed) as temporary:
        content = _itk_transform(transform)
        if suffix in ANY_TRANSFORM:
            write_isolated(lambda: sitk.WriteTransform(content, str(temporary)), path)
        else:
            sitk.WriteTransform(content, str(temporary))


def _itk_transform(transform: SpatialTransform) -> sitk.Transform:
    """ITK's form of it; of a composite the part added last acts first."""
    acting: list[sitk.Transform] = []
    for part in transform.parts:
        made = [_itk_affine(part.affine_matrix)] if part.has_affine or part.displacement is None else []
        if part.displacement is not None:
            made.insert(len(made) if part.affine_first else 0, _itk_field(part.displacement))
        acting += made
    if len(acting) == 1:
        return acting[0]
    composite = sitk.CompositeTransform(3)
    for part in reversed(acting):
        composite.AddTransform(part)
    return composite


def _itk_affine(matrix: np.ndarray) -> sitk.Transform:
    return sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())


def _itk_field(field: DisplacementField) -> sitk.Transform:
    return sitk.DisplacementFieldTransform(image_of(field.vectors.detach().cpu().double().numpy(), field.grid))


class _Warnings(sitk.LoggerBase):
    """Keeps what ITK says, which otherwise goes to a standard error that may be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def DisplayText(self, text: str) -> None:
        self.text += text

    DisplayErrorText = DisplayWarningText = DisplayGenericOutputText = DisplayDebugText = DisplayText


def transform_content(path: str) -> Content:
    """The parts of a transform file, T₀ first; runs in a process of its own, because ITK and HDF5 may crash.

    Raises:
        ValueError: unreadable, 2-D, or of a kind that is neither linear nor a field.
    """
    _check_single(Path(path))
    try:
        warnings = _Warnings()
        warnings.SetAsGlobalITKLogger()
        sitk.ProcessObject.SetGlobalWarningDisplay(True)  # whatever the parent has chosen
        transform = sitk.ReadTransform(path)
        if MORE_THAN_ONE in warnings.text:
            raise ValueError(f"{path} holds several separate transforms: save them as one composite transform (.h5).")
    except RuntimeError as error:
        if "allocate" in str(error) or "bad_alloc" in str(error):
            raise MemoryError from error
        hint = "expected an ITK transform file (.h5, .tfm, .txt, .mat) that maps fixed to moving points"
        if "Inverse" in str(error):
            hint = "it seems to hold an inverse field as Slicer writes it: invert it in Slicer and save it again"
        raise ValueError(f"{path} is not a readable transform ({reason_of(error)}): {hint}.") from error
    if transform.GetDimension() != 3:
        raise ValueError(f"{path} holds a {transform.GetDimension()}-D transform: a 3-D one is needed.")
    lines, arrays = [], {}
    for number, part in enumerate(_flat(transform)):
        if part.IsLinear():
            lines.append({"matrix": _matrix(part).tolist()})
            continue
        if part.GetTransformEnum() != sitk.sitkDisplacementField:
            raise ValueError(
                f"{path} holds a {part.GetName()}, which is not supported: convert it to a displacement field first "
                "(in Slicer: Transforms module, Convert)."
            )
        image = sitk.DisplacementFieldTransform(part).GetDisplacementField()
        lines.append({"field": str(number), "affine": affine_of(image).tolist()})
        arrays[str(number)] = _vectors(sitk.GetArrayViewFromImage(image))
    return Content({"parts": lines}, arrays)


def _vectors(values: np.ndarray) -> np.ndarray:
    """(k, j, i, 3) as (3, i, j, k) float32; some planes at a time stay in the cache, which is five times as fast."""
    vectors = np.empty(values.shape[::-1], dtype=np.float32)
    for k in range(0, len(values), PLANES):
        vectors[..., k : k + PLANES] = values[k : k + PLANES].astype(np.float32).T
    return vectors


def _part(line: dict[str, Any], content: Content, path: Path) -> np.ndarray | DisplacementField:
    if "matrix" in line:
        return np.array(line["matrix"])
    return field_on(content.arrays[line["field"]], np.array(line["affine"]), path)


def _check_single(path: Path) -> None:
    """SimpleITK reads the first of several transforms in a text file and drops the others."""
    if transform_suffix(path) not in (".tfm", ".txt"):
        return
    with path.open("rb") as file:
        names = [line for line in file if line.startswith(b"Transform:")]
    if len(names) > 1 and b"Composite" not in names[0]:
        raise ValueError(f"{path} holds {len(names)} separate transforms: save them as one composite transform (.h5).")


def _flat(transform: sitk.Transform) -> Iterator[sitk.Transform]:
    """The parts in the order T₀, T₁, …; a linear chain is one part."""
    if transform.IsLinear() or transform.GetTransformEnum() != sitk.sitkComposite:
        yield transform
        return
    composite = sitk.CompositeTransform(transform)
    for n in range(composite.GetNumberOfTransforms()):
        yield from _flat(composite.GetNthTransform(n))


def _matrix(transform: sitk.Transform) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        matrix[:3, axis] = np.array(transform.TransformPoint(np.eye(3)[axis].tolist())) - matrix[:3, 3]
    return matrix


def _assemble(parts: list[np.ndarray | DisplacementField]) -> SpatialTransform:
    """T₀ ∘ T₁ ∘ … as a chain: every field with the affine maps that act between the field before it and itself."""
    links: list[SpatialTransform] = []
    matrix = np.eye(4)
    for part in reversed(parts):
        if isinstance(part, DisplacementField):
            links.append(SpatialTransform(matrix, part, affine_first=not _is_identity(matrix)))
            matrix = np.eye(4)
        else:
            matrix = part @ matrix
    if links and not links[-1].affine_first:
        links[-1] = SpatialTransform(matrix, links[-1].displacement)
    elif not links or not _is_identity(matrix):
        links.append(SpatialTransform(matrix))
    return SpatialTransform.chain(*links)


def _is_identity(matrix: np.ndarray) -> bool:
    return np.allclose(matrix, np.eye(4), rtol=0, atol=1e-12)
