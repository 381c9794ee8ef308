"""A transform applied to other nodes, against SimpleITK: forward and back, under the transform and hardened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import physical
import pytest
import SimpleITK as sitk
import slicer_nodes as nodes
from slicer_nodes import far

from SpatialRegularizationLib.geometry import Grid, SpatialTransform

pytestmark = pytest.mark.slicer

INNER = (slice(4, -4),) * 3
NAMES = {1: "body", 2: "core", 7: "stone"}
CASES = {"oblique": "LIA", "oblique left-handed": "oblique", "LAS": "oblique left-handed"}
"""Orientation of the fixed grid → of the moving one."""


class Case:
    """A fixed image, a moving grid and the transform between them, in the scene and in SimpleITK."""

    def __init__(self, scene: Any, folder: Path, orientation: str) -> None:
        from SpatialRegularizationGui.scene import nodes as gui

        self.scene, self.folder = scene, folder
        self.grid, self.moving = physical.grid(orientation), physical.other_grid(CASES[orientation])
        self.transform = SpatialTransform(displacement=physical.bump_field(self.grid))
        self.affine = self.transform.affine_matrix
        self.itk = physical.itk_transform(self.transform)
        self.node = scene.add("vtkMRMLTransformNode", "warp")
        gui.set_transform(self.node, self.affine, self.transform.displacement.vectors.numpy(), self.grid)
        self.fixed = nodes.volume(scene, self.grid, folder, "fixed")
        self.read = gui

    def pulled(self, volume: Any, where: Any, interpolator: int = sitk.sitkLinear) -> np.ndarray:
        """SimpleITK's resampling of what a volume node holds now."""
        given = physical.itk_image(self.scene.array(volume), self.scene.grid(volume))
        reference = physical.itk_image(np.zeros(where.shape), where)
        return physical.itk_array(sitk.Resample(given, reference, self.itk, interpolator, 0, given.GetPixelID()))


