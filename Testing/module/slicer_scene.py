"""The real MRML libraries without the desktop application: a scene, its logics, and doubles of what only the application has.

    host = Application()            # a scene with everything that reading, saving and showing needs
    host.install()                  # slicer.mrmlScene, slicer.app and slicer.modules lead to it
    second = Application()          # another scene, independent of the first

Positions that this file returns are millimetres LPS, as in the library; nothing of the product is used to convert them.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np

from SpatialRegularizationLib.geometry.grid import Grid

LOGICS = {
    "colors": ("Colors", "vtkSlicerColorLogic"),
    "volumes": ("Volumes", "vtkSlicerVolumesLogic"),
    "transforms": ("Transforms", "vtkSlicerTransformLogic"),
    "segmentations": ("Segmentations", "vtkSlicerSegmentationsModuleLogic"),
    "markups": ("Markups", "vtkSlicerMarkupsLogic"),
    "models": ("Models", "vtkSlicerModelsLogic"),
    "sequences": ("Sequences", "vtkSlicerSequencesLogic"),
    "subjecthierarchy": ("SubjectHierarchy", "vtkSlicerSubjectHierarchyModuleLogic"),
}
"""Name in slicer.modules → name in the application logic, class. Registering a logic registers its node classes."""

FILE_TYPES = {
    "VolumeFile": ("vtkMRMLScalarVolumeNode", "vtkMRMLVolumeArchetypeStorageNode"),
    "TransformFile": ("vtkMRMLTransformNode", "vtkMRMLTransformStorageNode"),
    "SegmentationFile": ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode"),
    "ModelFile": ("vtkMRMLModelNode", "vtkMRMLModelStorageNode"),
    "MarkupsFile": ("vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsJsonStorageNode"),
}
"""What `slicer.util.load…` asks for → class of the node, class that reads it."""

STORAGE = {
    **{node: storage for node, storage in FILE_TYPES.values()},
    "vtkMRMLLabelMapVolumeNode": "vtkMRMLVolumeArchetypeStorageNode",
}
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
FLIP = np.array([-1.0, -1.0, 1.0])


class Application:
    """A scene with application logic and module logics. Keep it: the scene dies with it."""

    def __init__(self) -> None:
        import slicer
        import vtk

        self.slicer = slicer
        self.mrml = slicer.vtkMRMLScene()
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-scene-")
        self.temporary = Path(self._folder.name)
        self.logic = slicer.vtkSlicerApplicationLogic()
        self.logic.SetMRMLScene(self.mrml)
        self.logic.SetTemporaryPath(self._folder.name)
        self.logic.SetSliceLogics(vtk.vtkCollection())
        self.logic.SetViewLogics(vtk.vtkCollection())
        colors = self.logic.GetColorLogic()
        colors.SetMRMLScene(self.mrml)
        colors.AddDefaultColorNodes()
        self._start_data_manager()
        self.logics = {key: self._started(name, getattr(slicer, kind)()) for key, (name, kind) in LOGICS.items()}
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.mrml, True)
        self.files = FileManager(self)

    def install(self) -> Any:
        """Make this the application of the process; returns `slicer`."""
        slicer = self.slicer
        slicer.mrmlScene = self.mrml
        for kind in (slicer.vtkMRMLSliceViewDisplayableManagerFactory, slicer.vtkMRMLThreeDViewDisplayableManagerFactory):
            kind.GetInstance().SetMRMLApplicationLogic(self.logic)
        slicer.modules = types.SimpleNamespace(
            **{
                key: types.SimpleNamespace(name=key, logic=lambda logic=logic: logic)
                for key, logic in self.logics.items()
            }
        )
        slicer.app = types.SimpleNamespace(
            applicationLogic=lambda: self.logic,
            mrmlScene=lambda: self.mrml,
            coreIOManager=lambda: self.files,
            layoutManager=lambda: None,
            processEvents=lambda: None,
            testingEnabled=lambda: True,
            temporaryPath=self._folder.name,
            cachePath=self._folder.name,
            majorVersion=5,
            minorVersion=13,
            commandOptions=lambda: types.SimpleNamespace(noMainWindow=True),
        )
        return slicer

    def close(self) -> None:
        """Empty the scene and delete the temporary folder."""
        self.mrml.Clear(True)
        self._folder.cleanup()

    def add(self, node_class: str, name: str = "") -> Any:
        """A new node of the scene."""
        return self.mrml.AddNewNodeByClass(node_class, name) if name else self.mrml.AddNewNodeByClass(node_class)

    def nodes(self, node_class: str = "vtkMRMLNode") -> list[Any]:
        """The nodes of a class, in the order of the scene."""
        return [self.mrml.GetNthNodeByClass(n, node_class) for n in range(self.mrml.GetNumberOfNodesByClass(node_class))]

    def named(self, name: str, node_class: str = "vtkMRMLNode") -> Any:
        """The one node of a class with this name."""
        (found,) = [node for node in self.nodes(node_class) if node.GetName() == name]
        return found

    def fingerprint(self) -> str:
        """A text that changes with any node, attribute, reference, voxel, control point or displacement of the scene."""
        self.mrml.SetSaveToXMLString(1)
        self.mrml.Commit()
        self.mrml.SetSaveToXMLString(0)
        text = re.sub(r'(modified|lastModified|version)="[^"]*"', "", self.mrml.GetSceneXMLString())
        return "\n".join([text, *(f"{node.GetID()} {_content(node)}" for node in self.nodes())])

    def read(self, node_class: str, path: Path) -> Any:
        """A new node with the content of a file."""
        node = self.add(node_class)
        old_points = node_class == "vtkMRMLMarkupsFiducialNode" and path.suffix == ".fcsv"
        storage = self.add("vtkMRMLMarkupsFiducialStorageNode" if old_points else STORAGE[node_class])
        storage.SetFileName(str(path))
        assert storage.ReadData(node), f"Slicer does not read {path.name}"
        return node

    def write(self, node: Any, path: Path) -> None:
        """Write a node as the application would."""
        storage = node.CreateDefaultStorageNode()
        storage.SetFileName(str(path))
        assert storage.WriteData(node), f"Slicer does not write {path.name}"

    def save(self, path: Path) -> None:
        """The scene as a bundle (.mrb)."""
        self.mrml.SetURL(str(path))
        self.mrml.SetRootDirectory(str(path.parent))
        assert self.mrml.WriteToMRB(str(path)), f"Slicer does not save {path.name}"

    def load(self, path: Path) -> None:
        """Replace the scene by a bundle (.mrb)."""
        assert self.mrml.ReadFromMRB(str(path), True), f"Slicer does not load {path.name}"

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
        """Points (n, 3) through the node's TransformFromParent."""
        return _through(node.GetTransformFromParent(), points)

    def to_parent(self, node: Any, points: np.ndarray) -> np.ndarray:
        """Points (n, 3) through the node's TransformToParent."""
        return _through(node.GetTransformToParent(), points)

    def grid(self, volume: Any) -> Grid:
        """The grid of a volume node, without its parents."""
        import vtk

        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        affine = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
        return Grid.from_affine(LPS_FROM_RAS @ affine, volume.GetImageData().GetDimensions())

    def array(self, volume: Any) -> np.ndarray:
        """The voxels (i, j, k) of a volume node."""
        return self.slicer.util.arrayFromVolume(volume).transpose(2, 1, 0)

    def resampled(self, volume: Any, transform: Any, reference: Any) -> tuple[np.ndarray, Grid]:
        """The volume under a transform node, resampled by Slicer onto a reference volume."""
        volume.SetAndObserveTransformNodeID(transform.GetID())
        out = self.slicer.vtkSlicerVolumesLogic.ResampleVolumeToReferenceVolume(volume, reference)
        return self.array(out), self.grid(out)

    def _start_data_manager(self) -> None:
        """Bundles can be read only where a data manager has a folder for its cache."""
        self._remote = self._attached(self.slicer.vtkMRMLRemoteIOLogic())
        self._data = self._attached(self.slicer.vtkDataIOManagerLogic())
        self._remote.GetCacheManager().SetRemoteCacheDirectory(self._folder.name)
        self._data.SetAndObserveDataIOManager(self._remote.GetDataIOManager())
        self._remote.AddDataIOToScene()

    def _attached(self, logic: Any) -> Any:
        logic.SetMRMLScene(self.mrml)
        logic.SetMRMLApplicationLogic(self.logic)
        return logic

    def _started(self, name: str, logic: Any) -> Any:
        self.logic.SetModuleLogic(name, self._attached(logic))
        return logic


