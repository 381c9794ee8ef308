"""Grids against SimpleITK's index and physical coordinates."""

from __future__ import annotations

import numpy as np
import physical
import pytest

from SpatialRegularizationLib.geometry import Grid

IDENTITY = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_positions_and_indices_are_those_of_itk(orientation: str) -> None:
    grid = physical.grid(orientation)
    image = physical.itk_image(np.zeros(grid.shape, dtype=np.float32), grid)
    index = np.random.default_rng(0).uniform(-3, 40, (50, 3))
    points = grid.index_to_point(index)
    expected = np.array([image.TransformContinuousIndexToPhysicalPoint(p.tolist()) for p in index])
    np.testing.assert_allclose(points, expected, atol=1e-9)
    np.testing.assert_allclose(grid.point_to_index(points), index, atol=1e-9)


@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_a_grid_comes_back_from_its_affine(orientation: str) -> None:
    grid = physical.grid(orientation)
    assert Grid.from_affine(grid.affine, grid.shape).matches(grid, tolerance=1e-9)


def test_resizing_keeps_the_first_and_the_last_voxel_center() -> None:
    grid = physical.grid("oblique")
    small = grid.resized((20, 12, 9))
    np.testing.assert_allclose(small.index_to_point([0, 0, 0]), grid.index_to_point([0, 0, 0]), atol=1e-9)
    last = np.array(grid.shape) - 1
    np.testing.assert_allclose(small.index_to_point([19, 11, 8]), grid.index_to_point(last), atol=1e-9)
    np.testing.assert_allclose(small.extent, grid.extent)


def test_resizing_to_one_voxel_keeps_the_spacing() -> None:
    assert physical.grid("RAS").resized((1, 34, 24)).spacing == physical.SPACING


def test_permuted_and_flipped_axes_describe_the_same_lattice() -> None:
    grid = physical.grid("oblique")
    turned = grid.reoriented((2, 0, 1), (True, False, True))
    index = np.array([3.0, 5.0, 7.0])
    expected = np.array([grid.shape[2] - 1 - 7.0, 3.0, grid.shape[1] - 1 - 5.0])
    np.testing.assert_allclose(turned.point_to_index(grid.index_to_point(index)), expected, atol=1e-9)


def test_a_grid_contains_half_a_voxel_beyond_its_outermost_centers() -> None:
    grid = physical.grid("LIA")
    inside = grid.contains(grid.index_to_point([[-0.49, 0, 0], [-0.51, 0, 0], [39.49, 33, 23], [0, 0, 23.6]]))
    assert inside.tolist() == [True, False, True, False]


def test_the_center_lies_between_first_and_last_voxel() -> None:
    np.testing.assert_allclose(physical.grid("oblique left-handed").center, physical.CENTER, atol=1e-9)


def test_two_grids_match_only_when_their_corners_do() -> None:
    grid = physical.grid("oblique")
    moved = Grid(grid.shape, grid.spacing, tuple(np.array(grid.origin) + 0.01), grid.direction)
    assert grid.matches(grid)
    assert not grid.matches(moved)
    assert grid.matches(moved, tolerance=0.1)
    assert not grid.matches(grid.resized((40, 34, 25)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (4,), "spacing": (1,), "origin": (0,), "direction": ((1,),)}, "2 or 3 axes"),
        ({"shape": (4, 0, 4)}, "at least 1"),
        ({"spacing": (1, 0, 1)}, "spacing must be positive"),
        ({"spacing": (1, float("nan"), 1)}, "spacing must be positive"),
        ({"spacing": (1, 1)}, "3 numbers"),
        ({"origin": (0, 0, float("inf"))}, "origin must be finite"),
        ({"direction": ((1, 0), (0, 1))}, "3x3"),
        ({"direction": ((1, 0.2, 0), (0, 1, 0), (0, 0, 1))}, "orthonormal"),
        ({"direction": ((2, 0, 0), (0, 1, 0), (0, 0, 1))}, "orthonormal"),
    ],
)
def test_an_impossible_grid_is_refused_in_a_sentence(change: dict, message: str) -> None:
    good = {"shape": (4, 4, 4), "spacing": (1, 1, 1), "origin": (0, 0, 0), "direction": IDENTITY}
    with pytest.raises(ValueError, match=message):
        Grid(**{**good, **change})
