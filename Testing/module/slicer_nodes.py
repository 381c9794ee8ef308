"""Nodes for tests of the module, made by Slicer and SimpleITK without a line of the product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import physical
import SimpleITK as sitk

from SpatialRegularizationLib.geometry import Grid

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def volume(scene: Any, grid: Grid, folder: Path, name: str = "image", labels: bool = False) -> Any:
    """`physical.image` or `physical.label_map` as a node that Slicer read from a file that SimpleITK wrote."""
    made = physical.label_map(grid).data[0].short() if labels else physical.image(grid).data[0].float()
    sitk.WriteImage(physical.itk_image(made.numpy(), grid), str(folder / f"{name}.nrrd"))
    node = scene.read("vtkMRMLLabelMapVolumeNode" if labels else "vtkMRMLScalarVolumeNode", folder / f"{name}.nrrd")
    node.SetName(name)
    return node


def linear(scene: Any, matrix: np.ndarray, name: str = "linear") -> Any:
    """A linear transform node whose matrix to its parent is `matrix` (LPS)."""
    import vtk

    node = scene.add("vtkMRMLLinearTransformNode", name)
    made = vtk.vtkMatrix4x4()
    made.DeepCopy((FLIP @ matrix @ FLIP).ravel().tolist())
    node.SetMatrixTransformToParent(made)
    return node


def rigid(seed: int = 0) -> np.ndarray:
    """A rotation about the world's origin and a shift of some millimeters."""
    random = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = physical.rotation(*random.uniform(-0.4, 0.4, 3))
    matrix[:3, 3] = random.uniform(-8, 8, 3)
    return matrix


def segmentation(scene: Any, label_map: Any, names: dict[int, str], name: str = "segments") -> Any:
    """A segmentation of a label map, its segments named by value."""
    slicer = scene.slicer
    node = scene.add("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    assert slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(label_map, node, "")
    node.SetReferenceImageGeometryParameterFromVolumeNode(label_map)
    content = node.GetSegmentation()
    values = sorted(names)
    assert content.GetNumberOfSegments() == len(values)
    for n in range(content.GetNumberOfSegments()):
        content.GetNthSegment(n).SetName(names[content.GetNthSegment(n).GetLabelValue()])
    return node


def segment(node: Any, name: str) -> tuple[np.ndarray, Grid]:
    """1 inside of a segment and the lattice of its own layer, LPS, without parents of the node."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    content = node.GetSegmentation()
    found = content.GetSegment(content.GetSegmentIdBySegmentName(name))
    layer, matrix = found.GetRepresentation("Binary labelmap"), vtk.vtkMatrix4x4()
    layer.GetImageToWorldMatrix(matrix)
    affine = FLIP @ np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    affine[:, 3] = affine @ [*layer.GetExtent()[::2], 1]
    values = vtk_to_numpy(layer.GetPointData().GetScalars()).reshape(layer.GetDimensions()[::-1]).transpose(2, 1, 0)
    return (values == found.GetLabelValue()).astype(np.uint8), Grid.from_affine(affine, layer.GetDimensions())


def markups(scene: Any, points: np.ndarray, name: str = "points", kind: str = "vtkMRMLMarkupsFiducialNode") -> Any:
    """A list of points (n, 3) LPS, or another kind of markups through as many of them as it takes."""
    node = scene.add(kind, name)
    for position in points:
        node.AddControlPoint(*(np.asarray(position) * [-1, -1, 1]))
    return node


def sphere(scene: Any, center: np.ndarray, radius: float = 8.0, name: str = "sphere") -> Any:
    """A model around a center, LPS."""
    import vtk

    source = vtk.vtkSphereSource()
    source.SetCenter(*(np.asarray(center) * [-1, -1, 1]))
    source.SetRadius(radius)
    source.SetThetaResolution(24)
    source.SetPhiResolution(24)
    source.Update()
    node = scene.add("vtkMRMLModelNode", name)
    node.SetAndObservePolyData(source.GetOutput())
    node.CreateDefaultDisplayNodes()
    return node


def sequence(scene: Any, frames: list[Any], name: str = "sequence", browser: bool = True) -> tuple[Any, Any]:
    """A sequence with copies of nodes as frames, and its browser (None without)."""
    node = scene.add("vtkMRMLSequenceNode", name)
    for number, frame in enumerate(frames):
        node.SetDataNodeAtValue(frame, str(number))
    if not browser:
        return node, None
    shown = scene.add("vtkMRMLSequenceBrowserNode", f"{name} browser")
    shown.SetAndObserveMasterSequenceNodeID(node.GetID())
    scene.logics["sequences"].UpdateProxyNodesFromSequences(shown)
    return node, shown


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Overlap of two masks, 0 to 1."""
    return float(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))


def far(a: np.ndarray, b: np.ndarray) -> float:
    """Largest absolute difference."""
    return float(np.abs(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)).max())
