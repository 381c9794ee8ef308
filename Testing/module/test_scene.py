"""Nodes, images, fields and points: the same places in Slicer, in SimpleITK and in the library."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import physical
import pytest
import SimpleITK as sitk
from slicer_nodes import FLIP, far, linear, rigid
from slicer_nodes import volume as node_of

from SpatialRegularizationLib.geometry import Grid

pytestmark = pytest.mark.slicer

ORIENTATIONS = sorted(physical.DIRECTIONS)
MOVING = dict(zip(ORIENTATIONS, [*ORIENTATIONS[1:], ORIENTATIONS[0]], strict=True))
INNER = (slice(4, -4),) * 3


@pytest.fixture
def gui(scene: Any) -> Any:
    from SpatialRegularizationGui.scene import nodes as module

    return module


def sampled(values: np.ndarray, grid: Grid, points: np.ndarray) -> np.ndarray:
    """SimpleITK's linear values of an image at points."""
    image = physical.itk_image(np.ascontiguousarray(values, dtype=np.float64), grid)
    return np.array([image.EvaluateAtPhysicalPoint(p.tolist(), sitk.sitkLinear) for p in points])


def test_ras_exists_in_one_file_of_the_module() -> None:
    """Code that turns axes over: elsewhere everything is LPS."""
    package = Path(__file__).parents[2] / "SpatialRegularization" / "SpatialRegularizationGui"
    telling = re.compile(r"\bFLIP\b|IJKToRAS|RASToIJK|XYToRAS|\[-1(\.0)?, -1")
    files = {path.relative_to(package).as_posix(): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    found = {name for name, text in files.items() if telling.search(text)}
    assert found == {"scene/nodes.py"}


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_volume_lies_where_its_file_says(scene: Any, gui: Any, tmp_path: Path, orientation: str, suffix: str) -> None:
    """Slicer turns left-handed lattices over, so voxels are compared at points of the patient, not at indices."""
    grid = physical.grid(orientation)
    sitk.WriteImage(physical.itk_image(physical.image(grid).data[0].float().numpy(), grid), str(tmp_path / f"v{suffix}"))
    image = gui.image_of(scene.read("vtkMRMLScalarVolumeNode", tmp_path / f"v{suffix}"))
    points = physical.inner_points(grid)
    assert far(sampled(image.values, image.grid, points), sampled(physical.image(grid).data[0].numpy(), grid, points)) < 1e-2
    assert sorted(image.grid.shape) == sorted(grid.shape)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_image_comes_out_of_a_node_as_it_went_in(scene: Any, gui: Any, orientation: str) -> None:
    grid = physical.grid(orientation)
    image = gui.Image(physical.image(grid).data[0].numpy(), grid)
    node = scene.add("vtkMRMLScalarVolumeNode", "v")
    gui.set_image(node, image)
    back = gui.image_of(node)
    assert np.array_equal(back.values, image.values)
    assert back.grid.matches(grid, tolerance=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float16, np.float32, np.float64, bool])
def test_every_type_of_voxel_keeps_its_values(scene: Any, gui: Any, kind: type) -> None:
    grid = physical.grid("oblique", shape=(4, 5, 6))
    values = (np.arange(120).reshape(grid.shape) % 101).astype(kind)
    node = scene.add("vtkMRMLScalarVolumeNode", "v")
    gui.set_image(node, gui.Image(values, grid))
    assert np.array_equal(gui.image_of(node).values, values)


def test_integers_beyond_32_bits_are_refused_and_the_node_stays_whole(scene: Any, gui: Any) -> None:
    grid = physical.grid("RAS", shape=(4, 5, 6))
    node = scene.add("vtkMRMLScalarVolumeNode", "v")
    gui.set_image(node, gui.Image(np.ones(grid.shape), grid))
    before = scene.fingerprint()
    with pytest.raises(ValueError, match="32 bits"):
        gui.set_image(node, gui.Image(np.full(grid.shape, 2**40), grid))
    assert scene.fingerprint() == before


