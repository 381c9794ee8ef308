"""Random motion: affine maps with the asked-for parts, deformations without folds, and what they do to labels."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from SpatialRegularizationLib.fields.sampling import voxel_coordinates
from SpatialRegularizationLib.measures.regularity import measure_regularity
from SpatialRegularizationLib.training.draws import Draws, control_points
from SpatialRegularizationLib.training.synthesis_motion import composed, random_affine, random_displacement, random_positions
from SpatialRegularizationLib.training.synthesis_settings import SynthesisSettings

STILL = {"warp_voxels": 0.0, "rotation_degrees": 0.0, "scaling": 0.0, "shift_voxels": 0.0}
SHAPE = (32, 24, 28)


def draws(number: int = 0) -> Draws:
    return Draws(torch.device("cpu"), 5, "motion", number)


def settings(**changes: Any) -> SynthesisSettings:
    return SynthesisSettings(**(STILL | changes))


def test_no_motion_is_the_identity() -> None:
    identity = random_affine(settings(), (1.0, 1.0, 1.0), draws())
    assert torch.equal(identity, torch.eye(3, 4, dtype=torch.float64))
    positions = random_positions(identity, settings(), (1.0, 1.0, 1.0), SHAPE, draws())
    assert torch.allclose(positions[0], voxel_coordinates(SHAPE), atol=1e-4)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.0, 3.0)])
def test_rotations_are_rotations_in_patient_space(spacing: tuple[float, ...]) -> None:
    matrix = random_affine(settings(rotation_degrees=30.0), spacing, draws())[:, :3]
    lengths = torch.tensor(spacing, dtype=torch.float64)
    in_space = matrix * lengths[:, None] / lengths
    assert torch.allclose(in_space @ in_space.T, torch.eye(3, dtype=torch.float64), atol=1e-10)
    assert float(torch.linalg.det(in_space)) == pytest.approx(1.0)
    assert float(in_space.diagonal().min()) < 0.9999


def test_scalings_and_shifts_stay_below_their_settings_and_the_share_of_them() -> None:
    for share in (1.0, 0.25):
        for number in range(20):
            affine = random_affine(settings(scaling=0.4, shift_voxels=6.0), (1.0, 1.0, 1.0), draws(number), share=share)
            scales = affine[:, :3].diagonal()
            assert torch.equal(affine[:, :3], scales.diag())
            assert float(scales.log().abs().max()) <= 0.4 * share
            assert float(affine[:, 3].abs().max()) <= 6.0 * share


def test_maps_are_composed_as_functions() -> None:
    outer, inner = (random_affine(SynthesisSettings(), (1.0, 2.0, 1.5), draws(number)) for number in (1, 2))
    point = torch.tensor([3.0, -2.0, 5.0], dtype=torch.float64)
    after = inner[:, :3] @ point + inner[:, 3]
    expected = outer[:, :3] @ after + outer[:, 3]
    whole = composed(outer, inner)
    assert torch.allclose(whole[:, :3] @ point + whole[:, 3], expected)


def test_affine_maps_turn_about_the_middle_of_the_image() -> None:
    turned = random_affine(settings(rotation_degrees=40.0), (1.0, 1.0, 1.0), draws())
    shape = (21, 25, 23)
    positions = random_positions(turned, settings(), (1.0, 1.0, 1.0), shape, draws())
    assert positions[0, :, 10, 12, 11].tolist() == pytest.approx([10.0, 12.0, 11.0], abs=1e-4)


def test_deformations_fold_nowhere_and_grow_with_their_setting() -> None:
    sizes = []
    for warp in (1.0, 2.0, 4.0):
        u = random_displacement(SHAPE, settings(warp_voxels=warp), draws())
        assert u.shape == (1, 3, *SHAPE)
        assert measure_regularity(u).folding_percent == 0
        sizes.append(float(u.square().mean().sqrt()))
    assert sizes[1] == pytest.approx(2 * sizes[0], rel=0.15)
    assert sizes[2] == pytest.approx(4 * sizes[0], rel=0.3)
    assert not random_displacement(SHAPE, settings(), draws()).any()


def test_control_points_are_no_farther_apart_than_asked() -> None:
    for size in (1, 7, 8, 9, 96):
        for distance in (2.0, 4.5, 8.0):
            (points,) = control_points((size,), distance)
            assert (size - 1) / (points - 1) <= distance
            assert points == 2 + math.ceil(size / distance)


def test_numbers_are_alike_whatever_was_drawn_for_the_voxels() -> None:
    first, second = draws(), draws()
    second.noise(4, 4)
    assert first.uniform(0, 1) == second.uniform(0, 1)
    assert torch.equal(first.smooth(1, (8, 8, 8), 4.0), second.smooth(1, (8, 8, 8), 4.0))
