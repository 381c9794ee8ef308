"""DICOM series: which files belong together, and whether they make a regular volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .itk import quiet, reason_of

SERIES_UID = "0020|000e"
POSITION = "0020|0032"
ORIENTATION = "0020|0037"
REGULARITY_TOLERANCE = 0.1
"""Largest accepted distance of a slice from its place in a regular stack, as a share of the slice spacing."""


def series_of(path: Path) -> str | None:
    """The series that a file belongs to, or None if it is no DICOM file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] != b"DICM":
        return None
    reader = _information(path)
    return reader.GetMetaData(SERIES_UID).strip() if reader.HasMetaDataKey(SERIES_UID) else None


def read_series(path: Path) -> sitk.Image:
    """The volume of a folder with one series, or of the series of a file.

    Raises:
        ValueError: no series, several series, unreadable files, missing or unevenly placed slices, gantry tilt.
    """
    folder = path if path.is_dir() else path.parent
    with quiet():
        found = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    wanted = series_of(path)
    if not found:
        raise ValueError(f"{folder} holds no DICOM series: give an image file or a folder of DICOM files.")
    if wanted is None and len(found) > 1:
        raise ValueError(f"{folder} holds {len(found)} DICOM series: give one file of the series you mean instead.")
    with quiet():
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), wanted or found[0])
    files = names or (str(path),)
    _check_stack([Path(name) for name in files])
    try:
        with quiet():
            return sitk.ReadImage(files if len(files) > 1 else files[0])
    except RuntimeError as error:
        raise ValueError(f"The series in {folder} cannot be read ({reason_of(error)}): export it again.") from error


def _information(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise ValueError(f"{path} is not a readable DICOM image ({reason_of(error)}): export it again.") from error
    return reader


def _check_stack(files: list[Path]) -> None:
    """Slices must lie at equal distances along their common normal, none missing and none shifted in its plane."""
    if len(files) < 3:
        return
    headers = [_information(file) for file in files]
    if not all(h.HasMetaDataKey(POSITION) and h.HasMetaDataKey(ORIENTATION) for h in headers):
        raise ValueError(f"Slices in {files[0].parent} carry no position: the series cannot be put in patient space.")
    positions = np.array([_numbers(h, POSITION) for h in headers])
    across = _numbers(headers[0], ORIENTATION)
    normal = np.cross(across[:3], across[3:])
    step = (positions[-1] - positions[0]) / (len(files) - 1)
    spacing = abs(step @ normal)
    if np.linalg.norm(step - (step @ normal) * normal) > REGULARITY_TOLERANCE * spacing:
        raise ValueError(
            f"The slices in {files[0].parent} are sheared (gantry tilt): resample the series to an orthogonal lattice "
            "first, for example with Slicer's acquisition geometry regularization."
        )
    error = np.abs(positions - positions[0] - np.arange(len(files))[:, None] * step).max()
    if error > REGULARITY_TOLERANCE * spacing:
        raise ValueError(
            f"The {len(files)} slices in {files[0].parent} are not evenly spaced (off by up to {error:.2f} mm at a "
            f"mean spacing of {spacing:.2f} mm): slices are missing, or resample them."
        )


def _numbers(header: sitk.ImageFileReader, key: str) -> np.ndarray:
    return np.array([float(text) for text in header.GetMetaData(key).split("\\")])
