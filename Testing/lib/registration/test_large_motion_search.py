"""The search for large motion on tensors: shifts are found, ties mean no motion."""

from __future__ import annotations

import bending
import pytest
import torch

from SpatialRegularizationLib.fields.derivatives import jacobian_determinant
from SpatialRegularizationLib.fields.resize import gaussian_smooth
from SpatialRegularizationLib.integrators.scaling_and_squaring import integrate_velocity
from SpatialRegularizationLib.registration.large_motion import (
    SMALLEST_JACOBIAN,
    SearchStage,
    mind_distance,
    search_displacement,
    unfolded,
    velocity_of,
)
from SpatialRegularizationLib.registration.working_pair import TensorPair

STAGES = (SearchStage(16, 3), SearchStage(20, 1))
SIZE, MARGIN = 20, 5


def pair_shifted(shift: tuple[int, int, int] = (0, 0, 0)) -> TensorPair:
    """fixed(p) = moving(p + shift), cut out of one image that is larger by `MARGIN` voxels on every side."""
    image = bending.image(bending.cube(SIZE + 2 * MARGIN, 3.5)).data[None] / 1000
    part = [slice(MARGIN + s, MARGIN + s + SIZE) for s in shift]
    return TensorPair(image[(slice(None), slice(None), *part)], image, (float(MARGIN),) * 3)


def smooth(largest: float, shape: tuple[int, ...] = (18, 17, 16), sigma: float = 4.0) -> torch.Tensor:
    u = gaussian_smooth(torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(6)), (sigma,) * 3)
    return u * (largest / u.abs().max())


def test_a_shift_of_several_voxels_is_found() -> None:
    pair = pair_shifted((4, -3, 2))
    u = search_displacement(pair, STAGES)
    assert tuple(u.shape) == (1, 3, 16, 16, 16)  # no lattice is finer than half of a small image, except the first
    median = u[0].flatten(1).median(1).values * (SIZE - 1) / 15
    assert torch.allclose(median, torch.tensor([4.0, -3.0, 2.0]), atol=0.6)
    assert mind_distance(pair, u) < 0.35 * mind_distance(pair, torch.zeros_like(u))


def test_equal_images_stay_where_they_are() -> None:
    image = pair_shifted().fixed
    assert not search_displacement(TensorPair(image, image, (0.0,) * 3), STAGES).any()


def test_equal_images_of_different_reach_move_by_less_than_a_voxel() -> None:
    """The two are brought onto the lattice of the search along different ways, so that they are not quite equal."""
    distance = search_displacement(pair_shifted(), STAGES).norm(dim=1)
    assert float(distance.median()) < 0.3
    assert float(distance.max()) < 2.0


def test_ties_mean_no_motion() -> None:
    """In an image of one value, and outside of the mask, every candidate costs the same."""
    flat = torch.full((1, 1, 18, 18, 18), 0.5)
    assert not search_displacement(TensorPair(flat, flat, (0.0,) * 3), STAGES).any()
    pair = pair_shifted((4, -3, 2))
    nothing = TensorPair(pair.fixed, pair.moving, pair.offset, mask=torch.zeros_like(pair.fixed))
    assert not search_displacement(nothing, STAGES).any()


def test_the_search_looks_at_the_mask_alone() -> None:
    """Outside of the mask the fixed image shows something else; the shift inside is found all the same."""
    pair = pair_shifted((3, 0, 0))
    mask = torch.zeros_like(pair.fixed)
    mask[:, :, :, 8:] = 1
    other = torch.where(mask > 0, pair.fixed, torch.rand_like(pair.fixed))
    u = search_displacement(TensorPair(other, pair.moving, pair.offset, mask=mask), STAGES)
    inside = u[0, :, :, 9:].flatten(1).median(1).values * (SIZE - 1) / 15
    assert torch.allclose(inside, torch.tensor([3.0, 0.0, 0.0]), atol=0.6)


def test_the_answer_never_folds_and_is_the_same_twice() -> None:
    """Two unrelated images ask for the wildest of displacements."""
    generator = torch.Generator().manual_seed(1)
    fixed, moving = (gaussian_smooth(torch.rand(1, 1, 18, 18, 18, generator=generator), (1.0,) * 3) for _ in range(2))
    pair = TensorPair(fixed, moving, (0.0,) * 3)
    u = search_displacement(pair, STAGES)
    assert u.any()
    assert float(jacobian_determinant(u).min()) > SMALLEST_JACOBIAN
    assert torch.equal(u, search_displacement(pair, STAGES))


def test_the_progress_ends_at_one() -> None:
    told = []
    search_displacement(pair_shifted(), STAGES, tell=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize("largest", [1.0, 3.0])
def test_the_velocity_of_a_displacement_gives_it_back(largest: float) -> None:
    u = integrate_velocity(smooth(largest), steps=7)
    back = integrate_velocity(velocity_of(u), steps=7)
    assert float((back - u).norm(dim=1).mean()) < 0.08 * float(u.norm(dim=1).mean())


def test_the_velocity_of_a_large_lattice_is_made_on_a_coarser_one() -> None:
    u = torch.full((1, 3, 60, 12, 30), 2.0)
    velocity = velocity_of(u, size=20)
    assert tuple(velocity.shape) == (1, 3, 20, 4, 10)
    assert torch.allclose(velocity[0, :, 10, 2, 5], 2.0 * torch.tensor([19 / 59, 3 / 11, 9 / 29]), atol=0.1)


def test_only_what_folds_is_smoothed() -> None:
    calm = smooth(1.0)
    assert unfolded(calm) is calm
    assert float(jacobian_determinant(smooth(8.0, sigma=1.0)).min()) < 0
    assert float(jacobian_determinant(unfolded(smooth(8.0, sigma=1.0))).min()) > SMALLEST_JACOBIAN