@pytest.fixture(params=sorted(CASES))
def case(scene: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Case:
    return Case(scene, tmp_path, request.param)


@pytest.fixture
def oblique(scene: Any, tmp_path: Path) -> Case:
    return Case(scene, tmp_path, "oblique")


@pytest.fixture
def apply(scene: Any) -> Any:
    from SpatialRegularizationGui.scene import apply_to

    return apply_to


def test_under_the_transform_slicer_shows_what_simpleitk_resamples(case: Case, apply: Any) -> None:
    volume = nodes.volume(case.scene, case.moving, case.folder, "moving")
    expected = case.pulled(volume, case.scene.grid(case.fixed))
    assert apply.apply_to(case.node, [volume]).nodes == (volume,)
    assert volume.GetParentTransformNode() is case.node
    out = case.scene.slicer.vtkSlicerVolumesLogic.ResampleVolumeToReferenceVolume(volume, case.fixed)
    assert far(case.scene.array(out)[INNER], expected[INNER]) < 0.05


def test_a_volume_hardened_onto_a_reference_is_what_simpleitk_resamples(case: Case, apply: Any) -> None:
    volume = nodes.volume(case.scene, case.moving, case.folder, "moving")
    where = case.scene.grid(case.fixed)
    expected, start = case.pulled(volume, where), case.scene.array(volume)
    apply.apply_to(case.node, [volume], harden=True, reference=case.fixed)
    assert case.scene.grid(volume).matches(where)
    assert far(case.scene.array(volume)[INNER], expected[INNER]) < 0.05
    assert volume.GetParentTransformNode() is None
    assert start.shape != expected.shape


def test_a_hardened_volume_keeps_its_axes_and_nothing_is_cut_off(case: Case, apply: Any) -> None:
    """Compared with SimpleITK on the lattice that came out, and with Slicer's own hardening inside of that."""
    volume = nodes.volume(case.scene, case.moving, case.folder, "moving")
    twin = nodes.volume(case.scene, case.moving, case.folder, "twin")
    own = case.scene.grid(volume)
    apply.apply_to(case.node, [volume], harden=True)
    where = case.scene.grid(volume)
    assert np.allclose(where.direction, own.direction, atol=1e-6)
    assert np.allclose(where.spacing, own.spacing)
    expected = case.pulled(twin, where)
    inside = case.pulled(_ones(case, twin), where) > 0.999
    assert far(case.scene.array(volume)[inside], expected[inside]) < 0.05
    assert all(n >= m for n, m in zip(where.shape, own.shape, strict=True))
    twin.SetAndObserveTransformNodeID(case.node.GetID())
    twin.HardenTransform()
    theirs = case.read.pulled(case.read.image_of(twin), None, where, nearest=False, fill=0).values
    deep = inside & (case.pulled(_ones(case, nodes.volume(case.scene, case.moving, case.folder, "t2")), where) > 0.999)
    assert np.percentile(np.abs(theirs - expected)[deep], 99) < 1.0


def test_air_around_a_ct_stays_air(oblique: Case, apply: Any) -> None:
    volume = nodes.volume(oblique.scene, oblique.moving, oblique.folder, "ct")
    air = oblique.read.Image((oblique.read.image_of(volume).values - 1000).astype(np.int16), oblique.scene.grid(volume))
    oblique.read.set_image(volume, air)
    apply.apply_to(oblique.node, [volume], harden=True)
    values = oblique.scene.array(volume)
    assert values.dtype == np.int16
    assert values[0, 0, 0] == air.values.min()


def test_a_label_map_is_hardened_voxel_by_voxel_as_simpleitk_does(case: Case, apply: Any) -> None:
    labels = nodes.volume(case.scene, case.moving, case.folder, "labels", labels=True)
    where = case.scene.grid(case.fixed)
    expected = case.pulled(labels, where, sitk.sitkNearestNeighbor)
    apply.apply_to(case.node, [labels], harden=True, reference=case.fixed)
    assert int((case.scene.array(labels) != expected).sum()) <= 5
    assert set(np.unique(case.scene.array(labels))) == {0, 1, 2, 7}


@pytest.mark.parametrize("referenced", [True, False])
def test_a_segmentation_is_hardened_whole_also_where_it_is_oblique(case: Case, apply: Any, referenced: bool) -> None:
    """Each segment on the lattice that it got, and nothing of it outside of that lattice."""
    labels = nodes.volume(case.scene, case.moving, case.folder, "labels", labels=True)
    segments = nodes.segmentation(case.scene, labels, NAMES)
    colors = [segments.GetSegmentation().GetNthSegment(n).GetColor() for n in range(3)]
    apply.apply_to(case.node, [segments], harden=True, reference=case.fixed if referenced else None)
    for value, name in NAMES.items():
        found, where = nodes.segment(segments, name)
        assert nodes.dice(found > 0, case.pulled(labels, where, sitk.sitkNearestNeighbor) == value) > 0.999
        wide = tuple(n + 16 for n in where.shape)
        around = Grid(wide, where.spacing, tuple(where.index_to_point(np.full(3, -8))), where.direction)
        whole = case.pulled(labels, around, sitk.sitkNearestNeighbor) == value
        assert abs(int(found.sum()) - int(whole.sum())) <= 5
        assert not referenced or where.matches(case.scene.grid(case.fixed))
    assert [segments.GetSegmentation().GetNthSegment(n).GetColor() for n in range(3)] == colors
    assert segments.GetParentTransformNode() is None


def test_slicers_own_hardening_of_the_oblique_segmentation_is_worse(oblique: Case, apply: Any) -> None:
    """The reason why segmentations are hardened here; when this fails, Slicer has been repaired."""
    labels = nodes.volume(oblique.scene, physical.other_grid("oblique"), oblique.folder, "labels", labels=True)
    ours, theirs = (nodes.segmentation(oblique.scene, labels, NAMES, name) for name in ("ours", "theirs"))
    expected = oblique.pulled(labels, oblique.scene.grid(oblique.fixed), sitk.sitkNearestNeighbor) == 1
    theirs.SetAndObserveTransformNodeID(oblique.node.GetID())
    theirs.HardenTransform()
    apply.apply_to(oblique.node, [ours], harden=True, reference=oblique.fixed)
    overlaps = []
    for node in (ours, theirs):
        name = node.GetSegmentation().GetSegmentIdBySegmentName("body")
        found = oblique.scene.slicer.util.arrayFromSegmentBinaryLabelmap(node, name, oblique.fixed)
        overlaps.append(nodes.dice(found.transpose(2, 1, 0) > 0, expected))
    assert overlaps[0] > 0.999
    assert overlaps[1] < 0.97


def test_surfaces_of_a_segmentation_follow(oblique: Case, apply: Any) -> None:
    labels = nodes.volume(oblique.scene, oblique.moving, oblique.folder, "labels", labels=True)
    segments = nodes.segmentation(oblique.scene, labels, NAMES)
    assert segments.CreateClosedSurfaceRepresentation()
    name = segments.GetSegmentation().GetSegmentIdBySegmentName("stone")
    before = np.array(segments.GetClosedSurfaceInternalRepresentation(name).GetCenter())
    apply.apply_to(oblique.node, [segments], harden=True)
    after = np.array(segments.GetClosedSurfaceInternalRepresentation(name).GetCenter())
    moved = physical.itk_points(oblique.itk, (after * [-1, -1, 1])[None])[0] * [-1, -1, 1]
    assert far(moved, before) < 1.0
    assert far(after, before) > 1.5


@pytest.mark.parametrize("kind", ["markups", "curve", "plane", "model"])
def test_hardened_points_lead_back_through_the_transform(case: Case, apply: Any, kind: str) -> None:
    fixed = physical.inner_points(case.grid, 12, margin=6)
    moving = physical.itk_points(case.itk, fixed)
    if kind == "model":
        node = nodes.sphere(case.scene, np.array(case.grid.center))
        moving = case.read.positions_of(node)
    else:
        node_class = {"markups": "Fiducial", "curve": "Curve", "plane": "Plane"}[kind]
        node = nodes.markups(case.scene, moving, kind=f"vtkMRMLMarkups{node_class}Node")
        moving = case.read.positions_of(node)
    done = apply.apply_to(case.node, [node], harden=True)
    assert far(physical.itk_points(case.itk, case.read.positions_of(node)), moving) < 1e-2
    assert far(case.read.positions_of(node), moving) > 1
    assert done.notes == ()


def test_points_without_an_origin_are_told_of(scene: Any, tmp_path: Path, apply: Any) -> None:
    """A field that folds: some points come from nowhere."""
    case = Case(scene, tmp_path, "LAS")
    steep = physical.bump_field(case.grid, 90).vectors.numpy()
    case.read.set_transform(case.node, np.eye(4), steep, case.grid)
    node = nodes.markups(scene, physical.inner_points(case.grid, 60, margin=4))
    (note,) = apply.apply_to(case.node, [node], harden=True).notes
    assert "have no exact origin" in note
    assert node.GetName() in note


@pytest.mark.parametrize("harden", [False, True])
def test_forward_and_then_back_is_where_it_was(oblique: Case, apply: Any, harden: bool) -> None:
    markups = nodes.markups(oblique.scene, physical.inner_points(oblique.grid, 9, margin=7))
    start = oblique.read.positions_of(markups)
    if harden:
        apply.apply_to(oblique.node, [markups], harden=True)
        apply.apply_to(oblique.node, [markups], harden=True, inverse=True)
    else:
        apply.apply_to(oblique.node, [markups], inverse=True)
        markups.HardenTransform()
        assert far(oblique.read.positions_of(markups), physical.itk_points(oblique.itk, start)) < 1e-4
        apply.apply_to(oblique.node, [markups])
        markups.HardenTransform()
    assert far(oblique.read.positions_of(markups), start) < 1e-2


def test_an_inverse_volume_is_pulled_through_the_inverse(oblique: Case, apply: Any) -> None:
    """Fixed to moving, and the inverse node that is made for it follows a new transform."""
    reference = nodes.volume(oblique.scene, oblique.moving, oblique.folder, "moving")
    inverse = sitk.DisplacementFieldTransform(
        sitk.InvertDisplacementField(oblique_field(oblique), maximumNumberOfIterations=60, maxErrorToleranceThreshold=0.005)
    )
    given = physical.itk_image(oblique.scene.array(oblique.fixed), oblique.scene.grid(oblique.fixed))
    expected = physical.itk_array(sitk.Resample(given, given, inverse, sitk.sitkLinear, 0.0))
    hardened = nodes.volume(oblique.scene, oblique.grid, oblique.folder, "fixed again")
    apply.apply_to(oblique.node, [hardened], inverse=True, harden=True, reference=oblique.fixed)
    assert np.percentile(np.abs(oblique.scene.array(hardened) - expected)[INNER], 99.5) < 1.0
    apply.apply_to(oblique.node, [reference], inverse=True)
    made = reference.GetParentTransformNode()
    assert made.GetName() == "Inverse of warp"
    points = physical.inner_points(oblique.grid)
    assert far(oblique.scene.to_parent(made, points), physical.itk_points(oblique.itk, points)) < 1e-4


def oblique_field(case: Case) -> sitk.Image:
    field = case.transform.displacement
    return physical.itk_image(field.vectors.double().numpy(), field.grid)


@pytest.mark.parametrize("harden", [False, True])
def test_linear_parents_are_taken_along_and_stay_as_they_are(oblique: Case, apply: Any, harden: bool) -> None:
    fixed = physical.inner_points(oblique.grid, 9, margin=7)
    parent = nodes.rigid(6)
    local = (physical.itk_points(oblique.itk, fixed) - parent[:3, 3]) @ parent[:3, :3]
    markups = nodes.markups(oblique.scene, local)
    mover = nodes.linear(oblique.scene, parent, "couch")
    bystander = nodes.markups(oblique.scene, local, "bystander")
    for node in (markups, bystander):
        node.SetAndObserveTransformNodeID(mover.GetID())
    apply.apply_to(oblique.node, [markups], harden=harden)
    if not harden:
        assert markups.GetParentTransformNode().GetName() == "couch under warp"
        markups.HardenTransform()
    assert far(oblique.read.positions_of(markups), fixed) < 1e-2
    assert bystander.GetParentTransformNode() is mover
    assert mover.GetParentTransformNode() is None


def test_two_nodes_of_one_parent_share_the_node_that_carries_it(oblique: Case, apply: Any) -> None:
    mover = nodes.linear(oblique.scene, nodes.rigid(6), "couch")
    both = [nodes.markups(oblique.scene, np.zeros((1, 3)), name) for name in "ab"]
    for node in both:
        node.SetAndObserveTransformNodeID(mover.GetID())
    apply.apply_to(oblique.node, both)
    assert both[0].GetParentTransformNode() is both[1].GetParentTransformNode()
    before = oblique.scene.fingerprint()
    apply.apply_to(oblique.node, both)
    assert oblique.scene.fingerprint() == before


def test_what_is_under_the_transform_already_is_hardened_once(oblique: Case, apply: Any) -> None:
    fixed = physical.inner_points(oblique.grid, 9, margin=7)
    markups = nodes.markups(oblique.scene, physical.itk_points(oblique.itk, fixed))
    apply.apply_to(oblique.node, [markups])
    apply.apply_to(oblique.node, [markups], harden=True)
    assert far(oblique.read.positions_of(markups), fixed) < 1e-2


def test_a_linear_transform_turns_a_volume_without_touching_a_voxel(oblique: Case, apply: Any) -> None:
    volume = nodes.volume(oblique.scene, oblique.moving, oblique.folder, "moving")
    values, turned = oblique.scene.array(volume).copy(), nodes.linear(oblique.scene, nodes.rigid(2))
    expected = nodes.rigid(2) @ oblique.scene.grid(volume).affine
    apply.apply_to(turned, [volume], harden=True)
    assert np.array_equal(oblique.scene.array(volume), values)
    assert far(oblique.scene.grid(volume).affine, expected) < 1e-6


def test_frames_of_a_sequence_are_hardened_one_by_one_and_shown(oblique: Case, apply: Any) -> None:
    first = nodes.volume(oblique.scene, oblique.moving, oblique.folder, "first")
    second = nodes.volume(oblique.scene, oblique.moving, oblique.folder, "second")
    oblique.read.set_image(second, oblique.read.Image(2 * oblique.scene.array(first), oblique.scene.grid(first)))
    where = oblique.scene.grid(oblique.fixed)
    expected = oblique.pulled(first, where)
    sequence, browser = nodes.sequence(oblique.scene, [first, second])
    before = oblique.scene.fingerprint()
    done = apply.apply_to(oblique.node, [sequence], harden=True, reference=oblique.fixed)
    for n, factor in enumerate((1, 2)):
        frame = oblique.scene.array(sequence.GetNthDataNode(n))
        assert far(frame[INNER], factor * expected[INNER]) < 0.1
    assert far(oblique.scene.array(browser.GetProxyNode(sequence))[INNER], expected[INNER]) < 0.1
    done.undo.restore()
    assert sequence.GetNthDataNode(1).GetImageData().GetDimensions() == second.GetImageData().GetDimensions()
    assert oblique.scene.fingerprint() == before


def test_a_sequence_is_put_under_the_transform_through_its_proxy(oblique: Case, apply: Any) -> None:
    first = nodes.volume(oblique.scene, oblique.moving, oblique.folder, "first")
    sequence, browser = nodes.sequence(oblique.scene, [first, first])
    apply.apply_to(oblique.node, [sequence])
    assert browser.GetProxyNode(sequence).GetParentTransformNode() is oblique.node
    alone, _ = nodes.sequence(oblique.scene, [first], "alone", browser=False)
    with pytest.raises(ValueError, match="alone is shown by no sequence browser: open it in one, or harden"):
        apply.apply_to(oblique.node, [alone])


@pytest.mark.parametrize("harden", [False, True])
def test_several_are_moved_at_once_or_none_is(oblique: Case, apply: Any, harden: bool) -> None:
    """The last of them hangs under a warp and is refused: the first four are as they were."""
    moving = nodes.volume(oblique.scene, oblique.moving, oblique.folder, "moving")
    labels = nodes.volume(oblique.scene, oblique.moving, oblique.folder, "labels", labels=True)
    given = [moving, labels, nodes.segmentation(oblique.scene, labels, NAMES), nodes.sphere(oblique.scene, physical.CENTER)]
    given.append(nodes.markups(oblique.scene, physical.inner_points(oblique.grid, 3), "stuck"))
    warp = oblique.scene.add("vtkMRMLTransformNode", "other warp")
    oblique.read.set_transform(warp, np.eye(4), oblique.transform.displacement.vectors.numpy(), oblique.grid)
    given[-1].SetAndObserveTransformNodeID(warp.GetID())
    before = oblique.scene.fingerprint()
    with pytest.raises(ValueError, match="stuck is under the transform other warp"):
        apply.apply_to(oblique.node, given, harden=harden)
    assert oblique.scene.fingerprint() == before
    done = apply.apply_to(oblique.node, given[:-1], harden=harden)
    assert done.nodes == tuple(given[:-1])
    assert oblique.scene.fingerprint() != before
    done.undo.restore()
    assert oblique.scene.fingerprint() == before


def test_what_cannot_be_moved_is_said_in_a_sentence(oblique: Case, apply: Any) -> None:
    table = oblique.scene.add("vtkMRMLTableNode", "numbers")
    assert "numbers is a Table: choose volumes" in apply.can_apply(table)
    assert "without frames" in apply.can_apply(oblique.scene.add("vtkMRMLSequenceNode", "none"))
    assert apply.can_apply(oblique.fixed) == ""
    assert "Select something" in apply.can_apply(None)
    with pytest.raises(ValueError, match="Select a transform"):
        apply.apply_to(None, [oblique.fixed])
    with pytest.raises(ValueError, match="harden, or leave the reference out"):
        apply.apply_to(oblique.node, [oblique.fixed], reference=oblique.fixed)


def _ones(case: Case, volume: Any) -> Any:
    """A volume of ones on the grid of another: where it is 1, the other has values."""
    node = case.scene.add("vtkMRMLScalarVolumeNode", "ones")
    grid = case.scene.grid(volume)
    case.read.set_image(node, case.read.Image(np.ones(grid.shape), grid))
    return node
