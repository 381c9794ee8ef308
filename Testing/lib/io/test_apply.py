"""Applying a transform file moves image, label map, points and surface to the same place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import physical
import pytest
import SimpleITK as sitk
import torch

from SpatialRegularizationLib.geometry import DisplacementField, SpatialTransform, Volume
from SpatialRegularizationLib.io.apply import apply_transform_file
from SpatialRegularizationLib.io.points import read_landmarks, write_points
from SpatialRegularizationLib.io.transforms import write_transform
from SpatialRegularizationLib.io.volumes import read_volume, write_volume
from SpatialRegularizationLib.transforms.inverse import invert
from SpatialRegularizationLib.transforms.mapping import transform_points

FIXED, MOVING = physical.grid("oblique"), physical.other_grid("LIA")


@pytest.fixture
def transform() -> SpatialTransform:
    return physical.transform(FIXED)


@pytest.fixture
def folder(tmp_path: Path, transform: SpatialTransform) -> Path:
    write_transform(tmp_path / "t.h5", transform)
    write_transform(tmp_path / "i.h5", invert(transform, tolerance_mm=1e-3)[0])
    write_volume(tmp_path / "moving.nii.gz", physical.image(MOVING, torch.float32))
    write_volume(tmp_path / "labels.nrrd", physical.label_map(MOVING))
    write_volume(tmp_path / "fixed.mha", physical.image(FIXED, torch.float32))
    return tmp_path


def test_an_image_is_pulled_onto_the_reference_as_itk_does(folder: Path, transform: SpatialTransform) -> None:
    grid = physical.grid("RAS", shape=(20, 21, 22))
    write_volume(folder / "reference.nrrd", physical.image(grid))
    done = apply_transform_file(
        folder / "t.h5", folder / "moving.nii.gz", folder / "out.nrrd", reference=folder / "reference.nrrd"
    )
    volume = read_volume(folder / "moving.nii.gz")
    made = physical.itk_transform(transform)
    expected = physical.itk_resample(volume, made, grid, sitk.sitkLinear, float(volume.data.min()))
    out = read_volume(folder / "out.nrrd")
    assert np.abs(out.data[0].numpy() - expected).max() < 1e-4 * 480
    assert out.grid.matches(grid)
    assert done.kind == "image"
    assert done.residual_mm == 0
    assert done.notes == ()


def test_without_a_reference_the_grid_of_the_field_is_used(folder: Path) -> None:
    apply_transform_file(folder / "t.h5", folder / "moving.nii.gz", folder / "out.nii.gz")
    assert read_volume(folder / "out.nii.gz").grid.matches(FIXED)


def test_a_label_map_keeps_its_labels(folder: Path, transform: SpatialTransform) -> None:
    done = apply_transform_file(folder / "t.h5", folder / "labels.nrrd", folder / "out.nrrd", labels=True)
    expected = physical.itk_resample(
        physical.label_map(MOVING), physical.itk_transform(transform), FIXED, sitk.sitkNearestNeighbor
    )
    out = read_volume(folder / "out.nrrd", labels=True).data[0].numpy()
    assert (out != expected).sum() <= 5
    assert done.kind == "label map"


@pytest.mark.parametrize("name", ["p.csv", "p.fcsv", "p.mrk.json", "p.txt"])
def test_points_of_the_moving_image_land_where_the_image_goes(
    folder: Path, transform: SpatialTransform, name: str
) -> None:
    fixed = physical.inner_points(FIXED, 30)
    write_points(folder / name, physical.itk_points(physical.itk_transform(transform), fixed))
    done = apply_transform_file(folder / "t.h5", folder / name, folder / f"out{name}")
    assert np.abs(read_landmarks(folder / f"out{name}").positions - fixed).max() < 1e-3
    assert done.kind == "points"
    assert done.residual_mm < 1e-3
    apply_transform_file(folder / "t.h5", folder / f"out{name}", folder / f"back{name}", inverse=True)
    np.testing.assert_allclose(
        read_landmarks(folder / f"back{name}").positions, read_landmarks(folder / name).positions, atol=2e-3
    )


def test_a_bright_ball_its_center_and_its_surface_stay_together(folder: Path) -> None:
    vtk = pytest.importorskip("vtk", reason="surface models need vtk")
    from SpatialRegularizationLib.io.meshes import Mesh, read_mesh, write_mesh

    center = physical.CENTER + np.array([5.0, -3.0, 4.0])
    distance = np.linalg.norm(physical.voxel_centers(MOVING) - center, axis=-1)
    write_volume(folder / "ball.nrrd", Volume(torch.from_numpy((distance < 7).astype(np.float32))[None], MOVING))
    write_points(folder / "ball.csv", center[None])
    source = vtk.vtkSphereSource()
    source.SetCenter(*center)
    source.SetRadius(7)
    source.Update()
    polydata = source.GetOutput()
    points = np.array([polydata.GetPoint(n) for n in range(polydata.GetNumberOfPoints())])
    write_mesh(folder / "ball.vtk", Mesh(points, polydata))
    for name in ("ball.nrrd", "ball.csv", "ball.vtk"):
        apply_transform_file(folder / "t.h5", folder / name, folder / f"out-{name}")
    image = read_volume(folder / "out-ball.nrrd")
    weights = image.data[0].numpy()
    mass = (physical.voxel_centers(FIXED) * weights[..., None]).sum((0, 1, 2)) / weights.sum()
    point = read_landmarks(folder / "out-ball.csv").positions[0]
    surface = read_mesh(folder / "out-ball.vtk").points.mean(0)
    assert np.linalg.norm(point - center) > 3
    assert np.linalg.norm(mass - point) < 1
    assert np.linalg.norm(surface - point) < 1


def test_inverse_carries_the_fixed_image_back_and_says_how_well(folder: Path, transform: SpatialTransform) -> None:
    """Fixed image = moving pulled by φ; pulled back by φ⁻¹ it is the moving image again, up to interpolation."""
    apply_transform_file(folder / "t.h5", folder / "moving.nii.gz", folder / "warped.nrrd")
    done = apply_transform_file(
        folder / "t.h5", folder / "warped.nrrd", folder / "back.nrrd", reference=folder / "moving.nii.gz", inverse=True
    )
    inner = np.linalg.norm(physical.voxel_centers(MOVING) - physical.CENTER, axis=-1) < 10
    back = read_volume(folder / "back.nrrd").data[0].numpy()
    there = read_volume(folder / "moving.nii.gz").data[0].numpy()
    assert np.abs(back - there)[inner].mean() < 6
    assert 0 < done.residual_mm < 1e-2
    assert done.notes == ()


def test_the_stored_inverse_and_the_inverse_option_agree(folder: Path) -> None:
    apply_transform_file(folder / "i.h5", folder / "fixed.mha", folder / "a.nrrd", reference=folder / "moving.nii.gz")
    apply_transform_file(
        folder / "t.h5", folder / "fixed.mha", folder / "b.nrrd", reference=folder / "moving.nii.gz", inverse=True
    )
    a, b = (read_volume(folder / name).data[0].numpy() for name in ("a.nrrd", "b.nrrd"))
    assert (np.abs(a - b) > 0.5).mean() < 1e-3


def test_points_that_have_no_origin_are_counted_in_a_note(folder: Path) -> None:
    grid = physical.grid("LPS")
    field = DisplacementField(torch.tensor([5.0, 0, 0]).view(3, 1, 1, 1).expand(3, *grid.shape).clone(), grid)
    write_transform(folder / "shift.nrrd", SpatialTransform(displacement=field))
    write_points(folder / "p.csv", grid.index_to_point(np.array([[2.0, 10, 10], [20, 10, 10]])))
    done = apply_transform_file(folder / "shift.nrrd", folder / "p.csv", folder / "q.csv")
    assert done.residual_mm > 1
    assert "1 of 2 points" in done.notes[0]


def test_plus_ten_millimetres_move_a_landmark_by_minus_ten(folder: Path) -> None:
    matrix = np.eye(4)
    matrix[1, 3] = 10.0
    write_transform(folder / "shift.tfm", SpatialTransform(matrix))
    write_points(folder / "p.csv", np.array([[1.0, 2.0, 3.0]]))
    apply_transform_file(folder / "shift.tfm", folder / "p.csv", folder / "q.csv")
    np.testing.assert_allclose(read_landmarks(folder / "q.csv").positions, [[1.0, -8.0, 3.0]], atol=1e-6)


def test_where_no_grid_follows_from_the_transform_a_reference_is_asked_for(folder: Path) -> None:
    write_transform(folder / "a.tfm", SpatialTransform(physical.affine()))
    with pytest.raises(ValueError, match="name the fixed image as reference"):
        apply_transform_file(folder / "a.tfm", folder / "moving.nii.gz", folder / "out.nrrd")
    with pytest.raises(ValueError, match="name the moving image as reference"):
        apply_transform_file(folder / "t.h5", folder / "fixed.mha", folder / "out.nrrd", inverse=True)
    assert not (folder / "out.nrrd").exists()


def test_an_unwritable_result_leaves_nothing(folder: Path) -> None:
    with pytest.raises(ValueError, match="endings"):
        apply_transform_file(folder / "t.h5", folder / "moving.nii.gz", folder / "out.png")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        apply_transform_file(folder / "t.h5", folder / "none.nii.gz", folder / "out.nrrd")
    assert not [p for p in folder.iterdir() if "part" in p.name or p.name.startswith("out")]


@pytest.mark.parametrize("inverse", [True, False])
def test_points_outside_of_the_field_and_points_never_placed_are_told(
    folder: Path, transform: SpatialTransform, inverse: bool
) -> None:
    inside = physical.inner_points(FIXED, 4)
    fixed = np.vstack([inside, inside[:2] + 500])
    given = fixed if inverse else transform_points(transform, fixed)
    rows = [f"{n},{','.join(map(str, p))},1" for n, p in enumerate(given)]
    (folder / "p.csv").write_text("\n".join(["label,l,p,s,defined", *rows, "nowhere,0,0,0,0"]) + "\n")
    done = apply_transform_file(folder / "t.h5", folder / "p.csv", folder / "q.csv", inverse=inverse)
    assert any("2 of 6 points lie outside of the transform's field" in note for note in done.notes)
    assert "Never placed, and therefore not carried: nowhere." in done.notes
    out = read_landmarks(folder / "q.csv")
    assert len(out.positions) == 6
    np.testing.assert_allclose(out.positions, transform_points(transform, fixed) if inverse else fixed, atol=2e-3)


def test_points_inside_of_the_field_need_no_note(folder: Path) -> None:
    write_points(folder / "p.csv", physical.inner_points(FIXED, 4))
    assert apply_transform_file(folder / "t.h5", folder / "p.csv", folder / "q.csv", inverse=True).notes == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_voxels_without_a_number_are_told_and_leave_none_in_the_result(folder: Path, value: float) -> None:
    volume = physical.image(MOVING, torch.float32)
    volume.data[:, :9] = value
    write_volume(folder / "masked.nii.gz", volume)
    done = apply_transform_file(folder / "t.h5", folder / "masked.nii.gz", folder / "out.nrrd")
    assert f"{int((~torch.isfinite(volume.data)).sum())} of {volume.data.numel()} voxels" in done.notes[0]
    assert bool(torch.isfinite(read_volume(folder / "out.nrrd").data).all())
    write_volume(folder / "empty.nrrd", volume.with_data(volume.data * float("nan")))
    with pytest.raises(ValueError, match=r"empty\.nrrd holds no number"):
        apply_transform_file(folder / "t.h5", folder / "empty.nrrd", folder / "out2.nrrd")


def test_a_label_map_of_doubles_keeps_large_ids(folder: Path) -> None:
    labels = physical.label_map(MOVING)
    ids = torch.where(labels.data == 7, 312782628.0, labels.data.double() * 16777217)
    write_volume(folder / "ids.nii.gz", Volume(ids, MOVING))
    apply_transform_file(folder / "t.h5", folder / "ids.nii.gz", folder / "out.nii.gz", labels=True)
    apply_transform_file(folder / "t.h5", folder / "labels.nrrd", folder / "plain.nii.gz", labels=True)
    plain = read_volume(folder / "plain.nii.gz", labels=True).data
    expected = torch.where(plain == 7, 312782628, plain.long() * 16777217)
    assert torch.equal(read_volume(folder / "out.nii.gz", labels=True).data.long(), expected)
