"""The test support itself: a fingerprint that misses a change would make every comparison of scenes worthless."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import physical
import pytest
import slicer_nodes as nodes

pytestmark = pytest.mark.slicer


def _voxel(scene: Any) -> None:
    scene.slicer.util.arrayFromVolume(scene.named("v"))[3, 3, 3] += 1


def _displacement(scene: Any) -> None:
    scene.slicer.util.arrayFromGridTransform(scene.named("t"))[:, :, :, 1] += 0.01


def _segment(scene: Any) -> None:
    segments = scene.named("segments")
    first = segments.GetSegmentation().GetNthSegmentID(0)
    scene.slicer.util.arrayFromSegmentInternalBinaryLabelmap(segments, first)[0, 0, 0] += 1


def _item(scene: Any) -> None:
    hierarchy = scene.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene.mrml)
    hierarchy.SetItemAttribute(hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "F"), "a", "b")


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a name": lambda scene: scene.named("v").SetName("w"),
    "an attribute": lambda scene: scene.named("v").SetAttribute("a", "b"),
    "a voxel": _voxel,
    "a place": lambda scene: scene.named("v").SetOrigin(1, 2, 3),
    "a parent": lambda scene: scene.named("v").SetAndObserveTransformNodeID(scene.named("t").GetID()),
    "a reference": lambda scene: scene.named("t").SetNodeReferenceID("role", scene.named("v").GetID()),
    "a displacement": _displacement,
    "a point": lambda scene: scene.named("points").SetNthControlPointPosition(0, 1, 2, 3),
    "a model's point": lambda scene: scene.named("sphere").GetMesh().GetPoints().SetPoint(5, 1, 2, 3),
    "a segment": _segment,
    "a display": lambda scene: scene.named("sphere").GetDisplayNode().SetOpacity(0.5),
    "a folder": _item,
    "one more node": lambda scene: scene.add("vtkMRMLTextNode"),
    "one node less": lambda scene: scene.mrml.RemoveNode(scene.named("points")),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_the_fingerprint_of_a_scene_changes_with(scene: Any, tmp_path: Path, change: str) -> None:
    from SpatialRegularizationGui.scene.nodes import set_transform

    grid = physical.grid("oblique")
    nodes.volume(scene, grid, tmp_path, "v")
    set_transform(scene.add("vtkMRMLTransformNode", "t"), np.eye(4), physical.bump_field(grid).vectors.numpy(), grid)
    nodes.markups(scene, physical.inner_points(grid, 2))
    nodes.sphere(scene, physical.CENTER)
    nodes.segmentation(scene, nodes.volume(scene, grid, tmp_path, "l", labels=True), {1: "a", 2: "b", 7: "c"})
    scene.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene.mrml)
    before = scene.fingerprint()
    assert scene.fingerprint() == before
    CHANGES[change](scene)
    assert scene.fingerprint() != before


def test_the_doubles_of_the_application_lead_to_one_scene(scene: Any, tmp_path: Path) -> None:
    """What `slicer.util` loads and saves goes through them."""
    from slicer_scene import start_slicer

    slicer = start_slicer()
    assert slicer.mrmlScene is scene.mrml
    assert slicer.app.mrmlScene() is scene.mrml
    assert slicer.modules.transforms.logic() is scene.logics["transforms"]
    node = nodes.volume(scene, physical.grid("oblique"), tmp_path, "v")
    assert slicer.util.saveNode(node, str(tmp_path / "saved.nrrd"))
    again = slicer.util.loadVolume(str(tmp_path / "saved.nrrd"))
    assert np.array_equal(slicer.util.arrayFromVolume(again), slicer.util.arrayFromVolume(node))
    assert slicer.util.saveScene(str(tmp_path / "s.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "s.mrb"))
    assert slicer.util.getNode("saved").GetClassName() == "vtkMRMLScalarVolumeNode"
