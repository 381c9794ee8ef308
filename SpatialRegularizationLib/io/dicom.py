"""Read a DICOM series: which slices belong together, whether they make one volume, values scaled slice by slice.

A slice is a file of its own or a frame of an enhanced multi-frame file. Pixels that are not compressed are read here; GDCM
decodes the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import dicom_elements as dcm
from .foreign import decoded, open_foreign
from .image_file import ImageFile, damaged, spatial_shape

REGULARITY_TOLERANCE = 0.1
"""Largest accepted distance of a slice from its place in a regular stack, as a share of the slice spacing."""
SAME_PLACE = 1e-3
"""Slices nearer to each other than this, in mm, lie at the same place."""
NO_IMAGES = (
    "1.2.840.10008.1.3.10", "1.2.840.10008.5.1.4.1.1.11.", "1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.104.",
    "1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.481.4", "1.2.840.10008.5.1.4.1.1.481.5",
    "1.2.840.10008.5.1.4.1.1.481.8", "1.2.840.10008.5.1.4.1.1.66", "1.2.840.10008.5.1.4.1.1.9.",
)  # fmt: skip
"""Beginnings of classes that lie beside images without being any: directories, presentations, reports, plans, contours."""


@dataclass(frozen=True)
class Slice:
    """One plane of voxels.

    Args:
        path: its file.
        elements: of that file.
        frame: which of a multi-frame file, or None.
    """

    path: Path
    elements: dcm.Elements
    frame: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(columns, rows)."""
        return self.elements.whole(dcm.COLUMNS), self.elements.whole(dcm.ROWS)

    def numbers(self, tag: int, count: int) -> tuple[float, ...] | None:
        """Of one of its elements."""
        return self.elements.numbers(tag, count, self.frame)


def open_dicom(path: Path) -> ImageFile:
    """What a folder with one series, or the series of a file, holds.

    Raises:
        ValueError: no series, several series, unreadable files, or slices that do not make one volume.
    """
    files = _series(path)
    first = next(iter(files.values()))
    for file, elements in files.items():
        if elements.whole(dcm.SAMPLES, 1) > 1 or elements.text(dcm.PHOTOMETRIC).startswith("PALETTE"):
            raise ValueError(f"{file} is a color DICOM image: a scalar image is needed (CT, MR, PET).")
    many = [file for file, elements in files.items() if _frame_count(elements) > 1]
    if many and len(files) > 1:
        raise ValueError(f"{path} is a series of {len(files)} files, some of several frames ({many[0].name}): give one of them.")
    if many and not first.frames:  # dose, nuclear medicine
        return open_foreign(many[0])
    if many and len(first.frames) != _frame_count(first):
        raise ValueError(f"{many[0]} describes {len(first.frames)} of its {_frame_count(first)} frames: export it again.")
    slices = [Slice(file, e, n) for file, e in files.items() for n in (range(len(e.frames)) if e.frames else (None,))]
    try:
        return _stack(slices, path)
    except _Odd as error:
        raise ValueError(f"The {len(slices)} slices in {path} are not one volume: {error}") from error
    except (ValueError, IndexError) as error:
        raise damaged(path, error) from error


class _Odd(Exception):
    """Why slices do not make a volume, and what to do."""


def _series(path: Path) -> dict[Path, dcm.Elements]:
    """The files of the wanted series, by name."""
    folder = path if path.is_dir() else path.parent
    found: dict[Path, dcm.Elements] = {}
    for file in sorted(folder.iterdir()):
        if not dcm.is_dicom(file):
            continue
        try:
            elements = dcm.read_elements(file)
        except ValueError as error:
            raise ValueError(f"{file} is not a readable DICOM image ({error}): export it again.") from error
        if elements.pixels is not None:
            found[file] = elements
        elif not elements.text(dcm.SOP_CLASS).startswith(NO_IMAGES):
            raise ValueError(f"{file} is not a readable DICOM image (it has no pixels): export it again, or put it elsewhere.")
    if not found:
        raise ValueError(f"{folder} holds no DICOM series: give an image file or a folder of DICOM files.")
    series = {elements.text(dcm.SERIES) for elements in found.values()}
    if path.is_dir() and len(series) > 1:
        raise ValueError(f"{folder} holds {len(series)} DICOM series: give one file of the series you mean instead.")
    if not path.is_dir() and path not in found:
        raise ValueError(f"{path} is a DICOM file without an image: give one of an image series (CT, MR, PET).")
    wanted = found[path].text(dcm.SERIES) if not path.is_dir() else series.pop()
    kept = {file: elements for file, elements in found.items() if elements.text(dcm.SERIES) == wanted}
    return kept if wanted else ({path: found[path]} if path in found else kept)


