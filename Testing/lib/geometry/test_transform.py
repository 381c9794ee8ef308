"""What a spatial transform may be made of."""

from __future__ import annotations

import numpy as np
import physical
import pytest
import torch

from SpatialRegularizationLib.geometry import DisplacementField, Grid, SpatialTransform


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
