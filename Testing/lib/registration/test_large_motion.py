"""When a search is made and taken, and what an initial transform that bends turns into."""

from __future__ import annotations

import bending
import numpy as np
import physical
import pytest
import torch

from SpatialRegularizationLib.geometry import DisplacementField, SpatialTransform
from SpatialRegularizationLib.registration.large_motion import initial_velocity, search_if_wanted
from SpatialRegularizationLib.registration.working_pair import TensorPair
from SpatialRegularizationLib.transforms.diffeomorphism import displacement_of

SIZE, MARGIN = 16, 5


def pair_shifted(shift: tuple[int, int, int] = (0, 0, 0)) -> TensorPair:
    """fixed(p) = moving(p + shift)."""
    image = bending.image(bending.cube(SIZE + 2 * MARGIN, 4.0)).data[None] / 1000
    part = [slice(MARGIN + s, MARGIN + s + SIZE) for s in shift]
    return TensorPair(image[(slice(None), slice(None), *part)], image, (float(MARGIN),) * 3)


def test_off_does_not_search() -> None:
    assert search_if_wanted(pair_shifted((4, 0, 0)), "off") == (None, ())


def test_auto_takes_a_large_motion_and_says_so() -> None:
    told = []
    velocity, notes = search_if_wanted(pair_shifted((4, -2, 0)), "auto", tell=told.append)
    u = displacement_of(velocity, (SIZE,) * 3)
    assert torch.allclose(u[0].flatten(1).median(1).values, torch.tensor([4.0, -2.0, 0.0]), atol=0.4)
    assert len(notes) == 1
    assert notes[0].startswith("A search for large motion came first: it moves by up to ")
    assert told[-1] == 1.0


def test_auto_leaves_a_pair_at_rest_and_says_nothing() -> None:
    assert search_if_wanted(pair_shifted(), "auto") == (None, ())


def test_auto_leaves_a_small_motion_to_the_descent_and_on_takes_it() -> None:
    pair = pair_shifted((1, 0, 0))
    assert search_if_wanted(pair, "auto") == (None, ())
    velocity, notes = search_if_wanted(pair, "on")
    assert velocity is not None
    assert len(notes) == 1


@pytest.mark.parametrize("orientation", ["LPS", "oblique left-handed"])
@pytest.mark.parametrize("affine", [np.eye(4), physical.affine()], ids=["no affine", "affine"])
def test_the_velocity_of_an_initial_transform_gives_its_bending_back(orientation: str, affine: np.ndarray) -> None:
    grid = physical.grid(orientation)
    field = physical.bump_field(grid)
    initial = SpatialTransform(affine, field)
    velocity = initial_velocity(initial, affine, grid, torch.zeros(()))
    u = displacement_of(velocity, grid.shape)[0].double()
    missed = (DisplacementField.from_voxels(u, grid).vectors - field.vectors).norm(dim=0)
    assert float(missed.mean()) < 0.05 * float(field.vectors.norm(dim=0).mean())


def test_the_field_of_an_initial_transform_may_lie_on_another_grid() -> None:
    grid = physical.grid("RAS")
    field = physical.bump_field(physical.other_grid("oblique"))
    velocity = initial_velocity(SpatialTransform(displacement=field), np.eye(4), grid, torch.zeros(()))
    u = DisplacementField.from_voxels(displacement_of(velocity, grid.shape)[0].double(), grid)
    points = physical.inner_points(grid, 100)
    one = physical.itk_points(physical.itk_field(u), points)
    other = physical.itk_points(physical.itk_field(field), points)
    assert np.linalg.norm(one - other, axis=1).mean() < 0.5


def test_what_does_not_bend_has_no_velocity() -> None:
    grid = bending.cube(10)
    assert initial_velocity(None, np.eye(4), grid, torch.zeros(())) is None
    assert initial_velocity(SpatialTransform(physical.affine()), physical.affine(), grid, torch.zeros(())) is None
