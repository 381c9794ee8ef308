"""What a spatial transform may be made of, and how far it turns: angles come back as they went in, whatever stretches along."""

from __future__ import annotations

import numpy as np
import physical
import pytest
import torch

from SpatialRegularizationLib.geometry import DisplacementField, Grid, SpatialTransform
from SpatialRegularizationLib.geometry.transform import degrees_apart, degrees_of, nearest_rotation


def test_the_default_is_the_identity() -> None:
    identity = SpatialTransform.identity()
    np.testing.assert_array_equal(identity.affine_matrix, np.eye(4))
    assert identity.is_affine
    assert not identity.has_affine


def test_the_matrix_is_kept_to_the_last_bit_and_as_a_copy() -> None:
    matrix = physical.affine()
    transform = SpatialTransform(matrix)
    kept = matrix.copy()
    matrix[0, 0] = 99
    np.testing.assert_array_equal(transform.affine_matrix, kept)
    assert transform.has_affine


def test_a_field_can_be_exchanged_without_touching_the_rest() -> None:
    transform = physical.transform(physical.grid("RAS"), affine_first=True)
    bare = transform.with_displacement(None)
    assert bare.affine_first
    assert bare.affine == transform.affine
    assert bare.is_affine


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(3), "4x4"),
        (np.full((4, 4), np.nan), "finite"),
        (np.diag([1.0, 1.0, 0.0, 1.0]), "invertible"),
        (np.eye(4) + np.array([[0], [0], [0], [1]]) * np.array([1, 0, 0, 0]), "last row"),
    ],
)
def test_an_impossible_matrix_is_refused_in_a_sentence(matrix: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpatialTransform(matrix)


def test_a_flat_field_is_refused() -> None:
    grid = Grid((4, 4), (1, 1), (0, 0), ((1, 0), (0, 1)))
    with pytest.raises(ValueError, match="3-D"):
        SpatialTransform(displacement=DisplacementField(torch.zeros(2, 4, 4), grid))


def posed(linear: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, (7.0, -3.0, 2.0)
    return matrix


@pytest.mark.parametrize("degrees", [0.0, 1e-7, 1e-4, 0.5, 17.0, 90.0, 120.0, 179.0, 180.0])
def test_the_angle_of_a_rotation_about_any_axis_comes_back(degrees: float) -> None:
    axis = physical.rotation(0.4, -0.3, 0.25)
    rotation = axis @ physical.rotation(0, 0, np.radians(degrees)) @ axis.T
    assert degrees_of(rotation) == pytest.approx(degrees, rel=1e-6, abs=1e-9)
    assert degrees_apart(posed(axis), posed(axis @ rotation)) == pytest.approx(degrees, rel=1e-6, abs=1e-9)


def test_the_nearest_rotation_is_what_a_symmetric_stretch_follows() -> None:
    stretch = np.array([[1.2, 0.1, 0.0], [0.1, 0.8, -0.05], [0.0, -0.05, 1.0]])
    rotation = physical.rotation(0.5, 0.2, -0.9)
    np.testing.assert_allclose(nearest_rotation(rotation @ stretch), rotation, atol=1e-12)


def test_a_map_that_mirrors_still_has_a_nearest_rotation() -> None:
    rotation = nearest_rotation(physical.rotation(0.5, 0.2, -0.9) @ np.diag([1.0, -1.0, 0.9]))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_a_pose_and_its_mirror_image_are_as_far_apart_as_can_be_and_two_mirrored_ones_are_not() -> None:
    mirror = posed(np.diag([-1.0, 1.0, 1.0]))
    turned = posed(np.diag([-1.0, 1.0, 1.0]) @ physical.rotation(0, 0, np.radians(30.0)))
    assert degrees_apart(posed(np.eye(3)), mirror) == degrees_apart(mirror, posed(np.eye(3))) == 180
    assert degrees_apart(mirror, turned) == pytest.approx(30)
