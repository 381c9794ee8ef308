"""Convert numpy arrays to VTK images and matrices and back; where anything lies is not known here."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

STORABLE = {np.dtype(np.bool_): np.uint8, np.dtype(np.float16): np.float32, np.dtype(np.int64): np.int32}
"""Types that VTK images cannot hold → the type that takes their values."""


def voxels_of(data: Any) -> np.ndarray:
    """Values (i, j, k) of a vtkImageData; a view that lives as long as the image."""
    return vtk_to_numpy(data.GetPointData().GetScalars()).reshape(data.GetDimensions()[::-1]).transpose(2, 1, 0)


def vtk_image(values: np.ndarray) -> Any:
    """A vtkImageData of unit spacing with a copy of (i, j, k) values.

    Raises:
        ValueError: integers beyond 32 bits, which VTK images cannot hold.
    """
    scalars, view = _allocated(STORABLE.get(values.dtype, values.dtype), values.shape[::-1], 1)
    view[...] = values.transpose(2, 1, 0)
    if values.dtype == np.int64 and not np.array_equal(view, values.transpose(2, 1, 0)):
        raise ValueError(f"Integer voxels must lie within 32 bits, got up to {np.abs(values).max()}: rescale the image.")
    return _image(scalars, values.shape)


def vtk_vectors(vectors: np.ndarray, signs: tuple[float, float, float]) -> Any:
    """A vtkImageData of unit spacing with a float32 copy of vectors (3, i, j, k), each component times its sign."""
    scalars, view = _allocated(np.dtype(np.float32), vectors.shape[:0:-1], 3)
    view[...] = vectors.T  # a copy of bytes where the first axes run fastest, as in the worker's files
    for axis, sign in enumerate(signs):
        if sign != 1:
            view[..., axis] *= np.float32(sign)
    return _image(scalars, vectors.shape[1:])


def _allocated(kind: Any, shape: tuple[int, ...], components: int) -> tuple[Any, np.ndarray]:
    """A VTK array and numpy's view of its memory, in the shape (k, j, i) or (k, j, i, components)."""
    scalars = vtk.vtkDataArray.CreateDataArray(get_vtk_array_type(kind))
    scalars.SetNumberOfComponents(components)
    scalars.SetNumberOfTuples(int(np.prod(shape)))
    return scalars, vtk_to_numpy(scalars).reshape(shape if components == 1 else (*shape, components))


def _image(scalars: Any, shape: tuple[int, ...]) -> Any:
    data = vtk.vtkImageData()
    data.SetDimensions(*shape)
    data.GetPointData().SetScalars(scalars)
    return data


def array_of_matrix(matrix: Any) -> np.ndarray:
    """A vtkMatrix4x4 as a 4x4 array."""
    return np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])


def matrix_of(array: np.ndarray) -> Any:
    """A 4x4 array as a vtkMatrix4x4."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, dtype=np.float64).ravel().tolist())
    return matrix
