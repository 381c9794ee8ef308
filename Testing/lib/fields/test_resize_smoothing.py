"""Gaussian smoothing and box means against direct sums."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conformance import check_gradient
from SpatialRegularizationLib.fields.resize import along_axis, box_mean, gaussian_matrix, gaussian_smooth


def _noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def _direct(x: Tensor, axis: int, sigma: float) -> Tensor:
    """Convolution along one axis with the border repeated, by indexing."""
    radius = math.ceil(4 * sigma)
    weights = [math.exp(-0.5 * (t / sigma) ** 2) for t in range(-radius, radius + 1)]
    rows = torch.arange(x.shape[axis])
    total = torch.zeros_like(x)
    for t, weight in zip(range(-radius, radius + 1), weights, strict=True):
        total += weight / sum(weights) * x.index_select(axis, (rows + t).clamp(0, x.shape[axis] - 1))
    return total


def test_smoothing_is_a_convolution_along_each_axis_with_the_border_repeated() -> None:
    x = _noise(2, 3, 7, 5, 9)
    expected = _direct(_direct(x, 2, 1.5), 4, 0.7)
    torch.testing.assert_close(gaussian_smooth(x, (1.5, 0.0, 0.7)), expected)


def test_no_width_and_an_axis_of_one_voxel_leave_the_image_as_it_is() -> None:
    x = _noise(1, 2, 4, 1, 5)
    assert torch.equal(gaussian_smooth(x, (0.0, 3.0, 0.0)), x)


@pytest.mark.parametrize("sigma", [0.8, 1.3, 2.5])
def test_a_point_spreads_to_the_asked_width(sigma: float) -> None:
    line = gaussian_matrix(51, sigma)[:, 25]
    t = torch.arange(51, dtype=torch.float64) - 25
    assert float(line.sum()) == pytest.approx(1.0)
    assert float((line * t).sum()) == pytest.approx(0.0, abs=1e-12)
    assert float((line * t**2).sum()) == pytest.approx(sigma**2, rel=5e-3)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_constant_stays_however_wide_the_kernel(size: int) -> None:
    torch.testing.assert_close(gaussian_matrix(size, 6.0).sum(1), torch.ones(size, dtype=torch.float64))


def test_a_matrix_acts_on_the_lines_of_any_axis() -> None:
    x, matrix = _noise(2, 3, 4, 5, 6), _noise(7, 4)
    torch.testing.assert_close(along_axis(x, 2, matrix), torch.einsum("mn,bcnij->bcmij", matrix, x))
    matrix = _noise(2, 6)
    torch.testing.assert_close(along_axis(x, 4, matrix), torch.einsum("mn,bcijn->bcijm", matrix, x))


@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_box_mean_divides_by_what_is_left_of_the_window(width: int) -> None:
    x = _noise(1, 2, 6, 5, 7)
    expected = F.avg_pool3d(x, width, 1, width // 2, count_include_pad=False)
    torch.testing.assert_close(box_mean(x, width), expected)


def test_a_window_larger_than_the_image_gives_its_mean() -> None:
    x = _noise(1, 1, 3, 2, 4)
    torch.testing.assert_close(box_mean(x, 9), x.mean().expand_as(x))


def test_the_gradients_of_smoothing_agree_with_finite_differences() -> None:
    check_gradient(lambda x: gaussian_smooth(x, (1.0, 0.5, 2.0)), [_noise(1, 2, 4, 5, 3)])
    check_gradient(lambda x: box_mean(x, 3), [_noise(1, 2, 4, 5, 3)])