def _frame_count(elements: dcm.Elements) -> int:
    text = elements.text(dcm.FRAMES)
    return int(text) if text.isdigit() else 1


def _stack(slices: list[Slice], path: Path) -> ImageFile:
    """The volume of slices in any order."""
    _check_alike(slices)
    columns, rows = slices[0].size
    across = slices[0].numbers(dcm.ORIENTATION, 6)
    positions = [part.numbers(dcm.POSITION, 3) for part in slices]
    if len(slices) > 1 and (across is None or None in positions):
        raise _Odd("they carry no position, so that they cannot be put in patient space; export them again.")
    axes = np.array(across or (1, 0, 0, 0, 1, 0), dtype=float).reshape(2, 3)
    normal = np.cross(*axes)
    row_step, column_step = slices[0].numbers(dcm.SPACING, 2) or _spacing_elsewhere(slices[0].path)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = axes[0] * column_step, axes[1] * row_step
    notes: tuple[str, ...] = ()
    if len(slices) == 1:
        thickness, notes = _thickness(slices[0])
        affine[:3, 2], affine[:3, 3] = normal * thickness, positions[0] or (0, 0, 0)
    else:
        places = np.array(positions, dtype=float)
        order = np.argsort(places @ normal, kind="stable")
        slices, places = [slices[n] for n in order], places[order]
        affine[:3, 2], affine[:3, 3] = _step(places, normal), places[0]
    shape = spatial_shape([columns, rows, len(slices)], path)
    return ImageFile(path, shape, affine, lambda: _values(slices), notes=notes)


def _check_alike(slices: list[Slice]) -> None:
    """Refuses slices that differ in what must be the same, and names it."""
    alike: tuple[tuple[str, Callable[[Slice], object], float], ...] = (
        ("orientation (localizers in several planes?)", lambda s: s.numbers(dcm.ORIENTATION, 6), 1e-3),
        ("number of columns and rows", lambda s: s.size, 0.0),
        ("pixel spacing", lambda s: s.numbers(dcm.SPACING, 2), 1e-4),
        ("frame of reference", lambda s: s.elements.text(dcm.FRAME_OF_REFERENCE), 0.0),
    )
    for name, of, tolerance in alike:
        first = of(slices[0])
        for part in slices[1:]:
            other = of(part)
            same = first == other or (
                tolerance > 0 and None not in (first, other) and np.allclose(first, other, rtol=tolerance, atol=tolerance)
            )
            if not same:
                raise _Odd(
                    f"they differ in their {name}, {_words(first)} and {_words(other)}; put those of one volume into a folder "
                    "of their own."
                )


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return " x ".join(f"{number:g}" for number in value)
    return str(value) if value else "none"


