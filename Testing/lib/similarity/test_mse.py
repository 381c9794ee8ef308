"""Mean squared difference, whole and masked."""

from __future__ import annotations

import pytest
import torch

from conformance import textures
from SpatialRegularizationLib.similarity.mse import Mse


def test_the_value_is_the_mean_of_the_squares() -> None:
    warped, fixed = textures((4, 5, 6))
    assert float(Mse()(warped, fixed)) == pytest.approx(float(((warped - fixed) ** 2).sum()) / 120)
    assert float(Mse()(fixed + 0.3, fixed)) == pytest.approx(0.09)


def test_the_gradient_is_twice_the_mean_difference() -> None:
    warped, fixed = textures((4, 5, 6))
    leaf = warped.clone().requires_grad_(True)
    Mse()(leaf, fixed).backward()
    torch.testing.assert_close(leaf.grad, 2 * (warped - fixed) / 120)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_mask_takes_the_mean_over_its_voxels_and_all_channels(channels: int) -> None:
    warped, fixed = (image.expand(1, channels, 4, 5, 6) for image in textures((4, 5, 6)))
    mask = torch.zeros(1, 1, 4, 5, 6, dtype=torch.float64)
    mask[:, :, 1:3, 2:, :4] = 1
    expected = ((warped - fixed) ** 2)[:, :, 1:3, 2:, :4].mean()
    torch.testing.assert_close(Mse()(warped, fixed, mask), expected)
    torch.testing.assert_close(Mse()(warped, fixed, torch.ones_like(mask)), Mse()(warped, fixed))


def test_an_empty_mask_gives_zero() -> None:
    warped, fixed = textures((4, 5, 6))
    assert float(Mse()(warped, fixed, torch.zeros_like(fixed))) == 0.0
