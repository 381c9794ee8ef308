"""Lengths of vectors equal PyTorch's norms."""

from __future__ import annotations

import math

import pytest
import torch

from SpatialRegularizationLib.fields.vectors import largest_length, lengths, squared_lengths


@pytest.mark.parametrize(("shape", "axis"), [((2, 3, 4, 5, 6), 1), ((3, 4, 5), 0), ((1, 2, 7, 6), 1), ((4, 3), -1)])
def test_they_are_the_norms_along_that_axis(shape: tuple[int, ...], axis: int) -> None:
    vectors = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    norm = vectors.norm(dim=axis)
    torch.testing.assert_close(lengths(vectors, axis), norm)
    torch.testing.assert_close(squared_lengths(vectors, axis), norm.square())
    assert largest_length(vectors, axis) == pytest.approx(float(norm.max()))


def test_the_vectors_stay_as_they_are_and_nan_is_seen() -> None:
    vectors = torch.tensor([[1.0, 3.0], [2.0, math.nan], [2.0, 4.0]])
    before = vectors.clone()
    assert math.isnan(largest_length(vectors, 0))
    assert largest_length(vectors[:, :1], 0) == 3
    assert torch.equal(vectors.nan_to_num(-1.0), before.nan_to_num(-1.0))
