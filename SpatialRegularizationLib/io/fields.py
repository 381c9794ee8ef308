"""Displacement fields as vector images: NRRD and MetaImage (LPS vectors), NIfTI with intent 1006 (RAS vectors).

Only the pull-back sense is read and written: vectors lead from fixed points to moving points ("resampling" in Slicer).
The NIfTI layout is (i, j, k, 1, 3).
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
import torch

from ..geometry.displacement import DisplacementField
from ..geometry.grid import Grid
from .atomic import atomic_path
from .itk import grid_of, image_of, quiet, reason_of, tensor_of

DISPLACEMENT_INTENT = 1006
VECTOR_INTENT = 1007
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
INTENT_KEY, DIRECTION_KEY = "intent_code", "displacement field type"


def read_field(path: Path) -> DisplacementField:
    """A displacement field from .nrrd, .nhdr, .mha, .mhd, .nii or .nii.gz.

    NIfTI vectors are RAS under intent 1006 and, as SimpleITK writes them, LPS under intent 1007.

    Raises:
        ValueError: not a field of 3-D vectors, another layout, or vectors in the moving-to-fixed sense.
    """
    return _read_nifti(path) if path.name.lower().endswith((".nii", ".nii.gz")) else _read_itk(path)


def write_field(path: Path, field: DisplacementField) -> None:
    """Write float32 vectors to .nrrd, .nii, .nii.gz (recognized by Slicer as transforms) or .mha (not marked as such).

    Raises:
        OSError: the file cannot be written.
    """
    vectors = field.vectors.detach().cpu().float().numpy()
    name = path.name.lower()
    suffix = ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix
    with atomic_path(path, suffix) as temporary:
        if suffix in (".nii", ".nii.gz"):
            _write_nifti(temporary, vectors, field.grid)
            return
        image = image_of(vectors, field.grid)
        if suffix == ".nrrd":
            image.SetMetaData(INTENT_KEY, str(DISPLACEMENT_INTENT))
            image.SetMetaData(DIRECTION_KEY, "resampling")
        sitk.WriteImage(image, str(temporary), useCompression=True)


def _read_itk(path: Path) -> DisplacementField:
    try:
        with quiet():
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise ValueError(f"{path} is not a readable displacement field ({reason_of(error)}).") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 3:
        raise ValueError(
            f"{path} is no displacement field: expected 3-D with 3 values per voxel, got {image.GetDimension()}-D with "
            f"{image.GetNumberOfComponentsPerPixel()}."
        )
    if image.HasMetaDataKey(DIRECTION_KEY) and image.GetMetaData(DIRECTION_KEY).strip() == "modeling":
        raise ValueError(
            f"{path} holds a field from moving to fixed points ('modeling'): invert it in Slicer and save it again."
        )
    return _field(tensor_of(image), grid_of(image), path)


def _read_nifti(path: Path) -> DisplacementField:
    try:
        image = nib.load(path)
        shape, intent = image.shape, int(image.header["intent_code"])
        if len(shape) != 5 or shape[3:] != (1, 3):
            raise ValueError(
                f"{path} is no displacement field: a NIfTI field has the shape (i, j, k, 1, 3), got {shape}."
            )
        if intent not in (DISPLACEMENT_INTENT, VECTOR_INTENT) or image.header.get_intent()[2].startswith("NREG"):
            raise ValueError(
                f"{path} has NIfTI intent {image.header.get_intent()[2] or intent}: expected 1006 (vectors in mm); "
                "export the transform as .h5 or .nrrd."
            )
        data = np.asarray(image.dataobj, dtype=np.float32)[:, :, :, 0]
    except (OSError, EOFError, nib.filebasedimages.ImageFileError) as error:
        raise ValueError(f"{path} is damaged or no NIfTI file ({reason_of(error)}).") from error
    vectors = torch.from_numpy(np.ascontiguousarray(np.moveaxis(data, -1, 0)))
    if intent == DISPLACEMENT_INTENT:
        vectors = vectors * torch.tensor([-1.0, -1.0, 1.0]).view(3, 1, 1, 1)
    return _field(vectors, Grid.from_affine(LPS_FROM_RAS @ image.affine, shape[:3]), path)


def _field(vectors: torch.Tensor, grid: Grid, path: Path) -> DisplacementField:
    try:
        return DisplacementField(vectors.float(), grid)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _write_nifti(path: Path, vectors: np.ndarray, grid: Grid) -> None:
    ras = vectors * np.array([-1, -1, 1], dtype=np.float32).reshape(3, 1, 1, 1)
    affine = LPS_FROM_RAS @ grid.affine
    image = nib.Nifti1Image(np.moveaxis(ras, 0, -1)[:, :, :, None], affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_intent(DISPLACEMENT_INTENT)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
