"""Points through transforms, against SimpleITK."""

from __future__ import annotations

import numpy as np
import physical
import pytest
import torch

from SpatialRegularizationLib.geometry import DisplacementField, SpatialTransform
from SpatialRegularizationLib.transforms.mapping import displacement_at, displacement_gradient_at, transform_points


@pytest.mark.parametrize("affine_first", [False, True])
@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_points_go_where_itk_sends_them_inside_and_outside_of_the_field(orientation: str, affine_first: bool) -> None:
    grid = physical.grid(orientation)
    rough = DisplacementField(torch.randn(3, *grid.shape, dtype=torch.float64) * 4, grid)
    points = physical.inner_points(grid, 500, margin=-4.0)
    for field in (physical.bump_field(grid), rough):
        transform = SpatialTransform(physical.affine(), field, affine_first=affine_first)
        expected = physical.itk_points(physical.itk_transform(transform), points)
        assert np.abs(transform_points(transform, points) - expected).max() < 1e-9


def test_a_float32_field_costs_a_ten_thousandth_of_a_millimetre_at_most() -> None:
    grid = physical.grid("oblique")
    field = physical.bump_field(grid)
    points = physical.inner_points(grid)
    single = SpatialTransform(physical.affine(), DisplacementField(field.vectors.float(), grid))
    double = SpatialTransform(physical.affine(), field)
    assert np.abs(transform_points(single, points) - transform_points(double, points)).max() < 1e-4


def test_outside_the_field_the_border_value_is_used_only_on_request() -> None:
    grid = physical.grid("LAS")
    field = DisplacementField(torch.full((3, *grid.shape), 2.0), grid)
    far = grid.index_to_point(np.array([[-5.0, 3, 3], [-0.4, 3, 3]]))
    np.testing.assert_allclose(displacement_at(field, far), [[0, 0, 0], [2, 2, 2]])
    np.testing.assert_allclose(displacement_at(field, far, extend=True), 2.0)


def test_the_gradient_is_that_of_the_linear_interpolant() -> None:
    grid = physical.grid("oblique left-handed")
    field = DisplacementField(torch.randn(3, *grid.shape, dtype=torch.float64), grid)
    index = np.random.default_rng(3).integers(2, 20, (40, 3)) + np.random.default_rng(4).uniform(0.1, 0.9, (40, 3))
    points = grid.index_to_point(index)
    gradient = displacement_gradient_at(field, points)
    for axis in range(3):
        step = np.eye(3)[axis] * 1e-5
        numeric = (displacement_at(field, points + step) - displacement_at(field, points - step)) / 2e-5
        np.testing.assert_allclose(gradient[:, :, axis], numeric, atol=1e-6)


@pytest.mark.parametrize("points", [np.zeros((4, 2)), np.zeros(3), np.full((2, 3), np.nan)])
def test_what_is_not_a_list_of_points_is_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="Points must be"):
        transform_points(SpatialTransform(), points)
