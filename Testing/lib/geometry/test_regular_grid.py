"""Lattices of files as grids: rounding is told in millimeters, shear is undone by resampling, positions stay."""

from __future__ import annotations

import itertools
import re

import numpy as np
import physical
import pytest

from SpatialRegularizationLib.geometry.regular_grid import regular_grid

SHAPE = (30, 24, 18)


def affine(direction: np.ndarray, spacing=(1.0, 1.5, 2.5), origin=(5.0, -7.0, 11.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = direction * np.array(spacing)
    matrix[:3, 3] = origin
    return matrix


@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_right_angled_axes_stay_as_they_are(orientation: str) -> None:
    matrix = affine(physical.DIRECTIONS[orientation])
    found = regular_grid(SHAPE, matrix)
    np.testing.assert_allclose(found.grid.affine, matrix, atol=1e-12)
    assert found.pull is None
    assert found.notes == ()


@pytest.mark.parametrize("orientation", ["RAS", "oblique", "oblique left-handed"])
def test_rounded_cosines_become_the_nearest_frame_and_the_error_is_told(orientation: str) -> None:
    off = np.array([[0, 0.002, 0], [0, 0, -0.0015], [0.001, 0, 0]])
    matrix = affine(physical.DIRECTIONS[orientation] @ (np.eye(3) + off))
    found = regular_grid(SHAPE, matrix)
    direction = np.array(found.grid.direction)
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-12)
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in SHAPE])))
    apart = found.grid.index_to_point(corners) - (corners @ matrix[:3, :3].T + matrix[:3, 3])
    error = np.linalg.norm(apart, axis=1).max()
    assert 0 < error < 0.1
    assert float(re.search(r"off by ([\d.]+) mm", found.notes[0])[1]) == pytest.approx(error, rel=0.01)


@pytest.mark.parametrize("orientation", ["LPS", "oblique", "oblique left-handed"])
@pytest.mark.parametrize("shear", [((0, 0, 0), (0, 0, 0.4), (0, 0, 0)), ((0, 0.1, -0.2), (0, 0, 0.3), (0.05, 0, 0))])
def test_sheared_axes_are_covered_by_right_angled_ones_at_the_same_places(orientation: str, shear: tuple) -> None:
    matrix = affine(physical.DIRECTIONS[orientation] @ (np.eye(3) + np.array(shear)))
    found = regular_grid(SHAPE, matrix)
    np.testing.assert_allclose(matrix @ found.pull, found.grid.affine, atol=1e-9)
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in SHAPE])))
    assert found.grid.contains(corners @ matrix[:3, :3].T + matrix[:3, 3], margin=1e-6).all()
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(np.linalg.det(found.grid.affine[:3, :3]))
    assert "sheared" in found.notes[0]


def test_a_tilted_gantry_keeps_its_slices() -> None:
    matrix = affine(np.eye(3) + np.array([[0, 0, 0], [0, 0, 0.3], [0, 0, 0]]))
    found = regular_grid(SHAPE, matrix)
    assert found.grid.shape[0] == SHAPE[0]
    assert found.grid.shape[2] == SHAPE[2]
    np.testing.assert_allclose(found.pull[2], [0, 0, 1, 0], atol=1e-9)
    assert found.grid.spacing == pytest.approx((1.0, 1.5, 2.5))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m[:3, 0].fill(0), "spacing must be positive"),
        (lambda m: m[:3, 3].fill(np.inf), "not finite"),
        (lambda m: m[:3, 1].fill(np.nan), "not finite"),
        (lambda m: m.__setitem__((slice(3), 1), m[:3, 0]), "in one plane"),
    ],
)
def test_what_is_no_lattice_is_refused(change, words: str) -> None:
    matrix = affine(np.eye(3))
    change(matrix)
    with pytest.raises(ValueError, match=words):
        regular_grid(SHAPE, matrix)


def test_a_lattice_that_would_grow_too_much_is_refused() -> None:
    matrix = affine(np.eye(3) + np.array([[0, 0, 2.5], [0, 0, 0], [0, 0, 0]]), spacing=(0.1, 1, 5))
    with pytest.raises(ValueError, match=r"sheared by 68\.2 degrees"):
        regular_grid((10, 10, 200), matrix)
