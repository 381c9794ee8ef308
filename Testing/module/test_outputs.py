"""Results in the user's nodes: everything or nothing, the same nodes again, undone without a trace, saved with the scene."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import physical
import pytest
import slicer_nodes as nodes
from slicer_nodes import far

pytestmark = pytest.mark.slicer

FACTS = {
    "settings": {"lambda_max": 2.0, "similarity": "lncc", "note": "α′ = 0.1; a \"quoted\" <word> & more: 50%"},
    "model": "per pair",
    "seconds": 1.5,
}
ALL = frozenset({"transform", "warped", "lambda_map", "jacobian", "magnitude"})


class Run:
    """A pair in the scene, and answers of a worker about it."""

    def __init__(self, scene: Any, folder: Path) -> None:
        from SpatialRegularizationGui.inputs import request
        from SpatialRegularizationGui.run import outputs
        from SpatialRegularizationGui.scene import nodes as gui

        self.scene, self.folder, self.gui, self.outputs = scene, folder, gui, outputs
        self.grid = physical.grid("oblique left-handed")
        self.transform = physical.transform(self.grid)
        self.fixed = nodes.volume(scene, self.grid, folder, "fixed")
        self.moving = nodes.volume(scene, physical.other_grid("LIA"), folder, "moving")
        self.moving.CreateDefaultDisplayNodes()
        self.request = request.RegistrationRequest(self.fixed, self.moving, outputs=request.Outputs(wanted=ALL))
        scene.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene.mrml)

    def answer(self, factor: float = 1.0, **changed: np.ndarray) -> dict[str, Any]:
        """What the worker would answer; `factor` scales everything."""
        warped = physical.grid("RAS", shape=(20, 21, 22))
        arrays = {
            "displacement": factor * self.transform.displacement.vectors.float().numpy(),
            "lambda": np.full((1, *self.grid.shape), factor, dtype=np.float32),
            "jacobian": np.full((1, *self.grid.shape), 1 + factor / 10, dtype=np.float32),
            "warped": factor * physical.image(warped).data.float().numpy(),
        } | changed
        paths = {}
        for name, values in arrays.items():
            paths[name] = str(self.folder / f"{name}-{factor}.npy")
            np.save(paths[name], values)
        return {
            "arrays": paths, "shape": list(self.grid.shape), "index_to_lps_mm": self.grid.affine.tolist(),
            "affine": self.transform.affine_matrix.tolist(),
            "warped_shape": list(warped.shape), "warped_index_to_lps_mm": warped.affine.tolist(),
        }  # fmt: skip

    def store(self, request: Any = None, facts: Any = None, **answer: Any) -> Any:
        found = self.outputs.Found.from_answer(self.answer(**answer))
        return self.outputs.store(self.scene.mrml, request or self.request, found, FACTS if facts is None else facts)


@pytest.fixture
def run(scene: Any, tmp_path: Path) -> Run:
    return Run(scene, tmp_path)


def test_every_wanted_output_gets_a_node_with_the_result(run: Run) -> None:
    made = run.store().outputs.nodes
    assert set(made) == ALL
    points = physical.inner_points(run.grid)
    expected = physical.itk_points(physical.itk_transform(run.transform), points)
    assert far(run.scene.from_parent(made["transform"], points), expected) < 1e-4
    assert made["warped"].GetName() == "Registered moving to fixed"
    assert far(run.gui.image_of(made["lambda_map"]).values, 1.0) == 0
    assert run.gui.image_of(made["jacobian"]).grid.matches(run.grid)
    assert run.gui.image_of(made["warped"]).grid.shape == (20, 21, 22)
    assert {name: node.GetAttribute("SpatialRegularization.Role") for name, node in made.items()} == {n: n for n in made}


def test_the_names_of_all_nodes_of_one_run_differ_in_their_first_word(run: Run) -> None:
    """A selector shows the first twenty letters or so: long names of volumes push what comes later out of it."""
    run.scene.named("moving").SetName("T1 weighted, second visit, contrast agent")
    names = [node.GetName() for node in run.store().outputs.nodes.values()]
    assert len({name.split()[0] for name in names}) == len(names) == 5
    assert all("second visit" in name for name in names)


def test_the_magnitude_is_how_far_points_of_the_fixed_image_go(run: Run) -> None:
    image = run.gui.image_of(run.store().outputs.magnitude)
    index = np.random.default_rng(0).integers(0, run.grid.shape, (100, 3))
    points = run.grid.index_to_point(index)
    moved = physical.itk_points(physical.itk_transform(run.transform), points)
    assert far(image.values[tuple(index.T)], np.linalg.norm(moved - points, axis=1)) < 1e-3


def test_a_single_grid_holds_the_whole_map_at_its_voxels(run: Run) -> None:
    request = replace(run.request, outputs=replace(run.request.outputs, composite=False))
    node = run.store(request).outputs.transform
    assert run.scene.slicer.util.arrayFromGridTransform(node).shape == (*run.grid.shape[::-1], 3)
    points = run.grid.index_to_point(np.random.default_rng(0).integers(1, np.array(run.grid.shape) - 1, (100, 3)))
    assert far(run.scene.from_parent(node, points), physical.itk_points(physical.itk_transform(run.transform), points)) < 1e-3


def test_what_is_not_wanted_is_neither_made_nor_changed(run: Run) -> None:
    given = run.scene.add("vtkMRMLScalarVolumeNode", "mine")
    kept = replace(run.request.outputs, jacobian=given, wanted=frozenset({"transform"}))
    volumes = len(run.scene.nodes("vtkMRMLVolumeNode"))
    stored = run.store(replace(run.request, outputs=kept))
    assert len(run.scene.nodes("vtkMRMLVolumeNode")) == volumes
    assert given.GetImageData() is None
    assert stored.outputs.transform is not None


def test_the_nodes_do_not_depend_on_the_workers_files(run: Run) -> None:
    made = run.store().outputs
    before = run.scene.fingerprint()
    run.store(replace(run.request, outputs=replace(run.request.outputs, wanted=frozenset())), facts={})
    for path in run.answer()["arrays"].values():
        np.load(path, mmap_mode="r+")[...] = -7
    assert run.scene.fingerprint() == before
    assert far(run.gui.image_of(made.lambda_map).values, 1.0) == 0


def test_a_second_run_updates_the_same_nodes_in_the_same_folder(run: Run) -> None:
    first = run.store()
    count = len(run.scene.nodes())
    hierarchy = run.scene.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(run.scene.mrml)
    second = run.store(replace(run.request, outputs=first.outputs), {"model": "other", "preview": True}, factor=0.5)
    assert second.outputs == first.outputs
    assert second.folder_item == first.folder_item
    assert len(run.scene.nodes()) == count
    assert far(run.gui.image_of(second.outputs.lambda_map).values, 0.5) == 0
    names = {name for name in hierarchy.GetItemAttributeNames(second.folder_item) if name.startswith("Spatial")}
    assert names == {f"SpatialRegularization.{n}" for n in ("Folder", "Fixed", "Moving", "Model", "Preview")}
    transform = second.outputs.transform
    assert transform.GetAttribute("SpatialRegularization.Settings") is None
    assert transform.GetAttribute("SpatialRegularization.Model") == "other"


def test_the_folder_holds_the_nodes_and_the_settings(run: Run) -> None:
    stored = run.store()
    hierarchy = run.scene.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(run.scene.mrml)
    for node in stored.outputs.nodes.values():
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == stored.folder_item
    assert hierarchy.GetItemName(stored.folder_item) == "Registration of moving to fixed"
    for text in (
        hierarchy.GetItemAttribute(stored.folder_item, "SpatialRegularization.Settings"),
        stored.outputs.transform.GetAttribute("SpatialRegularization.Settings"),
    ):
        assert json.loads(text) == FACTS["settings"]
    role = run.scene.slicer.vtkMRMLTransformNode.GetMovingNodeReferenceRole()
    assert stored.outputs.transform.GetNodeReference(role) is run.moving


def test_nodes_in_a_folder_of_the_user_stay_there(run: Run) -> None:
    hierarchy = run.scene.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(run.scene.mrml)
    mine = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "mine")
    volume = run.scene.add("vtkMRMLScalarVolumeNode", "v")
    hierarchy.CreateItem(mine, volume)
    stored = run.store(replace(run.request, outputs=replace(run.request.outputs, jacobian=volume)))
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volume)) == mine
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(stored.outputs.transform)) == stored.folder_item != mine


def test_another_pair_gets_a_folder_and_nodes_of_its_own(run: Run) -> None:
    first = run.store()
    second = run.store()
    assert first.folder_item != second.folder_item
    names = [node.GetName() for node in (*first.outputs.nodes.values(), *second.outputs.nodes.values())]
    assert len(set(names)) == 10


def test_undo_removes_what_was_made(run: Run) -> None:
    before = run.scene.fingerprint()
    stored = run.store()
    assert run.scene.fingerprint() != before
    stored.undo.restore()
    assert run.scene.fingerprint() == before


def test_undo_brings_back_what_the_nodes_held(run: Run) -> None:
    first = run.store()
    first.outputs.jacobian.SetName("my Jacobian")
    first.outputs.jacobian.GetDisplayNode().SetWindowLevelMinMax(0.5, 1.5)
    first.outputs.transform.SetAttribute("mine", "kept")
    run.moving.SetAndObserveTransformNodeID(first.outputs.transform.GetID())
    before = run.scene.fingerprint()
    second = run.store(replace(run.request, outputs=first.outputs), {"model": "other"}, factor=0.5)
    second.outputs.jacobian.GetDisplayNode().SetWindowLevelMinMax(0, 9)
    assert run.scene.fingerprint() != before
    second.undo.restore()
    assert run.scene.fingerprint() == before
    second.undo.restore()
    assert run.scene.fingerprint() == before, "the second time there is nothing to put back"


def test_outputs_under_a_transform_come_back_under_it(run: Run) -> None:
    first = run.store()
    mover = nodes.linear(run.scene, nodes.rigid())
    first.outputs.warped.SetAndObserveTransformNodeID(mover.GetID())
    before = run.scene.fingerprint()
    second = run.store(replace(run.request, outputs=first.outputs))
    assert second.outputs.warped.GetParentTransformNode() is None
    second.undo.restore()
    assert run.scene.fingerprint() == before


def test_empty_nodes_of_the_user_are_empty_again_after_undo(run: Run) -> None:
    volume, transform = run.scene.add("vtkMRMLScalarVolumeNode", "v"), run.scene.add("vtkMRMLTransformNode", "t")
    given = replace(run.request.outputs, lambda_map=volume, transform=transform, wanted=frozenset({"lambda_map", "transform"}))
    before = run.scene.fingerprint()
    stored = run.store(replace(run.request, outputs=given))
    assert volume.GetDisplayNode() is not None
    stored.undo.restore()
    assert run.scene.fingerprint() == before
    assert volume.GetImageData() is None


@pytest.mark.parametrize("again", [False, True])
def test_a_result_that_does_not_fit_leaves_every_node_as_it_was(run: Run, again: bool) -> None:
    """The Jacobian, the last but one that is filled, has values that no volume node can hold."""
    request = replace(run.request, outputs=run.store().outputs) if again else run.request
    before = run.scene.fingerprint()
    with pytest.raises(ValueError, match="32 bits"):
        run.store(request, factor=0.5, jacobian=np.full((1, *run.grid.shape), 2**40))
    assert run.scene.fingerprint() == before


def test_a_deleted_node_stays_deleted_after_undo(run: Run) -> None:
    first = run.store()
    second = run.store(replace(run.request, outputs=first.outputs), factor=0.5)
    run.scene.mrml.RemoveNode(second.outputs.jacobian)
    second.undo.restore()
    assert first.outputs.jacobian.GetScene() is None
    assert far(run.gui.image_of(first.outputs.lambda_map).values, 1.0) == 0


def test_outputs_folder_and_settings_survive_a_bundle(run: Run, tmp_path: Path) -> None:
    from slicer_scene import Application

    stored = run.store()
    points = physical.inner_points(run.grid)
    expected = run.scene.from_parent(stored.outputs.transform, points)
    run.scene.save(tmp_path / "s.mrb")
    other = Application()
    try:
        other.load(tmp_path / "s.mrb")
        transform = other.named("Transform of moving to fixed", "vtkMRMLTransformNode")
        cubic = far(other.from_parent(transform, points), expected)
        run.outputs.restore_interpolation(other.mrml)
        assert far(other.from_parent(transform, points), expected) < 1e-4 < cubic
        assert json.loads(transform.GetAttribute("SpatialRegularization.Settings")) == FACTS["settings"]
        folder = run.outputs.folder_of(transform)
        hierarchy = other.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(other.mrml)
        assert json.loads(hierarchy.GetItemAttribute(folder, "SpatialRegularization.Settings")) == FACTS["settings"]
        lambda_map = other.named("Lambda of moving to fixed", "vtkMRMLVolumeNode")
        assert far(run.gui.image_of(lambda_map).values, 1.0) == 0
        assert run.outputs.folder_of(lambda_map) == folder
    finally:
        other.close()


def test_two_scenes_do_not_mix(run: Run, tmp_path: Path) -> None:
    from slicer_scene import Application

    other = Application()
    try:
        there = Run(other, tmp_path)
        before = run.scene.fingerprint()
        made = there.store().outputs
        assert run.scene.fingerprint() == before
        assert all(node.GetScene() is other.mrml for node in made.nodes.values())
    finally:
        other.close()


def test_an_inverse_node_follows_a_new_result_and_its_undo(run: Run) -> None:
    from SpatialRegularizationGui.scene.apply_to import apply_to

    first = run.store()
    markups = nodes.markups(run.scene, physical.inner_points(run.grid, 3))
    apply_to(first.outputs.transform, [markups], inverse=True)
    inverse, points = markups.GetParentTransformNode(), physical.inner_points(run.grid)
    before = run.scene.fingerprint()
    second = run.store(replace(run.request, outputs=first.outputs), factor=0.5)
    assert far(run.scene.to_parent(inverse, points), run.scene.from_parent(first.outputs.transform, points)) < 1e-5
    second.undo.restore()
    assert run.scene.fingerprint() == before
    expected = physical.itk_points(physical.itk_transform(run.transform), points)
    assert far(run.scene.to_parent(inverse, points), expected) < 1e-4
