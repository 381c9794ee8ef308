"""Nodes of a request as files for the worker, read back by the library; and what is wrong with a request, in sentences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import physical
import pytest
import slicer_nodes as nodes
import torch
from slicer_nodes import far

from SpatialRegularizationLib.io.companions import pair_landmarks
from SpatialRegularizationLib.io.points import read_landmarks
from SpatialRegularizationLib.io.transforms import read_transform
from SpatialRegularizationLib.io.volumes import read_volume
from SpatialRegularizationLib.transforms.resample import resample_labels

pytestmark = pytest.mark.slicer

NAMES = {1: "body", 2: "core", 7: "stone"}


class Pair:
    """Two volumes of the scene and a request of them."""

    def __init__(self, scene: Any, folder: Path, orientation: str = "oblique left-handed") -> None:
        from SpatialRegularizationGui.inputs import files, request

        self.scene, self.folder, self.files, self.request_of = scene, folder, files, request
        self.grid, self.other = physical.grid(orientation), physical.other_grid("LIA")
        self.fixed = nodes.volume(scene, self.grid, folder, "fixed")
        self.moving = nodes.volume(scene, self.other, folder, "moving")

    def request(self, **changed: Any) -> Any:
        return replace(self.request_of.RegistrationRequest(self.fixed, self.moving), **changed)

    def export(self, **changed: Any) -> dict[str, Path]:
        made = self.folder / "job"
        made.mkdir(exist_ok=True)
        request = self.request(**changed)
        self.files.check_inputs(request)
        return self.files.export_inputs(request, made)

    def refused(self, **changed: Any) -> str:
        with pytest.raises(ValueError, match=r".") as caught:
            self.files.check_inputs(self.request(**changed))
        return str(caught.value)

    def warp(self, name: str = "warp") -> Any:
        from SpatialRegularizationGui.scene.nodes import set_transform

        node = self.scene.add("vtkMRMLTransformNode", name)
        set_transform(node, np.eye(4), physical.bump_field(self.grid).vectors.numpy(), self.grid)
        return node


@pytest.fixture
def pair(scene: Any, tmp_path: Path) -> Pair:
    return Pair(scene, tmp_path)


@pytest.mark.parametrize("orientation", sorted(physical.DIRECTIONS))
def test_the_library_reads_the_images_where_slicer_shows_them(scene: Any, tmp_path: Path, orientation: str) -> None:
    """A rigid parent of the moving volume is composed; Slicer's own hardening is the oracle."""
    pair = Pair(scene, tmp_path, orientation)
    pair.moving.SetAndObserveTransformNodeID(nodes.linear(scene, nodes.rigid(1)).GetID())
    paths = pair.export()
    assert set(paths) == {"fixed", "moving"}
    pair.moving.HardenTransform()
    for name in paths:
        node, read = getattr(pair, name), read_volume(paths[name])
        assert read.grid.matches(scene.grid(node), tolerance=1e-4)
        assert np.array_equal(read.data[0].numpy(), scene.array(node).astype(np.float32))


def test_a_volume_below_the_output_of_an_earlier_run_is_read_as_if_it_were_not(pair: Pair) -> None:
    output = pair.warp("output")
    pair.moving.SetAndObserveTransformNodeID(output.GetID())
    assert "not linear" in pair.refused()
    outputs = pair.request_of.Outputs(transform=output)
    read = read_volume(pair.export(outputs=outputs)["moving"])
    assert read.grid.matches(pair.scene.grid(pair.moving))


def test_label_maps_keep_their_values_on_the_grid_of_their_image(pair: Pair) -> None:
    """The moving labels have a lattice of their own: nearest voxel."""
    own = physical.grid("RAS", shape=(50, 60, 40), spacing=(1.2, 1.1, 1.7))
    labels = {
        "fixed_labels": nodes.volume(pair.scene, pair.grid, pair.folder, "fl", labels=True),
        "moving_labels": nodes.volume(pair.scene, own, pair.folder, "ml", labels=True),
    }
    paths = pair.export(**labels)
    fixed, moving = (read_volume(paths[name], labels=True) for name in labels)
    assert np.array_equal(fixed.data[0].numpy(), pair.scene.array(labels["fixed_labels"]))
    where = pair.scene.grid(pair.moving)
    assert moving.grid.matches(where)
    expected = resample_labels(physical.label_map(own), None, where)
    assert int((moving.data != expected.data).sum()) <= 5


