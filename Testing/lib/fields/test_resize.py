"""Changing the lattice: first and last centres stay, linear fields are reproduced, fine patterns do not alias."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from analytic import Affine, lattice
from conformance import check_gradient
from SpatialRegularizationLib.fields.resize import antialias_sigma, resample_axes, resize, resize_displacement, shrink

LATTICES = [((5, 6, 4), (9, 4, 7)), ((9, 4, 7), (5, 6, 4)), ((4, 5, 6), (4, 5, 6)), ((3, 5, 4), (3, 9, 2))]


def _noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def _positions(old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Where the voxels of the new lattice lie in the old one."""
    ratio = torch.tensor([(o - 1) / (n - 1) for o, n in zip(old, new, strict=True)], dtype=torch.float64)
    return lattice(new) * ratio.view(-1, 1, 1, 1)


@pytest.mark.parametrize(("old", "new"), LATTICES)
def test_resizing_is_linear_interpolation_with_the_corners_aligned(old, new) -> None:
    x = _noise(2, 3, *old)
    expected = F.interpolate(x, size=new, mode="trilinear", align_corners=True)
    torch.testing.assert_close(resize(x, new), expected)


def test_two_axes_resize_as_well_as_three() -> None:
    x = _noise(1, 2, 5, 8)
    expected = F.interpolate(x, size=(9, 3), mode="bilinear", align_corners=True)
    torch.testing.assert_close(resize(x, (9, 3)), expected)


@pytest.mark.parametrize(("old", "new"), LATTICES)
def test_a_linear_displacement_is_the_same_motion_on_another_lattice(old, new) -> None:
    field = Affine(0.3 * _noise(3, 3), (2.0, 1.5, 3.0), (0.5, -1.0, 2.0))
    u = field.value(lattice(old))[None]
    ratio = torch.tensor([(n - 1) / (o - 1) for o, n in zip(old, new, strict=True)], dtype=torch.float64)
    expected = field.value(_positions(old, new))[None] * ratio.view(1, 3, 1, 1, 1)
    torch.testing.assert_close(resize_displacement(u, new), expected)


@pytest.mark.parametrize(("old", "new"), LATTICES[:2])
def test_the_gradients_of_resizing_agree_with_finite_differences(old, new) -> None:
    for function in (resize, resize_displacement, shrink):
        check_gradient(lambda x, function=function: function(x, new), [_noise(1, 3, *old)])


def test_a_line_of_one_voxel_is_repeated_and_one_new_voxel_is_the_middle() -> None:
    x = torch.tensor([1.0, 2.0, 6.0, 9.0], dtype=torch.float64).view(1, 1, 4, 1, 1)
    assert float(resize(x, (1, 1, 1))) == pytest.approx(4.0)
    assert resize(x[:, :, :1], (3, 1, 2)).flatten().tolist() == [1.0] * 6
    u = torch.ones(1, 3, 4, 1, 5, dtype=torch.float64)
    assert resize_displacement(u, (7, 1, 3))[0, :, 0, 0, 0].tolist() == [2.0, 1.0, 0.5]


def test_shrinking_keeps_a_constant() -> None:
    torch.testing.assert_close(shrink(torch.full((1, 1, 9, 8, 7), 0.4), (4, 3, 7)), torch.full((1, 1, 4, 3, 7), 0.4))
    assert antialias_sigma(1.0) == 0.0
    assert antialias_sigma(2.0) == pytest.approx(0.5 * 3**0.5)


def test_shrinking_does_not_alias_where_plain_resizing_does() -> None:
    stripes = (lattice((33, 3, 3))[0] % 2)[None, None]  # the finest pattern there is; its mean is one half
    plain, smooth = resize(stripes, (17, 3, 3)), shrink(stripes, (17, 3, 3))
    assert float((plain - 0.5).abs().max()) == pytest.approx(0.5)
    assert float((smooth - 0.5)[:, :, 2:-2].abs().max()) < 0.03


def test_shrinking_to_the_same_or_a_finer_lattice_smooths_nothing() -> None:
    x = _noise(1, 1, 5, 6, 4)
    assert torch.equal(shrink(x, (5, 6, 4)), x)
    torch.testing.assert_close(shrink(x, (9, 6, 7)), resize(x, (9, 6, 7)))


def test_reading_along_the_axes_takes_any_start_and_step() -> None:
    x = _noise(1, 2, 6, 5, 4)
    torch.testing.assert_close(resample_axes(x, (0, 0, 0), (1, 1, 1), (6, 5, 4)), x)
    torch.testing.assert_close(resample_axes(x, (2, 1, 0), (1, 1, 1), (3, 4, 4)), x[:, :, 2:5, 1:])
    line = lattice((6, 3, 3))[:1][None]
    found = resample_axes(line, (-0.75, 0, 0), (0.5, 1, 1), (14, 3, 3))[0, 0, :, 1, 1]
    expected = (-0.75 + 0.5 * torch.arange(14, dtype=torch.float64)).clamp(0, 5)
    torch.testing.assert_close(found, expected)


def test_a_step_longer_than_a_voxel_smooths_first() -> None:
    stripes = (lattice((32, 3, 3))[0] % 2)[None, None]
    found = resample_axes(stripes, (0, 0, 0), (2, 1, 1), (16, 3, 3))
    assert float((found - 0.5)[:, :, 2:-2].abs().max()) < 0.03
