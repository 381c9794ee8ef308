"""Folds are taken out where they are and nowhere else."""

from __future__ import annotations

import math

import pytest
import torch

from SpatialRegularizationLib.fields.derivatives import jacobian_determinant
from SpatialRegularizationLib.fields.resize import gaussian_smooth
from SpatialRegularizationLib.fields.sampling import voxel_coordinates
from SpatialRegularizationLib.transforms.diffeomorphism import displacement_of, fold_map, without_folds

SHAPE = (26, 24, 22)


def smooth_velocity(largest: float, sigma: float = 3.0) -> torch.Tensor:
    """Random velocity (1, 3, *SHAPE) of a given largest component, voxels."""
    v = gaussian_smooth(torch.randn(1, 3, *SHAPE, generator=torch.Generator().manual_seed(2)), (sigma,) * 3)
    return v * (largest / v.abs().max())


def crease(height: float = 6.0) -> torch.Tensor:
    """A velocity that turns against itself within two voxels, near one corner of the lattice only."""
    x = voxel_coordinates(SHAPE)
    near = torch.exp(-((x - 6) ** 2).sum(0) / 6)
    v = torch.zeros(1, 3, *SHAPE)
    v[0, 0] = -height * torch.sin(math.pi * (x[0] - 6) / 2) * near
    v[0, 1] = height * torch.sin(math.pi * (x[0] + x[1]) / 2) * near
    return v


@pytest.mark.parametrize("largest", [0.0, 1.0, 4.0])
def test_where_nothing_folds_nothing_is_changed(largest: float) -> None:
    velocity = smooth_velocity(largest)
    rounds = []
    kept, u, folded, _ = without_folds(velocity, SHAPE, on_round=rounds.append)
    assert folded == 0
    assert rounds == []
    assert torch.equal(kept, velocity)
    assert torch.equal(u, displacement_of(velocity, SHAPE))


@pytest.mark.parametrize("velocity", [crease(), smooth_velocity(14.0, sigma=1.0)], ids=["one crease", "rough everywhere"])
def test_no_fold_is_left(velocity: torch.Tensor) -> None:
    rounds = []
    assert fold_map(displacement_of(velocity, SHAPE)).any()
    smoothed, u, folded, left = without_folds(velocity, SHAPE, on_round=rounds.append)
    assert folded > 0
    assert left == 0
    assert rounds == list(range(len(rounds)))
    assert not fold_map(u).any()
    assert float(jacobian_determinant(u).min()) > 0
    assert torch.equal(u, displacement_of(smoothed, SHAPE))


def test_far_from_a_fold_the_velocity_stays_as_it_is() -> None:
    velocity = smooth_velocity(1.0) + crease()
    smoothed, _, folded, _ = without_folds(velocity, SHAPE)
    assert folded > 0
    changed = (smoothed != velocity).any(1)[0]
    assert changed.any()
    assert not changed[20:].any()
    assert not changed[:, 19:].any()


@pytest.mark.parametrize("lattice", [(13, 12, 11), (40, 36, 30)])
def test_the_lattice_of_the_displacement_may_be_another(lattice: tuple[int, int, int]) -> None:
    _, u, _, _ = without_folds(crease(9.0), lattice)
    assert tuple(u.shape) == (1, 3, *lattice)
    assert not fold_map(u).any()


def test_a_mirror_is_all_fold_and_a_translation_none() -> None:
    x = voxel_coordinates(SHAPE)
    mirror = torch.zeros(1, 3, *SHAPE)
    mirror[0, 0] = -2 * x[0]
    assert fold_map(mirror)[..., 1:-1, 1:-1, 1:-1].all()
    assert not fold_map(torch.full((1, 3, *SHAPE), 2.5)).any()


def test_one_inverted_corner_is_seen_though_central_differences_miss_it() -> None:
    """A voxel that passes its neighbor: φ(p+e) - φ(p) < 0, yet φ(p+e) - φ(p-e) > 0."""
    u = torch.zeros(1, 3, *SHAPE)
    u[0, 0, 10] = 1.2
    assert float(jacobian_determinant(u).min()) > 0
    assert fold_map(u)[0, 0, 10:12].all()
    assert not fold_map(u)[0, 0, 13:].any()