def _step(places: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """From slice to slice, mm; `places` (n, 3) are sorted along the normal."""
    gaps = np.diff(places @ normal)
    if gaps.min() < SAME_PLACE:
        distinct = 1 + int((gaps >= SAME_PLACE).sum())
        count = len(places) / distinct
        held = f"{count:g} slices at each of {distinct} places" if count == int(count) else f"slices at {distinct} places only"
        raise _Odd(
            f"there are {held}, so that it holds several volumes (times, echoes, acquisitions) or copies; put those of one "
            "volume into a folder of their own."
        )
    step = (places[-1] - places[0]) / (len(places) - 1)
    error = np.linalg.norm(places - places[0] - np.arange(len(places))[:, None] * step, axis=1).max()
    spacing = abs(step @ normal)
    if error > REGULARITY_TOLERANCE * spacing:
        raise _Odd(
            f"they are not evenly spaced (between {gaps.min():.4g} and {gaps.max():.4g} mm apart, {error:.2f} mm off a regular "
            "stack): slices are missing, or there are several volumes; complete or resample them."
        )
    return step


def _thickness(part: Slice) -> tuple[float, tuple[str, ...]]:
    """Of a slice alone, mm, and what is to be said about it."""
    for tag in (dcm.THICKNESS, dcm.GAP):
        found = part.numbers(tag, 1)
        if found is not None and abs(found[0]) > 0:
            return abs(found[0]), (f"it is a single slice, taken to be as thick as its header says ({abs(found[0]):g} mm)",)
    return 1.0, ("it is a single slice of unknown thickness, taken to be 1 mm thick",)


def _values(slices: Sequence[Slice]) -> np.ndarray:
    """(columns, rows, slices), scaled: integers where every slice holds integers."""
    planes: list[np.ndarray] = []
    compressed = any(_compressed(part) for part in slices)
    opened = _decoded(slices) if compressed else {}
    for part in slices:
        if part.path not in opened:
            opened = {part.path: _pixels(part)}
        plane = opened[part.path][0 if part.frame is None else part.frame]
        planes.append(plane if compressed else _scaled(plane, part))
    out = np.empty((len(planes), *planes[0].shape), dtype=np.result_type(*{plane.dtype for plane in planes}))
    for n, plane in enumerate(planes):
        out[n] = plane
    return out.transpose(2, 1, 0)


def _spacing_elsewhere(path: Path) -> tuple[float, float]:
    """Row and column spacing of classes that keep it elsewhere (radiographs, ultrasound), as ITK finds it."""
    column, row, _ = np.linalg.norm(open_foreign(path).affine[:3, :3], axis=0)
    return float(row), float(column)


def _compressed(part: Slice) -> bool:
    return part.elements.text(dcm.TRANSFER_SYNTAX) not in (*dcm.PLAIN, "")


def _scaled(plane: np.ndarray, part: Slice) -> np.ndarray:
    slope, intercept = (part.numbers(tag, 1) or (default,) for tag, default in ((dcm.SLOPE, 1.0), (dcm.INTERCEPT, 0.0)))
    slope = slope[0] or 1.0
    if (slope, intercept[0]) == (1.0, 0.0):
        return plane
    scaled = plane * np.float64(slope) + intercept[0]
    if slope == int(slope) and intercept[0] == int(intercept[0]) and np.abs(scaled).max(initial=0) < 1 << 31:
        return scaled.astype(np.int32)
    return scaled


def _pixels(part: Slice) -> np.ndarray:
    """(frames, rows, columns) of one file, as stored."""
    elements, (columns, rows) = part.elements, part.size
    frames = max(1, len(elements.frames))
    bits, stored, high = (elements.whole(tag) for tag in (dcm.ALLOCATED, dcm.STORED, dcm.HIGH_BIT))
    if elements.pixels is None or bits not in (8, 16, 32) or not 0 < stored <= bits or not stored - 1 <= high < bits:
        raise ValueError(f"{part.path.name} has no pixels of 8, 16 or 32 bits")
    count, start = frames * rows * columns, elements.pixels[0]
    with part.path.open("rb") as file:
        file.seek(start)
        content = file.read(count * bits // 8)
    if len(content) < count * bits // 8:
        raise ValueError(f"{part.path.name} ends before its pixels do")
    raw = np.frombuffer(content, dtype=f"{elements.order}u{bits // 8}").reshape(frames, rows, columns)
    raw = raw.astype(raw.dtype.newbyteorder("="), copy=False)
    if stored == bits:
        return raw.view(f"i{bits // 8}") if elements.whole(dcm.SIGNED) else raw
    raw = raw << (bits - 1 - high)  # drops what is above the highest bit; the shift back drops what is below the lowest
    return (raw.view(f"i{bits // 8}") if elements.whole(dcm.SIGNED) else raw) >> (bits - stored)


def _decoded(slices: Sequence[Slice]) -> dict[Path, np.ndarray]:
    scales = {tuple(part.elements.text(tag, part.frame) for tag in (dcm.SLOPE, dcm.INTERCEPT)) for part in slices}
    if len(scales) > 1 and slices[0].frame is not None:
        raise ValueError("its compressed frames are scaled differently, which is not supported: decompress it first")
    found = decoded(sorted({part.path for part in slices}))
    columns, rows = slices[0].size
    for path, array in found.items():
        if array.shape != (max(1, len(slices[0].elements.frames)), rows, columns):
            raise ValueError(f"{path.name} holds {array.shape} voxels, expected {rows} rows and {columns} columns")
    return found
