"""Read what only ITK reads (other formats, compressed DICOM pixels), in a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from . import dicom_elements as dcm
from .image_file import ImageFile, spatial_shape, unreadable
from .isolated import Content, read_isolated
from .itk import affine_of, quiet, reason_of

TOGETHER = 64
"""Compressed slices that one process decodes."""


def open_foreign(path: Path) -> ImageFile:
    """A file as ITK reads it, voxels and all.

    Raises:
        ValueError: ITK does not read it, or it is not one 3-D image.
    """
    found = read_isolated(read_by_itk, path)
    shape = spatial_shape(found.about["size"], path)
    values, channels = found.arrays["values"], found.about["channels"]
    if channels > 1:
        return ImageFile(path, shape, np.array(found.about["affine"]), lambda: values.reshape(*shape, channels), channels)
    return ImageFile(path, shape, np.array(found.about["affine"]), lambda: values.reshape(shape))


def decoded(files: list[Path]) -> dict[Path, np.ndarray]:
    """(frames, rows, columns) of the files of one series, sorted by name, scaled as GDCM does.

    Raises:
        ValueError: a file that GDCM cannot decode.
    """
    found: dict[Path, np.ndarray] = {}
    for file in files:
        if file not in found:
            part = read_isolated(decode_series, file).arrays
            found |= {file.with_name(name): array for name, array in part.items()}
    return found


def read_by_itk(path: str) -> Content:
    """For a process of its own: any image that ITK knows, (i, j, k[, channels])."""
    try:
        with quiet():
            image = sitk.ReadImage(path)
    except RuntimeError as error:
        reason = "unknown or damaged format" if "Unable to determine" in str(error) else reason_of(error)
        raise unreadable(Path(path), reason) from error
    if "complex" in image.GetPixelIDTypeAsString():
        raise ValueError(f"{path} holds complex voxels: a real-valued scalar image is needed.")
    channels = image.GetNumberOfComponentsPerPixel()
    values = sitk.GetArrayFromImage(image)  # (…, k, j, i[, channels]); a view would outlive its image
    values = values.transpose(*reversed(range(values.ndim - 1)), values.ndim - 1) if channels > 1 else values.T
    affine = affine_of(image) if image.GetDimension() >= 3 else np.eye(4)
    about = {"size": list(image.GetSize()), "channels": channels, "affine": affine.tolist()}
    return Content(about, {"values": values})


def decode_series(path: str) -> Content:
    """For a process of its own: a DICOM file and those of its series that follow it by name, `TOGETHER` in all."""
    first = Path(path)
    series = dcm.read_elements(first).text(dcm.SERIES)
    arrays: dict[str, np.ndarray] = {}
    for file in sorted(first.parent.iterdir()):
        if len(arrays) == TOGETHER or file < first or not dcm.is_dicom(file):
            continue
        if file == first or (series and dcm.read_elements(file).text(dcm.SERIES) == series):
            try:
                with quiet():
                    found = sitk.GetArrayFromImage(sitk.ReadImage(str(file), imageIO="GDCMImageIO"))
            except RuntimeError as error:
                raise ValueError(f"{file.name}: {reason_of(error)}") from error
            arrays[file.name] = found.reshape(-1, *found.shape[-2:])
    return Content({}, arrays)
