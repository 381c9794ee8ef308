"""The one door for image files: what a file holds decides, not its name."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from . import dicom_elements, metaimage, nifti, nrrd
from .blocks import first_bytes
from .dicom import open_dicom
from .image_file import ImageFile, spatial_shape, unreadable
from .itk import affine_of, quiet, reason_of

NIFTI = (".nii.gz", ".nii")
START = 540
"""Bytes that tell the format."""


def open_image(path: str | os.PathLike) -> ImageFile:
    """What the header of an image file, of a DICOM folder, or of the series of a DICOM file says.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: not one 3-D image or field in a known format.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the path.")
    if path.is_dir() or dicom_elements.is_dicom(path):
        return open_dicom(path)
    if not path.is_file():
        raise unreadable(path, "it is no regular file")
    try:
        start, _ = first_bytes(path, START)
    except ValueError as error:
        raise unreadable(path, error) from error
    if nifti.is_nifti(start) or suffix_of(path) in NIFTI:
        return nifti.open_nifti(path)
    if start.startswith(nrrd.MAGIC) or path.suffix.lower() in (".nrrd", ".nhdr"):
        return nrrd.open_nrrd(path)
    if metaimage.is_metaimage(start, path):
        return metaimage.open_metaimage(path)
    return _open_other(path)


def suffix_of(path: Path) -> str:
    """The ending that decides the format of a file to be written, lower case; ".nii.gz" counts as one."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def _open_other(path: Path) -> ImageFile:
    """A format that ITK knows and that is not among those of this library."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        reason = "unknown or damaged format" if "Unable to determine" in str(error) else reason_of(error)
        raise unreadable(path, reason) from error
    shape, channels = spatial_shape(reader.GetSize(), path), reader.GetNumberOfComponents()

    def read() -> np.ndarray:
        try:
            with quiet():
                image = sitk.ReadImage(str(path))
        except RuntimeError as error:
            raise ValueError(reason_of(error)) from error
        if "complex" in image.GetPixelIDTypeAsString():
            raise ValueError("its voxels are complex numbers")
        found = sitk.GetArrayFromImage(image)
        last = (channels,) if channels > 1 else ()
        return np.moveaxis(found, -1, 0).T.reshape(*shape, *last) if last else found.T.reshape(shape)

    return ImageFile(path, shape, affine_of(reader), read, channels)