def test_segments_are_matched_by_name_not_by_number(pair: Pair) -> None:
    maps = [nodes.volume(pair.scene, g, pair.folder, n, labels=True) for g, n in ((pair.grid, "a"), (pair.other, "b"))]
    fixed = nodes.segmentation(pair.scene, maps[0], NAMES, "fixed segments")
    moving = nodes.segmentation(pair.scene, maps[1], {1: "core", 2: "body", 7: "only here"}, "moving segments")
    given = {"fixed_labels": fixed, "moving_labels": moving}
    paths = pair.export(**given)
    names = pair.files.label_names(pair.request(**given))
    assert sorted(names.values()) == ["body", "core", "only here", "stone"]
    values = {name: value for value, name in names.items()}
    read = {side: read_volume(paths[f"{side}_labels"], labels=True).data[0].numpy() for side in ("fixed", "moving")}
    for side, drawn, own in (("fixed", maps[0], NAMES), ("moving", maps[1], {1: "core", 2: "body", 7: "only here"})):
        for value, name in own.items():
            assert np.array_equal(read[side] == values[name], pair.scene.array(drawn) == value), (side, name)


def test_masks_are_what_is_above_zero_or_in_any_segment(pair: Pair) -> None:
    labels = nodes.volume(pair.scene, pair.other, pair.folder, "l", labels=True)
    segments = nodes.segmentation(pair.scene, labels, NAMES)
    paths = pair.export(fixed_mask=labels, moving_mask=segments)
    fixed, moving = (read_volume(paths[f"{side}_mask"]) for side in ("fixed", "moving"))
    drawn = pair.scene.array(labels) > 0
    assert np.array_equal(moving.data[0].numpy() > 0, drawn)
    expected = resample_labels(physical.label_map(pair.other), None, pair.scene.grid(pair.fixed)).data[0].numpy() > 0
    assert nodes.dice(fixed.data[0].numpy() > 0, expected) > 0.999
    assert set(torch.unique(fixed.data).tolist()) == {0.0, 1.0}


def test_a_segmentation_of_surfaces_alone_serves_as_mask_and_stays_as_it_is(pair: Pair) -> None:
    segments = pair.scene.add("vtkMRMLSegmentationNode", "surface")
    ball = nodes.sphere(pair.scene, physical.CENTER, 9.0)
    segments.AddSegmentFromClosedSurfaceRepresentation(ball.GetPolyData(), "ball", [1, 0, 0])
    before = pair.scene.fingerprint()
    read = read_volume(pair.export(fixed_mask=segments)["fixed_mask"])
    assert pair.scene.fingerprint() == before
    inside = np.linalg.norm(physical.voxel_centers(read.grid) - physical.CENTER, axis=-1) < 9.0
    assert nodes.dice(read.data[0].numpy() > 0, inside) > 0.9


def test_an_empty_mask_is_refused(pair: Pair) -> None:
    empty = nodes.volume(pair.scene, pair.grid, pair.folder, "nowhere", labels=True)
    pair.scene.slicer.util.arrayFromVolume(empty)[:] = 0
    with pytest.raises(ValueError, match="mask nowhere is empty within its image"):
        pair.export(fixed_mask=empty)


@pytest.mark.parametrize("named", [True, False])
def test_landmarks_correspond_by_label_or_else_by_order(pair: Pair, named: bool) -> None:
    points = physical.inner_points(pair.grid, 5)
    fixed, moving = nodes.markups(pair.scene, points, "f"), nodes.markups(pair.scene, points[::-1] + 1, "m")
    for n in range(5):
        fixed.SetNthControlPointLabel(n, f"L{n}")
        moving.SetNthControlPointLabel(n, f"L{4 - n}" if named else f"M{n}")
    paths = pair.export(fixed_points=fixed, moving_points=moving)
    assert far(read_landmarks(paths["fixed_points"]).positions, points) < 1e-9
    assert far(read_landmarks(paths["moving_points"]).positions, (points if named else points[::-1]) + 1) < 1e-9


def test_points_that_were_never_placed_leave_their_partners_out_and_are_told(pair: Pair) -> None:
    points = physical.inner_points(pair.grid, 4)
    lists = {"fixed_points": nodes.markups(pair.scene, points, "f"), "moving_points": nodes.markups(pair.scene, points + 3, "m")}
    for node in lists.values():
        for n in range(4):
            node.SetNthControlPointLabel(n, f"L, {n}")
    lists["fixed_points"].UnsetNthControlPointPosition(1)
    lists["moving_points"].UnsetNthControlPointPosition(3)
    paths = pair.export(**lists)
    read = {side: read_landmarks(paths[f"{side}_points"]) for side in ("fixed", "moving")}
    assert far(read["fixed"].positions, points[[0, 2]]) < 1e-9
    assert far(read["moving"].positions, points[[0, 2]] + 3) < 1e-9
    assert "2 landmarks were left out, not placed on both sides (L, 1, L, 3)" in pair_landmarks(**read).notes[0]
    for node in lists.values():
        for n in range(4):
            node.SetNthControlPointLabel(n, "same")
    assert "f has 3 placed points and m 3 (others were never placed)" in pair.refused(**lists)


