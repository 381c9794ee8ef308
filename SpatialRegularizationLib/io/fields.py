"""Read and write displacement fields as vector images: NRRD and MetaImage (LPS), NIfTI with intent 1006 (RAS).

Only the pull-back sense is read and written: vectors lead from fixed points to moving points ("resampling" in Slicer).
The NIfTI layout is (i, j, k, 1, 3). Where a field lies is decided as for images (`opening.py`); on axes that are not at right
angles it is resampled onto right-angled ones that cover it, zero beyond.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from ..geometry.displacement import DisplacementField
from ..geometry.regular_grid import regular_grid
from ..transforms.resample import resample_array
from .atomic import atomic_path
from .image_file import ImageFile
from .itk import image_of
from .nifti import write_nifti
from .opening import NIFTI, open_image, suffix_of

DISPLACEMENT_INTENT, VECTOR_INTENT = "1006", "1007"
LAYOUT = "3-D with 3 values per voxel (NIfTI: shape (i, j, k, 1, 3))"
INTENT_KEY, DIRECTION_KEY = "intent_code", "displacement field type"


def read_field(path: Path) -> DisplacementField:
    """A displacement field from .nrrd, .nhdr, .mha, .mhd, .nii or .nii.gz.

    NIfTI vectors are RAS under intent 1006 and, as SimpleITK writes them, LPS under intent 1007.

    Raises:
        FileNotFoundError: a file that it consists of is not there.
        ValueError: not a field of 3-D vectors, another layout, or vectors in the moving-to-fixed sense.
    """
    try:
        file = open_image(path)
    except ValueError as error:
        text = str(error).removeprefix(str(path)).strip().rstrip(".")
        raise ValueError(f"{path} is not a readable displacement field, {LAYOUT}: it {text}.") from error
    _check_meaning(file)
    stored, (slope, intercept) = file.stored(), file.scale
    vectors = np.empty((3, *file.shape), dtype=np.float32)
    for part in range(3):
        with np.errstate(all="ignore"):
            vectors[part] = stored[..., part] * slope + intercept if (slope, intercept) != (1.0, 0.0) else stored[..., part]
    if file.tags.get("intent") == DISPLACEMENT_INTENT:
        vectors[:2] *= -1
    return field_on(vectors, file.affine, path)


def field_on(vectors: np.ndarray, affine: np.ndarray, path: Path) -> DisplacementField:
    """The field of vectors (3, i, j, k) in mm LPS on the lattice of a file, resampled where its axes are not at right angles.

    Args:
        vectors: float32.
        affine: 4x4, index to LPS mm.
        path: of the file, for the message.

    Raises:
        ValueError: a lattice that no grid can stand for, or vectors that are not finite.
    """
    field = torch.from_numpy(vectors)
    try:
        regular = regular_grid(tuple(field.shape[1:]), affine, rounded=0.0)
        if regular.pull is not None:
            field = resample_array(field, regular.pull, regular.grid.shape, nearest=False, fill=0.0)
        return DisplacementField(field, regular.grid)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_field(path: Path, field: DisplacementField) -> None:
    """Write float32 vectors to .nrrd, .nii, .nii.gz (recognized by Slicer as transforms) or .mha (not marked as such).

    Raises:
        OSError: the file cannot be written.
    """
    vectors = field.vectors.detach().cpu().float().numpy()
    suffix = suffix_of(path)
    with atomic_path(path, suffix) as temporary:
        if suffix in NIFTI:
            ras = vectors * np.array([-1, -1, 1], dtype=np.float32).reshape(3, 1, 1, 1)
            write_nifti(temporary, np.moveaxis(ras, 0, -1)[:, :, :, None], field.grid, intent=int(DISPLACEMENT_INTENT))
            return
        image = image_of(vectors, field.grid)
        if suffix == ".nrrd":
            image.SetMetaData(INTENT_KEY, DISPLACEMENT_INTENT)
            image.SetMetaData(DIRECTION_KEY, "resampling")
        sitk.WriteImage(image, str(temporary), useCompression=True)


def _check_meaning(file: ImageFile) -> None:
    """Refuses what is no field of 3-D vectors in the pull-back sense."""
    if file.channels != 3:
        raise ValueError(
            f"{file.path} is no displacement field: expected {LAYOUT}, got {file.channels} values per voxel."
        )
    intent, name = file.tags.get("intent"), file.tags.get("intent name", "")
    if intent is not None and (intent not in (DISPLACEMENT_INTENT, VECTOR_INTENT) or name.startswith("NREG")):
        raise ValueError(
            f"{file.path} has NIfTI intent {name or intent}: expected 1006 (vectors in mm); export the transform as .h5 or .nrrd."
        )
    if file.tags.get(DIRECTION_KEY, "").strip() == "modeling":
        raise ValueError(
            f"{file.path} holds a field from moving to fixed points ('modeling'): invert it in Slicer and save it again."
        )
