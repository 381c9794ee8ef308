"""What an affine map does, in numbers: rotations, shifts, stretches and shears come back as they went in."""

from __future__ import annotations

import numpy as np
import physical
import pytest

from SpatialRegularizationLib.measures.affine_part import AffinePart

CENTER = physical.CENTER


def about_center(linear: np.ndarray, shift: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """4x4: a linear map about the center, then a shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = CENTER - linear @ CENTER + np.array(shift)
    return matrix


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 0.5, 17.0, 90.0, 179.0, 180.0])
def test_the_angle_of_a_rotation_about_any_axis_comes_back_and_nothing_stretches(degrees: float) -> None:
    turned = physical.rotation(0.4, -0.3, 0.25)
    linear = turned @ physical.rotation(0, 0, np.radians(degrees)) @ turned.T
    part = AffinePart.of(about_center(linear, (3.0, -4.0, 12.0)), CENTER)
    assert part.rotation_degrees == pytest.approx(degrees, abs=1e-6)
    assert part.shift_mm == pytest.approx((3.0, -4.0, 12.0))
    assert (*part.stretch_percent, *part.shear_percent) == pytest.approx([0] * 6, abs=1e-9)
    assert not part.mirrored


def test_stretch_and_shear_are_those_of_the_fixed_image_before_it_is_turned() -> None:
    strained = np.array([[1.05, 0.02, 0.0], [0.02, 0.97, -0.01], [0.0, -0.01, 1.0]])
    part = AffinePart.of(about_center(physical.rotation(0.3, 0.1, -0.2) @ strained), CENTER)
    assert part.stretch_percent == pytest.approx((5.0, -3.0, 0.0))
    assert part.shear_percent == pytest.approx((2.0, 0.0, -1.0))


def test_the_shift_is_that_of_the_center_wherever_the_origin_lies() -> None:
    part = AffinePart.of(about_center(physical.rotation(0.1, 0.2, 0.3)), CENTER)
    assert part.shift_mm == pytest.approx((0, 0, 0), abs=1e-9)


def test_a_mirror_is_told_from_a_rotation() -> None:
    part = AffinePart.of(about_center(np.diag([-1.0, 1.0, 1.0])), CENTER)
    assert part.mirrored
    assert 0 <= part.rotation_degrees <= 180