def test_the_initial_transform_is_read_as_the_moving_volume_would_go(pair: Pair) -> None:
    initial = nodes.linear(pair.scene, nodes.rigid(3), "initial")
    read = read_transform(pair.export(initial=initial)["initial"])
    assert far(read.affine_matrix, np.linalg.inv(nodes.rigid(3))) < 1e-9
    pair.moving.SetAndObserveTransformNodeID(initial.GetID())
    assert "already under initial, which would count twice" in pair.refused(initial=initial)


def test_what_is_missing_or_wrong_is_one_sentence_with_the_remedy(pair: Pair) -> None:
    scene, outputs = pair.scene, pair.request_of.Outputs
    assert pair.refused(fixed=None) == "Select a fixed volume."
    assert pair.refused(moving=None) == "Select a moving volume."
    assert pair.refused(moving=pair.fixed) == "Select two different volumes."
    assert "holds no voxels" in pair.refused(moving=scene.add("vtkMRMLScalarVolumeNode", "nothing"))
    assert "moving is an input and an output" in pair.refused(outputs=outputs(warped=pair.moving))
    map_ = scene.add("vtkMRMLScalarVolumeNode", "map")
    assert "map is chosen for two outputs" in pair.refused(outputs=outputs(warped=map_, jacobian=map_))
    assert "no displacement field" in pair.refused(outputs=outputs(transform=nodes.linear(scene, np.eye(4))))
    labels = nodes.volume(scene, pair.grid, pair.folder, "l", labels=True)
    assert pair.refused(fixed_labels=labels) == "Select the moving labels, too."
    segments = nodes.segmentation(scene, labels, NAMES)
    assert "one is a segmentation and one a label map" in pair.refused(fixed_labels=labels, moving_labels=segments)
    others = nodes.segmentation(scene, labels, {1: "x", 2: "y", 7: "z"}, "others")
    assert "have no segment of the same name" in pair.refused(fixed_labels=segments, moving_labels=others)
    twins = nodes.segmentation(scene, labels, {1: "x", 2: "x", 7: "z"}, "twins")
    assert "two segments named 'x'" in pair.refused(fixed_labels=twins, moving_labels=twins)
    lists = {name: nodes.markups(scene, np.zeros((n, 3)), name) for name, n in (("three", 3), ("two", 2), ("none", 0))}
    assert "three has 3 placed points and two 2" in pair.refused(fixed_points=lists["three"], moving_points=lists["two"])
    assert "none has 0 placed points" in pair.refused(fixed_points=lists["none"], moving_points=lists["none"])
    assert "not linear" in pair.refused(initial=pair.warp())


def test_outputs_in_the_way_of_the_inputs_are_refused(pair: Pair) -> None:
    outputs, output = pair.request_of.Outputs, pair.warp("output")
    output.SetAndObserveTransformNodeID(nodes.linear(pair.scene, np.eye(4), "mover").GetID())
    assert "output is itself under mover" in pair.refused(outputs=outputs(transform=output))
    output.SetAndObserveTransformNodeID(None)
    pair.fixed.SetAndObserveTransformNodeID(output.GetID())
    assert "only the moving volume belongs there" in pair.refused(outputs=outputs(transform=output))


def test_a_single_slice_and_a_non_label_volume_are_refused(pair: Pair) -> None:
    from SpatialRegularizationGui.scene.images import Image
    from SpatialRegularizationGui.scene.nodes import set_image

    flat = pair.scene.add("vtkMRMLScalarVolumeNode", "flat")
    set_image(flat, Image(np.ones((9, 8, 1)), physical.grid("RAS", shape=(9, 8, 1))))
    assert "flat is a single slice" in pair.refused(fixed=flat)
    with pytest.raises(ValueError, match="fixed is no label map"):
        pair.export(fixed_labels=pair.fixed, moving_labels=pair.moving)


def test_nothing_in_the_scene_changes_by_writing_it_out(pair: Pair) -> None:
    labels = nodes.volume(pair.scene, pair.grid, pair.folder, "l", labels=True)
    segments = nodes.segmentation(pair.scene, labels, NAMES)
    points = nodes.markups(pair.scene, physical.inner_points(pair.grid, 3))
    before = pair.scene.fingerprint()
    pair.export(
        fixed_mask=segments, fixed_labels=segments, moving_labels=segments, fixed_points=points, moving_points=points,
        initial=None,
    )  # fmt: skip
    assert pair.scene.fingerprint() == before


def test_a_full_or_missing_folder_is_a_sentence(pair: Pair) -> None:
    with pytest.raises(OSError, match="could not be written"):
        pair.files.export_inputs(pair.request(), pair.folder / "is not there")
