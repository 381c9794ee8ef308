"""Cuts look the same whatever the voxel order of the file."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch
from finished import ramp_volume

from SpatialRegularizationLib.geometry import Grid
from SpatialRegularizationLib.report.cuts import patient_planes, spread_slices

ORIENTATIONS = [(axes, flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)]


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_cuts_do_not_depend_on_the_voxel_order(axes: tuple[int, ...], flips: tuple[bool, ...]) -> None:
    volume = ramp_volume()
    grid = volume.grid.reoriented(axes, flips)
    data = volume.data[0].permute(axes).flip([a for a in range(3) if flips[a]])
    index = np.array([4, 3, 2])
    new_index = np.rint(grid.point_to_index(volume.grid.index_to_point(index)))
    for plane, new_plane in zip(patient_planes(volume.grid), patient_planes(grid), strict=True):
        cut = plane.cut(volume.data[0], plane.slice_index(index))
        new_cut = new_plane.cut(data, new_plane.slice_index(new_index))
        assert np.array_equal(cut, new_cut)
        assert plane.letters == new_plane.letters
        assert plane.size_mm == pytest.approx(new_plane.size_mm)


def test_the_convention_is_radiological() -> None:
    volume = ramp_volume()
    x, y, z = (volume.grid.index_to_point(np.moveaxis(np.indices(volume.grid.shape), 0, -1))[..., c] for c in range(3))
    axial, coronal, sagittal = patient_planes(volume.grid)
    assert [p.letters for p in (axial, coronal, sagittal)] == [
        ("R", "L", "A", "P"), ("R", "L", "S", "I"), ("A", "P", "S", "I"),
    ]  # fmt: skip
    left_of_patient = axial.cut(torch.from_numpy(x), 0)
    assert left_of_patient[0, -1] > left_of_patient[0, 0]
    posterior = axial.cut(torch.from_numpy(y), 0)
    assert posterior[-1, 0] > posterior[0, 0]
    for plane in (coronal, sagittal):
        superior = plane.cut(torch.from_numpy(z), 0)
        assert superior[0, 0] > superior[-1, 0]


def test_oblique_planes_say_so() -> None:
    c, s = np.cos(0.5), np.sin(0.5)
    grid = Grid((4, 5, 6), (1, 1, 1), (0, 0, 0), ((c, -s, 0), (s, c, 0), (0, 0, 1)))
    axial, coronal, _ = patient_planes(grid)
    assert not axial.oblique
    assert axial.letters == ("RA", "LP", "AL", "PR")
    assert coronal.oblique


def test_a_slice_grid_lies_where_the_slice_is() -> None:
    grid = ramp_volume().grid
    plane = patient_planes(grid)[0]
    assert plane.slice_grid(grid, 4).origin == pytest.approx(tuple(grid.index_to_point(np.array([0, 0, 4]))))


def test_slices_are_spread_over_the_foreground() -> None:
    volume = ramp_volume((10, 10, 40))
    foreground = torch.zeros(10, 10, 40, dtype=torch.bool)
    foreground[:, :, 10:30] = True
    numbers = spread_slices(volume.grid, foreground, patient_planes(volume.grid)[0], 5)
    assert numbers[0] >= 10
    assert numbers[-1] <= 29
    assert len(set(numbers)) == 5
    nothing = spread_slices(volume.grid, torch.zeros_like(foreground), patient_planes(volume.grid)[0], 3)
    assert nothing[1] in (19, 20)
