"""Read and write NIfTI-1 and NIfTI-2, plain or compressed whatever the name says.

ITK decides where the voxels lie, as in 3D Slicer. It is shown a file of eight voxels with the checked geometry of the header
and nothing else of it, so that a damaged file cannot harm it, and NIfTI-2, which it does not read, gets the same answer.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from ..geometry.grid import Grid
from .blocks import Block, first_bytes, read_blocks
from .image_file import ImageFile, damaged, spatial_shape, unreadable
from .itk import affine_of, quiet

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
MAGIC = {(348, b"n+1\0"): 344, (348, b"ni1\0"): 344, (540, b"n+2\0"): 4, (540, b"ni2\0"): 4}
"""(size of the header, magic word) → where the word stands."""
EXTENSION = 4
"""Bytes between the header and the first voxel, at least."""
DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
LONG_DOUBLE = 1536
COMPLEX, COLOR = (32, 1792, 2048), (128, 2304)
MM_PER_UNIT = {1: 1000.0, 3: 0.001}
"""Meters and micrometers; all other codes are taken as millimeters, as ITK does."""
UNITS = 7
"""Bits of xyzt_units that are about space."""
PLACES = {
    "qform_code": ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    "sform_code": ("srow_x", "srow_y", "srow_z"),
}
"""The two ways to say where voxels lie, by the field that says whether they are used."""
FARTHEST = 1e9
"""Numbers of a geometry beyond this many units are damage."""
NOTICED_VOXELS = 0.1
"""Difference of qform and sform that is told, in voxels."""


def is_nifti(start: bytes) -> bool:
    """Whether a file that starts so (540 bytes) is a NIfTI file."""
    return _layout(start) is not None


def open_nifti(path: Path) -> ImageFile:
    """What the header of a NIfTI file says; of a pair, `path` is the .hdr file.

    Raises:
        ValueError: it cannot be understood, or is not one 3-D image (or field).
    """
    start, encoding = first_bytes(path, 540)
    layout = _layout(start)
    if layout is None:
        raise unreadable(path, "unknown or damaged format")
    size, order, single = layout
    kind = nib.Nifti1Header if size == 348 else nib.Nifti2Header
    header = kind(start[:size], endianness=order, check=False)
    shape, channels = _shape(header, path)
    dtype = _dtype(header, path).newbyteorder(order)
    count = math.prod(shape) * channels
    block, notes = _block(path, header, (size, encoding, single), (dtype, count))
    affine, about = _lattice(header, shape, path)

    def read() -> np.ndarray:
        found = read_blocks([block])
        return found.reshape(shape if channels == 1 else (*shape, channels), order="F")

    name = bytes(header["intent_name"].item()).split(b"\0")[0].decode("latin-1")
    tags = {"intent": str(int(header["intent_code"])), "intent name": name}
    return ImageFile(path, shape, affine, read, channels, _scale(header, path), tags, (*notes, *about))


def write_nifti(path: Path, array: np.ndarray, grid: Grid, *, intent: int = 0) -> None:
    """qform and sform both hold the index-to-RAS matrix, so that every reader finds the same."""
    affine = LPS_FROM_RAS @ grid.affine
    image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_intent(intent)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def _layout(start: bytes) -> tuple[int, str, bool] | None:
    """(size of the header, byte order, whether the voxels are in the same file), or None."""
    for order, (size, magic) in itertools.product("<>", MAGIC):
        at = MAGIC[size, magic]
        if start[:4] == np.array(size, dtype=f"{order}i4").tobytes() and start[at : at + 4] == magic and len(start) >= size:
            return size, order, magic[1:2] == b"+"
    return None


def _shape(header: nib.Nifti1Header, path: Path) -> tuple[tuple[int, int, int], int]:
    """(i, j, k) and the values per voxel: the fifth axis holds the parts of vectors."""
    axes = int(header["dim"][0])
    if not 1 <= axes <= 7:
        raise unreadable(path, f"its header claims {axes} axes")
    sizes = [int(n) for n in header["dim"][1 : axes + 1]]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    vectors = len(sizes) == 5 and sizes[3] == 1
    if vectors and sizes[4] < 1:
        raise unreadable(path, f"its header claims {sizes[4]} values per voxel")
    return spatial_shape(sizes[:3] if vectors else sizes, path), sizes[4] if vectors else 1


def _dtype(header: nib.Nifti1Header, path: Path) -> np.dtype:
    code = int(header["datatype"])
    if code in COMPLEX:
        raise ValueError(f"{path} holds complex voxels: a real-valued scalar image is needed.")
    if code in COLOR:
        raise ValueError(f"{path} has {3 if code == COLOR[0] else 4} values per voxel (colors): give a scalar image.")
    if code == LONG_DOUBLE and np.dtype(np.longdouble).itemsize == 16:
        return np.dtype(np.longdouble)
    if code not in DTYPES:
        raise unreadable(path, f"its header names an unknown type of voxels, {code}")
    return np.dtype(DTYPES[code])


def _block(
    path: Path, header: nib.Nifti1Header, layout: tuple[int, str, bool], content: tuple[np.dtype, int]
) -> tuple[Block, tuple[str, ...]]:
    """Where the voxels are."""
    (size, encoding, single), (dtype, count) = layout, content
    offset = float(header["vox_offset"])
    if not (math.isfinite(offset) and 0 <= offset < 1 << 50 and offset == int(offset)):
        raise damaged(path, f"its voxels are said to start at byte {offset:g}")
    if not single:
        path = _partner(path)
        encoding = first_bytes(path, 2)[1]
    notes: tuple[str, ...] = ()
    if single and offset < size + EXTENSION:
        if _content_size(path, encoding, size + EXTENSION + dtype.itemsize * count) != size + EXTENSION + dtype.itemsize * count:
            raise damaged(path, f"its voxels are said to start at byte {offset:g}, within its own header (vox_offset)")
        notes = (f"its voxels are said to start at byte {offset:g}, within the header; they were read from where it ends",)
        offset = size + EXTENSION
    if encoding == "raw":
        return Block(path, dtype, count, "raw", int(offset)), notes
    return Block(path, dtype, count, "gzip", 0, int(offset)), notes


def _partner(path: Path) -> Path:
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    stem = name[: -len(".hdr")] if name.lower().endswith(".hdr") else name
    for candidate in (f"{stem}.img", f"{stem}.img.gz", f"{stem}.IMG"):
        if path.with_name(candidate).is_file():
            return path.with_name(candidate)
    raise ValueError(f"{path} keeps its voxels in {stem}.img, which is not there: put both files into one folder.")


def _content_size(path: Path, encoding: str, expected: int) -> int:
    """Bytes of the file, decompressed up to one more than expected."""
    return path.stat().st_size if encoding == "raw" else len(first_bytes(path, expected + 1)[0])


def _scale(header: nib.Nifti1Header, path: Path) -> tuple[float, float]:
    """Slope 0 (and NaN, as nibabel writes it) says that values are stored as they are."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise damaged(path, f"its values are said to be scaled by {slope:g} and shifted by {intercept:g} (scl_slope, scl_inter)")
    return slope, intercept


