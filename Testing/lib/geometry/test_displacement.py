"""The door between voxels and millimetres, against ITK's displacement field transform."""

from __future__ import annotations

import numpy as np
import physical
import pytest
import torch

from SpatialRegularizationLib.geometry import DisplacementField, Volume


@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_a_displacement_in_voxels_moves_points_by_that_many_voxels_in_itk(orientation: str) -> None:
    grid = physical.grid(orientation)
    u = torch.randn(3, *grid.shape, dtype=torch.float64)
    field = DisplacementField.from_voxels(u, grid)
    index = np.array([[3, 4, 5], [20, 11, 7]])
    moved = physical.itk_points(physical.itk_field(field), grid.index_to_point(index))
    expected = index + np.array([u[:, 3, 4, 5].numpy(), u[:, 20, 11, 7].numpy()])
    np.testing.assert_allclose(grid.point_to_index(moved), expected, atol=1e-9)
    torch.testing.assert_close(field.to_voxels(), u)


def test_zero_flow_is_exactly_zero_displacement() -> None:
    grid = physical.grid("oblique")
    assert DisplacementField.from_voxels(torch.zeros(3, *grid.shape), grid).vectors.abs().max() == 0
    assert DisplacementField.zeros(grid).magnitude().max() == 0


def test_scaling_by_the_spacing_alone_is_far_off_on_an_oblique_grid() -> None:
    """Negative control: directions belong to the conversion."""
    grid = physical.grid("oblique")
    u = torch.randn(3, *grid.shape, dtype=torch.float64)
    wrong = u * torch.tensor(grid.spacing, dtype=torch.float64).view(3, 1, 1, 1)
    assert (wrong - DisplacementField.from_voxels(u, grid).vectors).abs().max() > 1.0


def test_vectors_of_another_shape_or_not_finite_are_refused() -> None:
    grid = physical.grid("RAS")
    with pytest.raises(ValueError, match="must be"):
        DisplacementField(torch.zeros(3, 4, 4, 4), grid)
    with pytest.raises(ValueError, match="finite"):
        DisplacementField(torch.full((3, *grid.shape), float("nan")), grid)


def test_a_volume_refuses_data_of_another_shape() -> None:
    with pytest.raises(ValueError, match="Volume data"):
        Volume(torch.zeros(1, 4, 4, 4), physical.grid("RAS"))