def test_replaced_voxels_stay_with_whoever_holds_them(scene: Any, gui: Any) -> None:
    grid = physical.grid("RAS", shape=(4, 5, 6))
    node = scene.add("vtkMRMLScalarVolumeNode", "v")
    gui.set_image(node, gui.Image(np.ones(grid.shape), grid))
    held = node.GetImageData()
    gui.set_image(node, gui.Image(np.zeros(grid.shape), grid))
    assert held.GetScalarRange() == (1.0, 1.0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_linear_parents_are_composed_into_the_grid(scene: Any, gui: Any, tmp_path: Path, orientation: str) -> None:
    """Two rigid parents, hardened by Slicer itself, are the oracle."""
    node = node_of(scene, physical.grid(orientation), tmp_path)
    inner, outer = linear(scene, rigid(1), "inner"), linear(scene, rigid(2), "outer")
    inner.SetAndObserveTransformNodeID(outer.GetID())
    node.SetAndObserveTransformNodeID(inner.GetID())
    composed = gui.grid_of(node)
    assert not composed.matches(gui.grid_of(node, below=inner), tolerance=1)
    node.HardenTransform()
    assert composed.matches(scene.grid(node), tolerance=1e-4)


def test_a_parent_that_is_not_linear_is_refused_with_the_remedy(scene: Any, gui: Any, tmp_path: Path) -> None:
    grid = physical.grid("oblique")
    node, warp = node_of(scene, grid, tmp_path), scene.add("vtkMRMLTransformNode", "warp")
    gui.set_transform(warp, np.eye(4), physical.bump_field(grid).vectors.numpy(), grid)
    node.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(ValueError, match=r"image is under the transform warp, which is not linear: .*harden"):
        gui.image_of(node)
    assert gui.image_of(node, below=warp).grid.matches(scene.grid(node))
    assert "not linear" in gui.volume_problem(node)
    assert gui.volume_problem(node, below=warp) == ""


def test_a_parent_that_shears_is_refused(scene: Any, gui: Any, tmp_path: Path) -> None:
    node = node_of(scene, physical.grid("RAS"), tmp_path)
    node.SetAndObserveTransformNodeID(linear(scene, physical.affine()).GetID())
    with pytest.raises(ValueError, match=r"image: .*orthonormal"):
        gui.grid_of(node)


def test_volumes_without_voxels_or_with_colors_are_refused_in_a_sentence(scene: Any, gui: Any) -> None:
    import vtk

    empty = scene.add("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(ValueError, match="nothing holds no voxels: load"):
        gui.image_of(empty)
    colored = scene.add("vtkMRMLVectorVolumeNode", "colors")
    data = vtk.vtkImageData()
    data.SetDimensions(4, 5, 6)
    data.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    colored.SetAndObserveImageData(data)
    with pytest.raises(ValueError, match="colors has 3 values per voxel, expected 1"):
        gui.image_of(colored)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_volume_of_any_orientation_can_be_registered_and_a_single_slice_cannot(scene: Any, gui: Any, orientation: str) -> None:
    node = scene.add("vtkMRMLScalarVolumeNode", "v")
    assert "v holds no voxels" in gui.volume_problem(node)
    for thin, said in ((False, ""), (True, "v is a single slice: choose a volume with at least 2 voxels along each axis.")):
        shape = (7, 6, 1) if thin else (7, 6, 5)
        grid = physical.grid(orientation, shape=shape)
        gui.set_image(node, gui.Image(np.zeros(shape, dtype=np.int16), grid))
        assert gui.volume_problem(node) == said
        assert gui.grid_of(node).matches(grid)


@pytest.mark.parametrize("composite", [True, False])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_field_with_an_affine_map_sends_points_where_simpleitk_does(
    scene: Any, gui: Any, orientation: str, composite: bool
) -> None:
    grid = physical.grid(orientation)
    transform = physical.transform(grid)
    node = scene.add("vtkMRMLTransformNode", "t")
    gui.set_transform(node, physical.affine(), transform.displacement.vectors.numpy(), grid, composite=composite)
    points = grid.index_to_point(np.random.default_rng(2).integers(2, np.array(grid.shape) - 2, (200, 3)))
    expected = physical.itk_points(physical.itk_transform(transform), points)
    assert far(scene.from_parent(node, points), expected) < 1e-4
    assert far(gui.mapped(gui.from_world(node), points), expected) < 1e-4
    assert far(scene.to_parent(node, expected), points) < 0.05
    assert far(gui.mapped(gui.from_world(node, inverse=True), expected), points) < 0.05


def test_zero_displacement_is_exactly_the_identity(scene: Any, gui: Any) -> None:
    grid = physical.grid("oblique left-handed")
    node = scene.add("vtkMRMLTransformNode", "t")
    gui.set_transform(node, np.eye(4), np.zeros((3, *grid.shape)), grid)
    assert not scene.slicer.util.arrayFromGridTransform(node).any()
    assert node.GetTransformFromParent().TransformPoint(3.0, 4.0, 5.0) == (3.0, 4.0, 5.0)


def test_ten_millimeters_to_the_left_move_a_landmark_ten_to_the_right(scene: Any, gui: Any) -> None:
    """φ(x) = x + 10 mm L: what lies at y in the moving image lies at y - 10 mm in the fixed one."""
    grid = physical.grid("oblique")
    field = np.zeros((3, *grid.shape))
    field[0] = 10
    node, markups = scene.add("vtkMRMLTransformNode", "t"), scene.add("vtkMRMLMarkupsFiducialNode", "p")
    gui.set_transform(node, np.eye(4), field, grid)
    start = np.array(grid.center)
    markups.AddControlPoint(*(start * [-1, -1, 1]))
    markups.SetAndObserveTransformNodeID(node.GetID())
    markups.HardenTransform()
    assert far(gui.points_of(markups)[0][0], start - [10, 0, 0]) < 1e-6


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_slicer_resamples_under_the_node_as_simpleitk_does(
    scene: Any, gui: Any, tmp_path: Path, orientation: str
) -> None:
    grid, transform = physical.grid(orientation), physical.transform(physical.grid(orientation))
    moving = physical.other_grid(MOVING[orientation])
    node = scene.add("vtkMRMLTransformNode", "t")
    gui.set_transform(node, physical.affine(), transform.displacement.vectors.numpy(), grid)
    fixed, volume = node_of(scene, grid, tmp_path, "fixed"), node_of(scene, moving, tmp_path, "moving")
    where = scene.grid(fixed)
    expected = physical.itk_resample(physical.image(moving), physical.itk_transform(transform), where, sitk.sitkLinear)
    ours = gui.pulled(gui.image_of(volume), gui.from_world(node), gui.grid_of(fixed), nearest=False, fill=0)
    theirs, _ = scene.resampled(volume, node, fixed)
    assert far(ours.values[INNER], expected[INNER]) < 0.05
    assert far(theirs[INNER], expected[INNER]) < 0.05
    unmoved = gui.pulled(gui.image_of(volume, below=node), None, gui.grid_of(fixed), nearest=False, fill=0)
    assert far(unmoved.values[INNER], expected[INNER]) > 50


@pytest.mark.parametrize("mistake", ["no RAS flip", "negated", "to parent"])
def test_the_usual_mistakes_are_far_outside_of_the_tolerance(scene: Any, gui: Any, tmp_path: Path, mistake: str) -> None:
    """Negative controls of the comparison above."""
    grid, field = physical.grid("oblique"), physical.bump_field(physical.grid("oblique"))
    stored = field.vectors.numpy()
    stored = {"no RAS flip": stored * FLIP[:3, :3].diagonal().reshape(3, 1, 1, 1), "negated": -stored, "to parent": stored}
    node = scene.add("vtkMRMLTransformNode", "t")
    gui.set_transform(node, np.eye(4), stored[mistake], grid)
    if mistake == "to parent":
        node.Inverse()
    moving = physical.other_grid("LIA")
    fixed, volume = node_of(scene, grid, tmp_path, "fixed"), node_of(scene, moving, tmp_path, "moving")
    expected = physical.itk_resample(physical.image(moving), physical.itk_field(field), grid, sitk.sitkLinear)
    assert far(scene.resampled(volume, node, fixed)[0][INNER], expected[INNER]) > 50


@pytest.mark.parametrize("orientation", ["oblique", "oblique left-handed", "LIA"])
def test_labels_are_pulled_as_simpleitk_pulls_them(scene: Any, gui: Any, tmp_path: Path, orientation: str) -> None:
    grid, transform = physical.grid(orientation), physical.transform(physical.grid(orientation))
    node = scene.add("vtkMRMLTransformNode", "t")
    gui.set_transform(node, physical.affine(), transform.displacement.vectors.numpy(), grid)
    labels = node_of(scene, physical.other_grid(MOVING[orientation]), tmp_path, "labels", labels=True)
    where = scene.grid(labels)
    ours = gui.pulled(gui.image_of(labels), gui.from_world(node), grid, nearest=True, fill=0).values
    given = physical.itk_image(scene.array(labels).astype(np.int16), where)
    reference = physical.itk_image(np.zeros(grid.shape, dtype=np.int16), grid)
    made = sitk.Resample(given, reference, physical.itk_transform(transform), sitk.sitkNearestNeighbor, 0)
    assert int((ours != physical.itk_array(made)).sum()) <= 5
    assert set(np.unique(ours)) == {0, 1, 2, 7}


def test_beyond_the_outermost_centers_the_border_holds_for_half_a_voxel(scene: Any, gui: Any) -> None:
    """The rule of ITK and of the library."""
    grid = physical.grid("RAS", shape=(6, 7, 8), spacing=(1, 1, 1))
    image = gui.Image(np.full(grid.shape, 5.0), grid)
    larger = physical.grid("RAS", shape=(41, 7, 8), spacing=(0.2, 1, 1))
    ours = gui.pulled(image, None, larger, nearest=False, fill=-1000).values[:, 3, 3]
    index = grid.point_to_index(larger.index_to_point(np.array([[i, 3, 3] for i in range(41)])))[:, 0]
    assert np.array_equal(ours == 5.0, (index > -0.5 - 1e-9) & (index < 5.5 + 1e-9))
    assert set(ours) == {5.0, -1000.0}


@pytest.mark.parametrize("orientation", ["oblique", "oblique left-handed", "LAS"])
@pytest.mark.parametrize("suffix", [".h5", ".nrrd", ".nii.gz", ".mha", ".tfm"])
def test_the_stored_field_survives_slicers_files_and_simpleitk_reads_it(
    scene: Any, gui: Any, tmp_path: Path, orientation: str, suffix: str
) -> None:
    grid = physical.grid(orientation)
    field = physical.bump_field(grid)
    node = scene.add("vtkMRMLTransformNode", "t")
    gui.set_transform(node, np.eye(4), field.vectors.numpy(), grid)
    scene.write(node, tmp_path / f"t{suffix}")
    points = physical.inner_points(grid)
    expected = physical.itk_points(physical.itk_field(field), points)
    assert far(scene.from_parent(scene.transform(tmp_path / f"t{suffix}"), points), expected) < 1e-4
    if suffix in (".h5", ".tfm"):
        assert far(physical.itk_points(sitk.ReadTransform(str(tmp_path / f"t{suffix}")), points), expected) < 1e-3


def test_stored_grids_are_linear_where_those_from_files_are_cubic(scene: Any, gui: Any, tmp_path: Path) -> None:
    grid = physical.grid("oblique")
    node = scene.add("vtkMRMLTransformNode", "t")
    gui.set_transform(node, physical.affine(), physical.bump_field(grid).vectors.numpy(), grid)
    grids = [part for part in scene.parts(node.GetTransformFromParent()) if part.IsA("vtkGridTransform")]
    assert [part.GetInterpolationModeAsString() for part in grids] == ["Linear"]
    scene.write(node, tmp_path / "t.h5")
    read = scene.read("vtkMRMLTransformNode", tmp_path / "t.h5")
    grids = [part for part in scene.parts(read.GetTransformFromParent()) if part.IsA("vtkGridTransform")]
    assert [part.GetInterpolationModeAsString() for part in grids] == ["Cubic"]


def test_nodes_of_a_linear_class_refuse_a_field(scene: Any, gui: Any) -> None:
    grid = physical.grid("RAS", shape=(4, 5, 6))
    node = linear(scene, rigid())
    before = scene.fingerprint()
    with pytest.raises(ValueError, match=r"can hold no displacement field \(LinearTransform\): choose another output transform"):
        gui.set_transform(node, np.eye(4), np.zeros((3, *grid.shape)), grid)
    assert scene.fingerprint() == before


def test_the_initial_transform_is_what_the_moving_volume_would_be_put_under(scene: Any, gui: Any, tmp_path: Path) -> None:
    """Slicer's own resampling of the moving volume under the node is pulled through B."""
    inner, outer = linear(scene, rigid(3), "inner"), linear(scene, rigid(4), "outer")
    inner.SetAndObserveTransformNodeID(outer.GetID())
    affine = gui.initial_affine(inner)
    assert far(affine, np.linalg.inv(rigid(4) @ rigid(3))) < 1e-9
    fixed = node_of(scene, physical.grid("oblique"), tmp_path, "fixed")
    moving = node_of(scene, physical.other_grid("LIA"), tmp_path, "moving")
    theirs, where = scene.resampled(moving, inner, fixed)
    given = physical.image(physical.other_grid("LIA"))
    expected = physical.itk_resample(given, physical.itk_affine(affine), where, sitk.sitkLinear)
    covered = np.abs(expected) > 0
    assert far(theirs[covered][::7], expected[covered][::7]) < 0.5
    warp = scene.add("vtkMRMLTransformNode", "warp")
    gui.set_transform(warp, np.eye(4), physical.bump_field(where).vectors.numpy(), where)
    with pytest.raises(ValueError, match="initial transform warp is not linear"):
        gui.initial_affine(warp)


def test_points_come_from_the_world_and_unplaced_ones_are_left_out(scene: Any, gui: Any) -> None:
    markups = scene.add("vtkMRMLMarkupsFiducialNode", "p")
    points = physical.inner_points(physical.grid("oblique"), 4)
    for position in points:
        markups.AddControlPoint(*(position * [-1, -1, 1]))
    markups.SetNthControlPointLabel(2, "carina")
    markups.UnsetNthControlPointPosition(1)
    parent = rigid(5)
    markups.SetAndObserveTransformNodeID(linear(scene, parent).GetID())
    positions, names = gui.points_of(markups)
    assert names[1] == "carina"
    assert far(positions, points[[0, 2, 3]] @ parent[:3, :3].T + parent[:3, 3]) < 1e-6


def test_everything_is_the_same_after_a_bundle(scene: Any, gui: Any, tmp_path: Path) -> None:
    """Volume, its place under the transform, composite, markups, model and segmentation through .mrb into another scene."""
    import vtk
    from slicer_scene import Application

    grid = physical.grid("oblique left-handed")
    volume, transform = node_of(scene, grid, tmp_path, "moving"), scene.add("vtkMRMLTransformNode", "t")
    gui.set_transform(transform, physical.affine(), physical.bump_field(grid).vectors.numpy(), grid)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    markups, model = scene.add("vtkMRMLMarkupsFiducialNode", "p"), scene.add("vtkMRMLModelNode", "m")
    markups.AddControlPoint(1.0, 2.0, 3.0)
    source = vtk.vtkSphereSource()
    source.Update()
    model.SetAndObservePolyData(source.GetOutput())
    points = physical.inner_points(grid)
    expected = scene.from_parent(transform, points)
    image = gui.image_of(volume, below=transform)
    scene.save(tmp_path / "s.mrb")
    other = Application()
    try:
        other.load(tmp_path / "s.mrb")
        again, back = other.named("t", "vtkMRMLTransformNode"), other.named("moving", "vtkMRMLVolumeNode")
        for part in other.parts(again.GetTransformFromParent()):
            if part.IsA("vtkGridTransform"):
                part.SetInterpolationModeToLinear()
        assert far(other.from_parent(again, points), expected) < 1e-4
        assert back.GetParentTransformNode() is again
        assert np.array_equal(gui.image_of(back, below=again).values, image.values)
        assert gui.image_of(back, below=again).grid.matches(image.grid)
        assert far(gui.points_of(other.named("p"))[0], [[-1, -2, 3]]) < 1e-9
        assert far(gui.positions_of(other.named("m")), gui.positions_of(model)) < 1e-4
    finally:
        other.close()
