"""A scene of the real MRML libraries without the desktop application: for tests marked `slicer`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SpatialRegularizationLib.geometry import Grid

LOGICS = ("vtkSlicerVolumesLogic", "vtkSlicerTransformLogic", "vtkSlicerMarkupsLogic", "vtkSlicerModelsLogic")
STORAGE = {
    "vtkMRMLScalarVolumeNode": "vtkMRMLVolumeArchetypeStorageNode",
    "vtkMRMLLabelMapVolumeNode": "vtkMRMLVolumeArchetypeStorageNode",
    "vtkMRMLTransformNode": "vtkMRMLTransformStorageNode",
    "vtkMRMLModelNode": "vtkMRMLModelStorageNode",
    "vtkMRMLMarkupsFiducialNode": "vtkMRMLMarkupsJsonStorageNode",
}
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Scene:
    """A MRML scene with the logics that register its node classes; everything that it returns is LPS."""

    def __init__(self, slicer: Any) -> None:
        self.slicer = slicer
        self.mrml = slicer.vtkMRMLScene()
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetMRMLScene(self.mrml)
        self.logics = []
        for name in LOGICS:
            logic = getattr(slicer, name)()
            logic.SetMRMLScene(self.mrml)
            logic.SetMRMLApplicationLogic(self.application)
            self.logics.append(logic)

    def read(self, node_class: str, path: Path) -> Any:
        """A new node with the content of a file."""
        node = self.mrml.AddNewNodeByClass(node_class)
        if node_class == "vtkMRMLMarkupsFiducialNode" and path.suffix == ".fcsv":
            storage = self.mrml.AddNewNodeByClass("vtkMRMLMarkupsFiducialStorageNode")
        else:
            storage = self.mrml.AddNewNodeByClass(STORAGE[node_class])
        storage.SetFileName(str(path))
        assert storage.ReadData(node), f"Slicer does not read {path.name}"
        return node

    def write(self, node: Any, path: Path) -> None:
        """Write a node as the application would."""
        storage = node.CreateDefaultStorageNode()
        storage.SetFileName(str(path))
        assert storage.WriteData(node), f"Slicer does not write {path.name}"

    def transform(self, path: Path) -> Any:
        """A transform node from a file, its grids set to linear interpolation (files are read as cubic)."""
        node = self.read("vtkMRMLTransformNode", path)
        for part in self.parts(node.GetTransformFromParent()):
            if part.IsA("vtkGridTransform"):
                part.SetInterpolationModeToLinear()
        return node

    def parts(self, transform: Any) -> list[Any]:
        """The transforms that a general transform is made of, or the transform itself.

        A general transform just read from a file may know its parts only after an update.
        """
        transform.Update()
        if not transform.IsA("vtkGeneralTransform"):
            return [transform]
        count = transform.GetNumberOfConcatenatedTransforms()
        return [part for n in range(count) for part in self.parts(transform.GetConcatenatedTransform(n))]

    def from_parent(self, node: Any, points: np.ndarray) -> np.ndarray:
        """Points (n, 3) LPS through the node's TransformFromParent."""
        return self._through(node.GetTransformFromParent(), points)

    def to_parent(self, node: Any, points: np.ndarray) -> np.ndarray:
        """Points (n, 3) LPS through the node's TransformToParent."""
        return self._through(node.GetTransformToParent(), points)

    def grid(self, volume: Any) -> Grid:
        """The grid of a volume node."""
        import vtk

        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        affine = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
        return Grid.from_affine(RAS_FROM_LPS @ affine, volume.GetImageData().GetDimensions())

    def array(self, volume: Any) -> np.ndarray:
        """The voxels (i, j, k) of a volume node."""
        return self.slicer.util.arrayFromVolume(volume).transpose(2, 1, 0)

    def resampled(self, volume: Any, transform: Any, reference: Any) -> tuple[np.ndarray, Grid]:
        """The volume under a transform node, resampled by Slicer onto a reference volume."""
        volume.SetAndObserveTransformNodeID(transform.GetID())
        out = self.slicer.vtkSlicerVolumesLogic.ResampleVolumeToReferenceVolume(volume, reference)
        return self.array(out), self.grid(out)

    def _through(self, transform: Any, points: np.ndarray) -> np.ndarray:
        flip = np.array([-1.0, -1.0, 1.0])
        return np.array([transform.TransformPoint(*(p * flip)) for p in points]) * flip


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A fresh scene; skips where slicer-core is absent."""
    slicer = pytest.importorskip("slicer", reason="needs the slicer-core package")
    made = Scene(slicer)
    yield made
    made.mrml.Clear(True)
