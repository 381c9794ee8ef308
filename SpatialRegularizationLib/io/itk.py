"""Keep SimpleITK's axis order (k, j, i), headers and error texts in one file.

Positions need no conversion: ITK is LPS millimetres, as everything here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import numpy as np
import SimpleITK as sitk

from ..geometry.grid import Grid


def affine_of(header: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    """The index-to-LPS matrix (4x4, mm) of the first 3 axes of an image, or of a reader that has read its header."""
    d = header.GetDimension()
    affine = np.eye(4)
    affine[:3, :3] = np.array(header.GetDirection()).reshape(d, d)[:3, :3] * np.array(header.GetSpacing()[:3])
    affine[:3, 3] = header.GetOrigin()[:3]
    return affine


def image_of(array: np.ndarray, grid: Grid) -> sitk.Image:
    """A SimpleITK image of (i, j, k) values, or of (c, i, j, k) vectors, on a grid."""
    vectors = array.ndim == grid.dimension + 1
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T), isVector=vectors)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection([c for row in grid.direction for c in row])
    return image


def reason_of(error: Exception) -> str:
    """The informative end of an error text, without source paths, object addresses and line breaks."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not re.search(r"Exception thrown in|^/.*:\d+:$|\.(cxx|hxx|h):\d+", line)]
    text = re.sub(r"^(ITK|sitk::)\s?ERROR:\s*|\w+\(0x[0-9a-f]+\):\s*", "", " ".join(kept[-2:]) or type(error).__name__)
    return re.sub(r"^(ITK|sitk::)\s?ERROR:\s*", "", text).rstrip(". ")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No ITK warnings on the terminal inside the block (headers with rounded directions cause many)."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)
