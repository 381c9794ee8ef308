"""The same transform file moves a volume, a label map, markups and a model in Slicer as it does here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import physical
import pytest
import torch

from SpatialRegularizationLib.geometry import DisplacementField, SpatialTransform
from SpatialRegularizationLib.io.apply import apply_transform_file
from SpatialRegularizationLib.io.meshes import Mesh, write_mesh
from SpatialRegularizationLib.io.points import read_landmarks, write_points
from SpatialRegularizationLib.io.transforms import read_transform, write_transform
from SpatialRegularizationLib.io.volumes import read_volume, write_volume
from SpatialRegularizationLib.transforms.mapping import transform_points
from SpatialRegularizationLib.transforms.resample import resample, resample_labels

pytestmark = pytest.mark.slicer

ORIENTATIONS = ["oblique", "oblique left-handed", "LAS"]
MOVING = {"oblique": "LIA", "oblique left-handed": "oblique", "LAS": "oblique left-handed"}
FIELD_FORMATS = [".h5", ".nrrd", ".mha", ".nii.gz"]
TOLERANCE_MM = 1e-3
INNER = (slice(4, -4),) * 3


def field_only(orientation: str) -> SpatialTransform:
    return SpatialTransform(displacement=physical.bump_field(physical.grid(orientation)))


def far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)).max())


@pytest.mark.parametrize("suffix", FIELD_FORMATS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_slicer_reads_our_fields_in_the_same_sense(scene: Any, tmp_path: Path, orientation: str, suffix: str) -> None:
    transform = field_only(orientation)
    write_transform(tmp_path / f"t{suffix}", transform)
    points = physical.inner_points(transform.displacement.grid)
    node = scene.transform(tmp_path / f"t{suffix}")
    assert far(scene.from_parent(node, points), transform_points(transform, points)) < TOLERANCE_MM


@pytest.mark.parametrize("affine_first", [False, True])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_slicer_reads_our_composites_in_the_same_order(
    scene: Any, tmp_path: Path, orientation: str, affine_first: bool
) -> None:
    transform = physical.transform(physical.grid(orientation), affine_first=affine_first)
    write_transform(tmp_path / "t.h5", transform)
    node = scene.transform(tmp_path / "t.h5")
    points = physical.inner_points(transform.displacement.grid)
    if affine_first:
        back = np.linalg.inv(transform.affine_matrix)
        points = points @ back[:3, :3].T + back[:3, 3]
    expected = transform_points(transform, points)
    assert far(scene.from_parent(node, points), expected) < TOLERANCE_MM
    swapped = SpatialTransform(transform.affine, transform.displacement, affine_first=not affine_first)
    assert far(transform_points(swapped, points), expected) > 0.5


@pytest.mark.parametrize("suffix", [".h5", ".tfm", ".txt", ".mat"])
def test_affine_maps_go_both_ways(scene: Any, tmp_path: Path, suffix: str) -> None:
    transform = SpatialTransform(physical.affine())
    write_transform(tmp_path / f"t{suffix}", transform)
    node = scene.transform(tmp_path / f"t{suffix}")
    points = physical.inner_points(physical.grid("RAS"))
    assert far(scene.from_parent(node, points), transform_points(transform, points)) < TOLERANCE_MM
    scene.write(node, tmp_path / f"back{suffix}")
    assert far(read_transform(tmp_path / f"back{suffix}").affine_matrix, transform.affine_matrix) < 1e-6


@pytest.mark.parametrize("suffix", [*FIELD_FORMATS, ".tfm"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_we_read_the_fields_that_slicer_writes(scene: Any, tmp_path: Path, orientation: str, suffix: str) -> None:
    transform = field_only(orientation)
    write_transform(tmp_path / "t.h5", transform)
    scene.write(scene.transform(tmp_path / "t.h5"), tmp_path / f"slicer{suffix}")
    again = read_transform(tmp_path / f"slicer{suffix}")
    points = physical.inner_points(transform.displacement.grid)
    assert far(transform_points(again, points), transform_points(transform, points)) < TOLERANCE_MM


def test_we_read_the_composites_that_slicer_writes(scene: Any, tmp_path: Path) -> None:
    transform = physical.transform(physical.grid("oblique"))
    write_transform(tmp_path / "t.h5", transform)
    scene.write(scene.transform(tmp_path / "t.h5"), tmp_path / "slicer.h5")
    points = physical.inner_points(transform.displacement.grid)
    again = read_transform(tmp_path / "slicer.h5")
    assert far(transform_points(again, points), transform_points(transform, points)) < TOLERANCE_MM


def test_a_field_that_slicer_stored_in_the_other_sense_is_refused(scene: Any, tmp_path: Path) -> None:
    write_transform(tmp_path / "t.h5", field_only("oblique"))
    node = scene.transform(tmp_path / "t.h5")
    node.Inverse()
    scene.write(node, tmp_path / "inverse.nrrd")
    with pytest.raises(ValueError, match="moving to fixed"):
        read_transform(tmp_path / "inverse.nrrd")
    scene.write(node, tmp_path / "inverse.h5")
    with pytest.raises(ValueError, match="invert it in Slicer"):
        read_transform(tmp_path / "inverse.h5")


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_volume_under_the_transform_looks_as_ours(scene: Any, tmp_path: Path, orientation: str) -> None:
    transform = physical.transform(physical.grid(orientation))
    moving = physical.image(physical.other_grid(MOVING[orientation]), torch.float32)
    write_transform(tmp_path / "t.h5", transform)
    write_volume(tmp_path / "moving.nii.gz", moving)
    write_volume(tmp_path / "fixed.nrrd", physical.image(physical.grid(orientation), torch.float32))
    node = scene.transform(tmp_path / "t.h5")
    reference = scene.read("vtkMRMLScalarVolumeNode", tmp_path / "fixed.nrrd")
    volume = scene.read("vtkMRMLScalarVolumeNode", tmp_path / "moving.nii.gz")
    theirs, grid = scene.resampled(volume, node, reference)
    ours = resample(moving, transform, grid).data[0].numpy()
    assert far(ours[INNER], theirs[INNER]) < 0.05
    unmoved = resample(moving, None, grid).data[0].numpy()
    assert far(unmoved[INNER], theirs[INNER]) > 50


@pytest.mark.parametrize("mistake", ["no RAS flip", "negated", "to parent"])
def test_the_usual_mistakes_are_far_outside_the_tolerance(scene: Any, tmp_path: Path, mistake: str) -> None:
    """Negative controls: the comparison above sees each of them."""
    right = field_only("oblique")
    field = right.displacement
    flip = torch.tensor([-1.0, -1.0, 1.0]).view(3, 1, 1, 1)
    stored = {"no RAS flip": field.vectors * flip, "negated": -field.vectors, "to parent": field.vectors}[mistake]
    write_transform(tmp_path / "t.h5", SpatialTransform(displacement=DisplacementField(stored, field.grid)))
    node = scene.transform(tmp_path / "t.h5")
    if mistake == "to parent":
        node.Inverse()
    moving = physical.image(physical.other_grid("LIA"), torch.float32)
    write_volume(tmp_path / "moving.nii.gz", moving)
    write_volume(tmp_path / "fixed.nrrd", physical.image(field.grid, torch.float32))
    reference = scene.read("vtkMRMLScalarVolumeNode", tmp_path / "fixed.nrrd")
    theirs, grid = scene.resampled(scene.read("vtkMRMLScalarVolumeNode", tmp_path / "moving.nii.gz"), node, reference)
    assert far(resample(moving, right, grid).data[0].numpy()[INNER], theirs[INNER]) > 50


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_label_map_under_the_transform_is_ours_voxel_for_voxel(scene: Any, tmp_path: Path, orientation: str) -> None:
    transform = physical.transform(physical.grid(orientation))
    labels = physical.label_map(physical.other_grid(MOVING[orientation]))
    write_transform(tmp_path / "t.h5", transform)
    write_volume(tmp_path / "labels.nrrd", labels)
    write_volume(tmp_path / "fixed.nii.gz", physical.image(physical.grid(orientation), torch.float32))
    node = scene.transform(tmp_path / "t.h5")
    reference = scene.read("vtkMRMLScalarVolumeNode", tmp_path / "fixed.nii.gz")
    volume = scene.read("vtkMRMLLabelMapVolumeNode", tmp_path / "labels.nrrd")
    theirs, grid = scene.resampled(volume, node, reference)
    ours = resample_labels(labels, transform, grid).data[0].numpy()
    assert int((ours != theirs)[INNER].sum()) <= 5
    assert set(np.unique(theirs)) == {0, 1, 2, 7}


@pytest.mark.parametrize("name", ["p.mrk.json", "p.fcsv"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_hardened_markups_are_where_apply_puts_them(scene: Any, tmp_path: Path, orientation: str, name: str) -> None:
    transform = physical.transform(physical.grid(orientation))
    fixed = physical.inner_points(transform.displacement.grid, 20, margin=6)
    write_transform(tmp_path / "t.h5", transform)
    write_points(tmp_path / name, transform_points(transform, fixed))
    apply_transform_file(tmp_path / "t.h5", tmp_path / name, tmp_path / f"out-{name}")
    markups = scene.read("vtkMRMLMarkupsFiducialNode", tmp_path / name)
    markups.SetAndObserveTransformNodeID(scene.transform(tmp_path / "t.h5").GetID())
    markups.HardenTransform()
    theirs = scene.slicer.util.arrayFromMarkupsControlPoints(markups) * [-1, -1, 1]
    ours = read_landmarks(tmp_path / f"out-{name}").positions
    assert far(ours, theirs) < 1e-2
    assert far(ours, fixed) < 1e-3
    written = scene.read("vtkMRMLMarkupsFiducialNode", tmp_path / f"out-{name}")
    assert far(scene.slicer.util.arrayFromMarkupsControlPoints(written) * [-1, -1, 1], ours) < 1e-5


@pytest.mark.parametrize("suffix", [".vtk", ".vtp", ".stl", ".ply", ".obj"])
def test_a_hardened_model_is_where_apply_puts_it(scene: Any, tmp_path: Path, suffix: str) -> None:
    vtk = pytest.importorskip("vtk")
    transform = physical.transform(physical.grid("oblique left-handed"))
    source = vtk.vtkSphereSource()
    source.SetCenter(*physical.CENTER)
    source.SetRadius(9)
    source.Update()
    polydata = source.GetOutput()
    points = np.array([polydata.GetPoint(n) for n in range(polydata.GetNumberOfPoints())])
    write_transform(tmp_path / "t.h5", transform)
    write_mesh(tmp_path / f"m{suffix}", Mesh(points, polydata))
    apply_transform_file(tmp_path / "t.h5", tmp_path / f"m{suffix}", tmp_path / f"out{suffix}")
    model = scene.read("vtkMRMLModelNode", tmp_path / f"m{suffix}")
    model.SetAndObserveTransformNodeID(scene.transform(tmp_path / "t.h5").GetID())
    model.HardenTransform()
    theirs = scene.slicer.util.arrayFromModelPoints(model)
    ours = scene.slicer.util.arrayFromModelPoints(scene.read("vtkMRMLModelNode", tmp_path / f"out{suffix}"))
    assert far(ours, theirs) < 2e-2
    assert far(ours, points * [-1, -1, 1]) > 1


def test_plus_ten_millimetres_move_a_landmark_by_minus_ten_in_slicer_too(scene: Any, tmp_path: Path) -> None:
    matrix = np.eye(4)
    matrix[0, 3] = 10.0
    write_transform(tmp_path / "t.tfm", SpatialTransform(matrix))
    node = scene.transform(tmp_path / "t.tfm")
    np.testing.assert_allclose(scene.to_parent(node, np.array([[1.0, 2.0, 3.0]])), [[-9.0, 2.0, 3.0]], atol=1e-6)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_volumes_lie_where_slicer_shows_them(scene: Any, tmp_path: Path, orientation: str, suffix: str) -> None:
    volume = physical.image(physical.grid(orientation), torch.float32)
    write_volume(tmp_path / f"v{suffix}", volume)
    node = scene.read("vtkMRMLScalarVolumeNode", tmp_path / f"v{suffix}")
    expected = resample(volume, None, scene.grid(node)).data[0].numpy()
    assert far(scene.array(node), expected) < 1e-2
    scene.write(node, tmp_path / f"slicer{suffix}")
    again = read_volume(tmp_path / f"slicer{suffix}")
    assert far(resample(again, None, volume.grid).data, volume.data) < 1e-2
