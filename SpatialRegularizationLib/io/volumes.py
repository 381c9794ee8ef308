"""Images from and to files: NIfTI, NRRD, MetaImage, DICOM series.

Geometry is ITK's in every case, so that an image lies where Slicer shows it. The voxels of NIfTI files go through
nibabel, which notices a truncated file and a full disk; ITK's reader and writer of that format notice neither.
"""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
import torch
from nibabel.openers import Opener

from ..geometry.grid import Grid
from ..geometry.volume import Volume
from .atomic import atomic_path
from .dicom import read_series, series_of
from .itk import grid_of, image_of, quiet, reason_of, tensor_of

NIFTI = (".nii.gz", ".nii")
WRITABLE = (*NIFTI, ".nrrd", ".mha")
FORMATS = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd) or a DICOM folder"


def read_volume(path: str | os.PathLike, *, labels: bool = False) -> Volume:
    """One scalar 3-D image.

    Args:
        path: an image file, a folder with one DICOM series, or one file of a DICOM series (its whole series is read).
        labels: read a label map: integers stay integers.

    Returns:
        Volume (1, i, j, k): float32 values in the file's units (rescaled as its header says), or int32 labels.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: not one scalar 3-D image on an orthogonal lattice, or `labels` of values that are not integers.
    """
    path = _existing(path)
    image = _read_dicom(path) if path.is_dir() or series_of(path) else None
    if image is not None:
        grid, values = grid_of(image), tensor_of(image)
    else:
        header = _header(path)
        grid = _grid(header, path)
        values = _nifti_values(path, grid) if _suffix(path) in NIFTI else _itk_values(path, grid)
    values = _as_labels(values, path) if labels else values.to(torch.float32)
    return Volume(values[None], grid)


def read_grid(path: str | os.PathLike) -> Grid:
    """The grid of an image file without its voxels (of a DICOM series: read whole); raises as `read_volume`."""
    path = _existing(path)
    if path.is_dir() or series_of(path):
        return grid_of(_read_dicom(path))
    return _grid(_header(path), path)


def write_volume(path: str | os.PathLike, volume: Volume) -> None:
    """Write one scalar 3-D image, compressed; the file is whole or absent.

    Args:
        path: ends in .nii.gz, .nii, .nrrd or .mha.
        volume: one channel; int64 becomes int32, bool becomes uint8, half precision becomes float32, the rest stays.

    Raises:
        ValueError: unknown ending, several channels, 2-D, or int64 values beyond int32.
        OSError: the file cannot be written.
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix not in WRITABLE:
        raise ValueError(f"Cannot write an image as {path.name!r}: use one of the endings {', '.join(WRITABLE)}.")
    if volume.data.shape[0] != 1 or volume.grid.dimension != 3:
        raise ValueError(f"A volume file holds one 3-D channel, got data of shape {tuple(volume.data.shape)}.")
    array = _storable(volume.data[0].detach().cpu()).numpy()
    with atomic_path(path, suffix) as temporary:
        if suffix in NIFTI:
            _write_nifti(temporary, array, volume.grid)
        else:
            sitk.WriteImage(image_of(array, volume.grid), str(temporary), useCompression=True)


def _existing(path: str | os.PathLike) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the path.")
    return path


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def _read_dicom(path: Path) -> sitk.Image:
    image = read_series(path)
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise ValueError(f"{path} is a color DICOM series: a scalar image is needed (CT, MR, PET).")
    return image


def _header(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise ValueError(
                f"{path} has a sheared or scaled direction matrix, which no regular lattice has: resample it first, or "
                "repair its header (qform and sform)."
            ) from error
        if "spacing" in str(error).lower():
            raise ValueError(f"{path} has a voxel spacing of zero: repair its header.") from error
        reason = "unknown or damaged format" if "Unable to determine" in str(error) else reason_of(error)
        raise ValueError(f"{path} is not a readable image ({reason}): expected {FORMATS}.") from error
    return reader


def _grid(header: sitk.ImageFileReader, path: Path) -> Grid:
    size = header.GetSize()
    if len(size) < 3:
        raise ValueError(f"{path} is a {len(size)}-D image {size}: a 3-D volume is needed.")
    frames = int(np.prod(size[3:], dtype=np.int64))
    if frames > 1:
        raise ValueError(
            f"{path} is a {len(size)}-D series of {frames} volumes {size}: extract one of them to its own file first."
        )
    if header.GetNumberOfComponents() > 1:
        raise ValueError(
            f"{path} has {header.GetNumberOfComponents()} values per voxel (vectors or colors): give a scalar image."
        )
    if _suffix(path) in NIFTI:
        _check_nifti_spacing(path)
    try:
        return grid_of(header)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check_nifti_spacing(path: Path) -> None:
    """ITK and nibabel both turn a spacing of 0 into 1 without a word."""
    with Opener(str(path)) as file:
        header_class = nib.Nifti2Header if file.read(4) in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else nib.Nifti1Header
        file.seek(0)
        spacing = header_class.from_fileobj(file, check=False)["pixdim"][1:4]
    if not (np.isfinite(spacing) & (spacing != 0)).all():
        raise ValueError(f"{path} has the voxel spacing {spacing.tolist()} mm: repair its header (pixdim).")


def _nifti_values(path: Path, grid: Grid) -> torch.Tensor:
    try:
        image = nib.load(path)
        data = image.dataobj
        integers = np.issubdtype(data.dtype, np.integer) and (data.slope, data.inter) == (1.0, 0.0)
        array = np.asarray(data) if integers else image.get_fdata(caching="unchanged", dtype=np.float32)
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise ValueError(f"{path} is damaged or incomplete ({reason_of(error)}): copy or export it again.") from error
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise ValueError(f"{path} holds {array.dtype} voxels: a real-valued scalar image is needed.")
    return _native(np.ascontiguousarray(array.reshape(grid.shape)))


def _itk_values(path: Path, grid: Grid) -> torch.Tensor:
    try:
        with quiet():
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise ValueError(f"{path} is damaged or incomplete ({reason_of(error)}): copy or export it again.") from error
    if "complex" in image.GetPixelIDTypeAsString():
        raise ValueError(f"{path} holds complex voxels: a real-valued scalar image is needed.")
    return tensor_of(image).reshape(grid.shape)


def _native(array: np.ndarray) -> torch.Tensor:
    """A tensor of an array that may be in foreign byte order or of a type that PyTorch lacks (long double)."""
    if array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def _as_labels(values: torch.Tensor, path: Path) -> torch.Tensor:
    wide = values.to(torch.float64) if values.is_floating_point() else values.to(torch.int64)
    if not bool((wide == wide.round() if wide.is_floating_point() else torch.ones(())).all()):
        raise ValueError(f"{path} holds values that are not integers: a label map is needed (an image was given?).")
    if wide.abs().max() >= 2**31:
        raise ValueError(f"{path} holds labels beyond 32 bits: renumber them.")
    return wide.to(torch.int32)


def _storable(data: torch.Tensor) -> torch.Tensor:
    if data.dtype == torch.bool:
        return data.to(torch.uint8)
    if data.dtype in (torch.float16, torch.bfloat16):
        return data.to(torch.float32)
    if data.dtype == torch.int64:
        if data.abs().max() >= 2**31:
            raise ValueError("A volume file holds integers of at most 32 bits: renumber the labels.")
        return data.to(torch.int32)
    return data


def _write_nifti(path: Path, array: np.ndarray, grid: Grid) -> None:
    """qform and sform both hold the index-to-RAS matrix, so that every reader finds the same."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    image = nib.Nifti1Image(array, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
