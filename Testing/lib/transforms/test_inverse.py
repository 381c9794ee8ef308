"""The way back."""

from __future__ import annotations

import numpy as np
import physical
import pytest
import SimpleITK as sitk
import torch

from SpatialRegularizationLib.geometry import DisplacementField, SpatialTransform
from SpatialRegularizationLib.transforms.inverse import invert, invert_displacement, invert_points
from SpatialRegularizationLib.transforms.mapping import transform_points


@pytest.mark.parametrize("affine_first", [False, True])
@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_points_come_back_to_a_thousandth_of_a_millimetre(orientation: str, affine_first: bool) -> None:
    grid = physical.grid(orientation)
    transform = physical.transform(grid, affine_first=affine_first)
    points = physical.inner_points(grid, 300, margin=-3.0)
    moved = physical.itk_points(physical.itk_transform(transform), points)
    found, residual = invert_points(transform, moved)
    assert residual.max() < 1e-3
    assert np.abs(found - points).max() < 2e-3


def test_a_steep_field_where_the_fixed_point_diverges_is_still_inverted() -> None:
    """d' reaches 3, so that z ← y - d(z) moves away from the solution."""
    grid = physical.grid("LPS", shape=(41, 5, 5), spacing=(1, 1, 1))
    x = torch.linspace(-1, 1, 41, dtype=torch.float64)
    vectors = torch.zeros(3, *grid.shape, dtype=torch.float64)
    vectors[0] = (6 * torch.tanh(10 * x)).view(-1, 1, 1)
    transform = SpatialTransform(displacement=DisplacementField(vectors, grid))
    points = grid.index_to_point(np.array([[p, 2.0, 2.0] for p in np.linspace(10, 30, 50)]))
    found, residual = invert_points(transform, transform_points(transform, points))
    assert residual.max() < 1e-3
    assert np.abs(found - points).max() < 1e-3


@pytest.mark.parametrize("orientation", ["RAS", "oblique left-handed"])
def test_the_inverse_field_undoes_the_field_at_every_voxel(orientation: str) -> None:
    grid = physical.grid(orientation)
    field = physical.bump_field(grid)
    inverse, residual = invert_displacement(field, tolerance_mm=1e-3)
    assert residual < 1e-3
    points = physical.voxel_centers(grid).reshape(-1, 3)
    back = points + inverse.vectors.reshape(3, -1).T.numpy()
    forth = physical.itk_points(physical.itk_field(field), back)
    assert np.abs(forth - points).max() < 2e-3


def test_the_inverse_field_is_that_of_itk() -> None:
    grid = physical.grid("oblique")
    field = physical.bump_field(grid, height=4.0)
    made = sitk.InvertDisplacementField(
        physical.itk_image(field.vectors, grid),
        maximumNumberOfIterations=200,
        maxErrorToleranceThreshold=1e-4,
        meanErrorToleranceThreshold=1e-5,
        enforceBoundaryCondition=True,
    )
    expected = np.moveaxis(sitk.GetArrayFromImage(made).transpose(2, 1, 0, 3), -1, 0)
    ours = invert_displacement(field, tolerance_mm=1e-3)[0].vectors.numpy()
    inner = (slice(None), slice(2, -2), slice(2, -2), slice(2, -2))
    assert np.abs(ours - expected)[inner].max() < 5e-2
    assert np.abs(ours - expected)[inner].mean() < 1e-3


@pytest.mark.parametrize("affine_first", [False, True])
def test_a_transform_and_its_inverse_cancel_between_voxels_too(affine_first: bool) -> None:
    grid = physical.grid("oblique")
    transform = physical.transform(grid, affine_first=affine_first)
    inverse, residual = invert(transform)
    assert inverse.affine_first is not affine_first
    assert residual < 1e-2
    points = physical.inner_points(grid, 300)
    if affine_first:
        back = np.linalg.inv(transform.affine_matrix)
        points = points @ back[:3, :3].T + back[:3, 3]
    assert np.abs(transform_points(inverse, transform_points(transform, points)) - points).max() < 0.1


def test_an_affine_map_is_inverted_exactly() -> None:
    inverse, residual = invert(SpatialTransform(physical.affine()))
    np.testing.assert_allclose(inverse.affine_matrix @ physical.affine(), np.eye(4), atol=1e-12)
    assert residual == 0


def test_a_fold_is_reported_and_not_hidden() -> None:
    grid = physical.grid("RAS", shape=(24, 20, 20), spacing=(1, 1, 1))
    field = DisplacementField(torch.randn(3, *grid.shape, dtype=torch.float64) * 4, grid)
    transform = SpatialTransform(displacement=field)
    _, residual = invert_points(transform, physical.inner_points(grid, 100))
    assert residual.max() > 0.1
    assert invert_displacement(field, iterations=5)[1] > 0.1


def test_a_point_in_the_gap_at_the_border_keeps_its_residual() -> None:
    """A field of 5 mm everywhere leaves 5 mm at its border that no point is sent to."""
    grid = physical.grid("LPS")
    field = DisplacementField(torch.tensor([5.0, 0, 0]).view(3, 1, 1, 1).expand(3, *grid.shape).clone(), grid)
    points = grid.index_to_point(np.array([[2.0, 10, 10], [20, 10, 10], [-9, 10, 10]]))
    _, residual = invert_points(SpatialTransform(displacement=field), points)
    assert residual[0] > 1
    np.testing.assert_allclose(residual[1:], 0, atol=1e-3)
