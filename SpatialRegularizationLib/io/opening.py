"""Open any image file: what it holds decides on the reader, not its name."""

from __future__ import annotations

import os
from pathlib import Path

from . import dicom_elements, metaimage, nifti, nrrd
from .blocks import first_bytes
from .dicom import open_dicom
from .foreign import open_foreign
from .image_file import ImageFile, unreadable

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
    return open_foreign(path)


def suffix_of(path: Path) -> str:
    """The ending that decides the format of a file to be written, lower case; ".nii.gz" counts as one."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix
