"""Fields carried between lattices keep what they say about points of the patient."""

from __future__ import annotations

import numpy as np
import physical
import pytest
import torch

from SpatialRegularizationLib.geometry import DisplacementField, Grid
from SpatialRegularizationLib.transforms.mapping import displacement_at
from SpatialRegularizationLib.transforms.resample import regrid, regrid_displacement

SOURCE = physical.grid("LIA", shape=(30, 26, 28), spacing=(2.0, 2.2, 1.8))


def linear(where: Grid) -> torch.Tensor:
    """a(x) = g·x + 1, exact under linear interpolation: (1, 1, *shape)."""
    return torch.from_numpy(physical.voxel_centers(where) @ np.array([0.3, -0.2, 0.5]) + 1)[None, None]


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LIA", "oblique", "oblique left-handed"])
def test_a_scalar_field_keeps_its_value_at_every_point(orientation: str) -> None:
    target = physical.grid(orientation, shape=(11, 14, 12), spacing=(1.5, 1.1, 1.3))
    carried = regrid(linear(SOURCE), SOURCE, target)
    assert carried.is_contiguous()
    assert torch.allclose(carried, linear(target), atol=1e-9)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LIA", "oblique"])
def test_a_displacement_keeps_its_millimeters(orientation: str) -> None:
    target = physical.grid(orientation, shape=(11, 14, 12), spacing=(1.5, 1.1, 1.3))
    field = physical.bump_field(SOURCE)
    carried = regrid_displacement(field.to_voxels()[None], SOURCE, target)
    points = target.index_to_point(np.argwhere(np.ones(target.shape)))
    found = DisplacementField.from_voxels(carried[0], target).vectors.reshape(3, -1).T.numpy()
    assert np.abs(found).max() > 2
    assert np.abs(found - displacement_at(field, points)).max() < 1e-9


def test_a_permuted_and_flipped_lattice_of_the_same_voxels_is_carried_without_interpolation() -> None:
    values = torch.rand(1, 2, *SOURCE.shape)
    target = SOURCE.reoriented((2, 0, 1), (True, False, True))
    assert torch.equal(regrid(values, SOURCE, target), values.permute(0, 1, 4, 2, 3).flip((2, 4)))
    assert torch.equal(regrid(values, SOURCE, SOURCE), values)


def test_beyond_the_source_the_border_value_is_repeated() -> None:
    values = linear(SOURCE)
    axis = np.array(SOURCE.direction)[:, 0]
    far = tuple(np.array(SOURCE.origin) - 20 * axis)
    carried = regrid(values, SOURCE, Grid((3, *SOURCE.shape[1:]), SOURCE.spacing, far, SOURCE.direction))
    assert torch.allclose(carried, values[:, :, :1].expand(-1, -1, 3, -1, -1))
