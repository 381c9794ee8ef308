"""Read and write images: NIfTI, NRRD, MetaImage, DICOM series.

Geometry is ITK's in every case, so that an image lies where Slicer shows it. Label maps stay integers from the file to the
tensor; axes that are not at right angles are made so (`geometry/regular_grid.py`), which the notes of the volume tell.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from ..geometry.grid import Grid
from ..geometry.volume import Volume
from ..transforms.resample import resample_array
from .atomic import atomic_path
from .image_file import ImageFile
from .itk import image_of
from .nifti import write_nifti
from .opening import NIFTI, open_image, suffix_of

WRITABLE = (*NIFTI, ".nrrd", ".mha")
SLAB_VOXELS = 1 << 20
"""Voxels that are copied or scaled at once."""
FAINTEST = 1 / 256
"""An image whose rounding to float32 is coarser than this share of its range has lost its contrast."""
LARGEST = float(np.finfo(np.float32).max)
INT32 = range(-(2**31), 2**31)
EXACT = (np.int8, np.uint8, np.int16, np.uint16, np.float32)
"""Types that float32 holds."""
ROUNDED = 0.05
"""Scaled labels may be off a whole number by half the step of their scale, and by no more than this."""


def read_volume(path: str | os.PathLike, *, labels: bool = False) -> Volume:
    """One scalar 3-D image.

    Args:
        path: an image file, a folder with one DICOM series, or one file of a DICOM series (its whole series is read).
        labels: read a label map: integers stay integers.

    Returns:
        Volume (1, i, j, k): float32 values in the file's units (rescaled as its header says), or int32 labels; with notes
        where the file did not say all, or the voxels had to be resampled.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: not one scalar 3-D image, a lattice that no grid can stand for, values beyond float32, or `labels` of values
            that are not integers.
    """
    file = _scalar(open_image(path))
    regular = file.regular()
    values = _labels(file) if labels else _image(file)
    if regular.pull is not None:
        fill = 0 if labels else float(values[torch.isfinite(values)].min()) if bool(torch.isfinite(values).any()) else 0.0
        values = resample_array(values[None], regular.pull, regular.grid.shape, nearest=labels, fill=fill)[0]
    return Volume(values[None], regular.grid, (*file.notes, *regular.notes))


def read_grid(path: str | os.PathLike) -> Grid:
    """The grid of an image file without its voxels; raises as `read_volume`."""
    return _scalar(open_image(path)).regular().grid


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
    suffix = suffix_of(path)
    if suffix not in WRITABLE:
        raise ValueError(f"Cannot write an image as {path.name!r}: use one of the endings {', '.join(WRITABLE)}.")
    if volume.data.shape[0] != 1 or volume.grid.dimension != 3:
        raise ValueError(f"A volume file holds one 3-D channel, got data of shape {tuple(volume.data.shape)}.")
    array = _storable(volume.data[0].detach().cpu()).numpy()
    with atomic_path(path, suffix) as temporary:
        if suffix in NIFTI:
            write_nifti(temporary, array, volume.grid)
        else:
            sitk.WriteImage(image_of(array, volume.grid), str(temporary), useCompression=True)


def _scalar(file: ImageFile) -> ImageFile:
    if file.channels > 1:
        raise ValueError(f"{file.path} has {file.channels} values per voxel (vectors or colors): give a scalar image.")
    return file


def _image(file: ImageFile) -> Tensor:
    """float32 (i, j, k), computed in double precision where that matters."""
    stored, plain = file.stored(), file.scale == (1.0, 0.0)
    out = np.empty(stored.shape, dtype=np.float32)
    exact = plain and stored.dtype.newbyteorder("=") in EXACT
    lowest, highest = np.inf, -np.inf
    for source, target in _slabs(stored, out):
        if exact:
            target[...] = source
            continue
        with np.errstate(all="ignore"):
            part = _scaled(source, file)
        low, high = float(part.min()), float(part.max())
        if not np.isfinite(high - low):
            finite = part[np.isfinite(part)]
            low, high = float(finite.min(initial=np.inf)), float(finite.max(initial=-np.inf))
        lowest, highest = min(lowest, low), max(highest, high)
        if max(-lowest, highest) <= LARGEST:
            target[...] = part
    _check_range(file, lowest, highest)
    return torch.from_numpy(out)


def _slabs(stored: np.ndarray, out: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Views (k, j, i) of both, some planes at a time: files run fastest along i, and signals arrive in between."""
    planes = max(1, SLAB_VOXELS // max(1, stored[..., 0].size))
    for start in range(0, stored.shape[-1], planes):
        part = slice(start, start + planes)
        yield stored.T[part], out.T[part]


def _scaled(stored: np.ndarray, file: ImageFile) -> np.ndarray:
    """float64; NaN and infinity stay what they are."""
    part = stored.astype(np.float64, copy=file.scale != (1.0, 0.0))
    if file.scale != (1.0, 0.0):
        part *= file.scale[0]
        part += file.scale[1]
    return part


def _check_range(file: ImageFile, lowest: float, highest: float) -> None:
    """Refuses values between which float32, in which images are worked on, cannot tell."""
    if lowest >= highest:
        return
    largest = max(-lowest, highest)
    limits = np.finfo(np.float32)
    if largest > LARGEST:
        problem = "is more than float32 can hold (3.4e38)"
    elif largest < limits.tiny / FAINTEST:
        problem = "is less than float32 can hold (1.2e-38)"
    elif largest * limits.eps > FAINTEST * (highest - lowest):
        problem = "has differences too small for float32"
    else:
        return
    raise ValueError(
        f"{file.path} holds values from {lowest:.10g} to {highest:.10g}, which {problem}: shift or scale them first."
    )


def _labels(file: ImageFile) -> Tensor:
    """int32 (i, j, k); no label goes through float32."""
    stored = file.stored()
    out = np.empty(stored.shape, dtype=np.int32)
    step = 0.0 if file.scale == (1.0, 0.0) else min(abs(file.scale[0]) / 2, ROUNDED) * (1 + 1e-6)
    whole = step == 0.0 and stored.dtype.kind in "iub"
    for source, target in _slabs(stored, out):
        part = source
        if not whole:
            with np.errstate(all="ignore"):
                part = _scaled(source, file)
                near = np.rint(part)
                if not bool((np.isfinite(part) & (np.abs(part - near) <= step)).all()):
                    raise ValueError(
                        f"{file.path} holds values that are not integers: a label map is needed (an image was given?)."
                    )
            part = near
        if not (part.min() >= INT32.start and part.max() < INT32.stop):
            raise ValueError(f"{file.path} holds labels beyond 32 bits: renumber them.")
        target[...] = part
    return torch.from_numpy(out)


def _storable(data: Tensor) -> Tensor:
    if data.dtype == torch.bool:
        return data.to(torch.uint8)
    if data.dtype in (torch.float16, torch.bfloat16):
        return data.to(torch.float32)
    if data.dtype == torch.int64:
        if data.numel() and not (int(data.min()) >= INT32.start and int(data.max()) < INT32.stop):
            raise ValueError("A volume file holds integers of at most 32 bits: renumber the labels.")
        return data.to(torch.int32)
    return data
