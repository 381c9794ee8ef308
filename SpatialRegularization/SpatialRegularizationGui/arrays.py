"""Numpy arrays ⇄ VTK images and matrices, without a word about where anything lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import get_vtk_array_type, numpy_to_vtk, vtk_to_numpy

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
    stored = values.astype(STORABLE[values.dtype]) if values.dtype in STORABLE else values
    if values.dtype == np.int64 and not np.array_equal(stored, values):
        raise ValueError(f"Integer voxels must lie within 32 bits, got up to {np.abs(values).max()}: rescale the image.")
    flat = stored.transpose(2, 1, 0).reshape(-1)
    data = vtk.vtkImageData()
    data.SetDimensions(*values.shape)
    data.GetPointData().SetScalars(numpy_to_vtk(flat, deep=1, array_type=get_vtk_array_type(flat.dtype)))
    return data


def array_of_matrix(matrix: Any) -> np.ndarray:
    """A vtkMatrix4x4 as a 4x4 array."""
    return np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])


def matrix_of(array: np.ndarray) -> Any:
    """A 4x4 array as a vtkMatrix4x4."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, dtype=np.float64).ravel().tolist())
    return matrix