class FileManager:
    """Double of the application's IO manager: what `slicer.util.load…` and `save…` call."""

    def __init__(self, host: Application) -> None:
        self._host = host

    def fileWriterFileType(self, node: Any) -> str:
        return "NodeFile"

    def loadNodes(self, file_type: str, properties: dict, loaded: Any, messages: Any) -> bool:
        path = Path(str(properties["fileName"]))
        if file_type == "SceneFile":
            return bool(self._host.mrml.ReadFromMRB(str(path), bool(properties.get("clear"))))
        node_class, storage_class = FILE_TYPES[file_type]
        node_class = "vtkMRMLLabelMapVolumeNode" if properties.get("labelmap") else node_class
        node = self._host.add(node_class, properties.get("name") or path.name.split(".")[0])
        storage = self._host.add(storage_class)
        storage.SetFileName(str(path))
        if not storage.ReadData(node):
            self._host.mrml.RemoveNode(storage)
            self._host.mrml.RemoveNode(node)
            return False
        node.SetAndObserveStorageNodeID(storage.GetID())
        node.CreateDefaultDisplayNodes()
        loaded.AddItem(node)
        return True

    def saveNodes(self, file_type: str, properties: dict, messages: Any) -> bool:
        path = Path(str(properties["fileName"]))
        if file_type == "SceneFile":
            self._host.save(path)
            return True
        node = self._host.mrml.GetNodeByID(properties["nodeID"])
        node.AddDefaultStorageNode(os.fspath(path))
        node.GetStorageNode().SetFileName(os.fspath(path))
        return bool(node.GetStorageNode().WriteData(node))