def _lattice(header: nib.Nifti1Header, shape: tuple[int, int, int], path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The index-to-LPS matrix that ITK takes, and what is to be said about it."""
    _check_geometry(header, path)
    sform = LPS_FROM_RAS @ _sform(header)
    qform, scanner = int(header["qform_code"]) > 0, int(header["sform_code"]) > 0
    affine = _itk_affine(header, path)
    if affine is None:
        return sform, ()
    if not (qform or scanner):
        return affine, ("its header says nothing about its place in space (qform_code and sform_code are 0)",)
    if qform and scanner:
        ends = np.array([*itertools.product(*[(0, n - 1) for n in shape])])
        apart = np.linalg.norm(ends @ (sform - affine)[:3, :3].T + (sform - affine)[:3, 3], axis=1).max()
        if apart > NOTICED_VOXELS * np.linalg.norm(affine[:3, :3], axis=0).min():
            return affine, (f"its sform and qform differ by up to {apart:.3g} mm: the qform was taken, as ITK and 3D Slicer do",)
    return affine, ()


def _check_geometry(header: nib.Nifti1Header, path: Path) -> None:
    spacing = _doubles(header["pixdim"][1:4])
    if not (np.isfinite(spacing) & (spacing > 0) & (spacing < FARTHEST)).all():
        raise ValueError(f"{path} has the voxel spacing {spacing.tolist()} mm: repair its header (pixdim).")
    for name in (name for code, names in PLACES.items() if header[code] > 0 for name in names):
        numbers = _doubles(header[name])
        if not (np.isfinite(numbers) & (np.abs(numbers) < FARTHEST)).all():
            raise ValueError(f"{path} has no place in space ({name} is {numbers.tolist()}): repair its header.")


def _doubles(numbers: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # a signaling NaN warns
        return np.array(numbers, dtype=np.float64).ravel()


def _sform(header: nib.Nifti1Header) -> np.ndarray:
    """Index to RAS mm."""
    rows = np.array([header[f"srow_{axis}"] for axis in "xyz"], dtype=np.float64)
    return np.vstack([MM_PER_UNIT.get(int(header["xyzt_units"]) & UNITS, 1.0) * rows, [0, 0, 0, 1]])


def _itk_affine(header: nib.Nifti1Header, path: Path) -> np.ndarray | None:
    """What ITK makes of the geometry, or None where it refuses the axes of the sform and there is no qform."""
    shown = nib.Nifti1Header()
    shown.set_data_shape((2, 2, 2))
    shown.set_data_dtype(np.uint8)
    shown["xyzt_units"] = int(header["xyzt_units"]) & UNITS
    shown["pixdim"][:4] = [-1 if header["pixdim"][0] < 0 else 1, *header["pixdim"][1:4]]
    for code, names in PLACES.items():
        if header[code] > 0:
            shown[code] = min(int(header[code]), 5)
            for name in names:
                shown[name] = header[name]
    shown["vox_offset"], shown["magic"] = 352, b"n+1"
    with tempfile.TemporaryDirectory(prefix="spatialreg-") as folder:
        file = Path(folder) / "geometry.nii"
        file.write_bytes(shown.binaryblock + bytes(EXTENSION + 8))
        reader = sitk.ImageFileReader()
        reader.SetImageIO("NiftiImageIO")
        reader.SetFileName(str(file))
        try:
            with quiet():
                reader.ReadImageInformation()
        except RuntimeError as error:
            if "orthonormal" in str(error):
                return None
            raise unreadable(path, "ITK cannot make sense of its geometry") from error
    return affine_of(reader)