def _through(transform: Any, points: np.ndarray) -> np.ndarray:
    return np.array([transform.TransformPoint(*(p * FLIP)) for p in np.asarray(points)]) * FLIP


def _content(node: Any) -> str:
    """A digest of the bulk data of a node that does not stand in the scene's text."""
    from vtk.util.numpy_support import vtk_to_numpy

    arrays = []
    if node.IsA("vtkMRMLVolumeNode") and node.GetImageData() is not None:
        arrays.append(vtk_to_numpy(node.GetImageData().GetPointData().GetScalars()))
    elif node.IsA("vtkMRMLModelNode") and node.GetPolyData() is not None:
        arrays.append(vtk_to_numpy(node.GetPolyData().GetPoints().GetData()))
    elif node.IsA("vtkMRMLMarkupsNode"):
        arrays.append(np.array([node.GetNthControlPointPosition(n) for n in range(node.GetNumberOfControlPoints())]))
    elif node.IsA("vtkMRMLTransformNode") and node.GetTransformFromParent() is not None:
        probes = np.random.default_rng(0).uniform(-60, 60, (50, 3))
        arrays.append(np.array([node.GetTransformFromParent().TransformPoint(*p) for p in probes]))
    elif node.IsA("vtkMRMLSegmentationNode"):
        for n in range(node.GetSegmentation().GetNumberOfSegments()):
            image = node.GetBinaryLabelmapInternalRepresentation(node.GetSegmentation().GetNthSegmentID(n))
            if image is not None and image.GetPointData().GetScalars() is not None:
                arrays.append(vtk_to_numpy(image.GetPointData().GetScalars()))
                arrays.append(np.array([*image.GetExtent(), *image.GetOrigin(), *image.GetSpacing()]))
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest() if arrays else ""


_current: list[Application] = []


def start_slicer() -> Any:
    """`slicer` as inside the application: with mrmlScene, app and modules; the same scene at every call."""
    return (_current[0] if _current else fresh_scene()).slicer


def fresh_scene() -> Application:
    """A new scene, which becomes that of the process; the one before it is closed."""
    while _current:
        _current.pop().close()
    _current.append(Application())
    _current[0].install()
    return _current[0]
