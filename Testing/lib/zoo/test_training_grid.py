"""The lattice a network sees: the training's orientation and voxels wherever the image lies, or a refusal with the reason."""

from __future__ import annotations

import itertools

import numpy as np
import physical
import pytest
import torch

from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.zoo.training_grid import TrainingGrid, letters_of, model_grid

LATTICE = TrainingGrid((48, 40, 44), (1.0, 1.0, 1.0), "LIA")


def ball(where: Grid, radius: float, center: np.ndarray = physical.CENTER) -> Volume:
    """1 inside a ball, 0 outside."""
    distance = np.linalg.norm(physical.voxel_centers(where) - center, axis=-1)
    return Volume(torch.from_numpy(distance < radius).float()[None], where)


@pytest.mark.parametrize("orientation", ["RAS", "LAS", "LPS", "LIA"])
def test_every_storage_order_gives_the_lattice_of_the_training(orientation: str) -> None:
    fixed = physical.grid(orientation, shape=(40, 40, 40), spacing=(1.0, 1.0, 1.0))
    grid, notes = model_grid(ball(fixed, 12), LATTICE)
    assert (grid.shape, grid.spacing, letters_of(grid)) == (LATTICE.shape, LATTICE.spacing_mm, "LIA")
    assert np.allclose(grid.center, physical.CENTER, atol=0.51)
    assert notes[-1].startswith("The network saw 48 x 40 x 44 voxels")


def test_with_equal_spacing_the_voxels_coincide() -> None:
    fixed = physical.grid("RAS", shape=(41, 37, 60), spacing=(1.0, 1.0, 1.0))
    grid, _ = model_grid(ball(fixed, 12), LATTICE)
    index = fixed.point_to_index(grid.origin)
    assert np.allclose(index, np.round(index), atol=1e-9)


def test_an_axis_that_is_too_long_is_cut_around_the_anatomy() -> None:
    fixed = physical.grid("LIA", shape=(150, 40, 44), spacing=(1.0, 1.0, 1.0))
    off = physical.CENTER + np.array([40.0, 0, 0])
    grid, _ = model_grid(ball(fixed, 15, off), LATTICE)
    assert grid.shape == LATTICE.shape
    assert abs(grid.center[0] - off[0]) <= 1
    edge = physical.CENTER + np.array([65.0, 0, 0])
    grid, _ = model_grid(ball(fixed, 9, edge), LATTICE)
    assert fixed.point_to_index(grid.index_to_point(np.array(grid.shape) - 1))[0] == pytest.approx(149)


def test_anatomy_larger_than_the_training_is_kept_whole() -> None:
    fixed = physical.grid("LIA", shape=(100, 60, 60), spacing=(1.0, 1.0, 1.0))
    image = ball(fixed, 29)
    grid, _ = model_grid(image, LATTICE)
    assert grid.shape == (58, 58, 58)
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in grid.shape])))
    anatomy = fixed.index_to_point(np.argwhere(image.data[0].numpy()))
    assert grid.contains(anatomy).all()
    assert fixed.contains(grid.index_to_point(corners)).all()


def test_other_spacing_is_resampled_to_that_of_the_training() -> None:
    fixed = physical.grid("LPS", shape=(30, 30, 20), spacing=(1.3, 1.3, 2.0))
    grid, _ = model_grid(ball(fixed, 12), LATTICE)
    assert grid.spacing == LATTICE.spacing_mm
    assert np.allclose(grid.center, fixed.center, atol=1.5)


def test_a_small_tilt_keeps_the_axes_of_the_image_and_a_large_one_follows_the_patient() -> None:
    slight = Grid((40, 40, 40), (1.0,) * 3, (0.0,) * 3, tuple(map(tuple, physical.rotation(0.1, 0.0, 0.05))))
    grid, notes = model_grid(ball(slight, 12, np.array(slight.center)), LATTICE)
    assert len(notes) == 1
    assert np.allclose(np.abs(np.array(slight.direction).T @ np.array(grid.direction)).max(0), 1)
    tilted = physical.grid("oblique", shape=(40, 40, 40), spacing=(1.0,) * 3)
    grid, notes = model_grid(ball(tilted, 12), LATTICE)
    assert np.array_equal(np.array(grid.direction), physical.DIRECTIONS["LIA"])
    assert notes[0].startswith("The fixed image is tilted by")
    assert np.allclose(grid.center, physical.CENTER, atol=1.5)


def test_without_an_orientation_the_axes_are_taken_as_they_are_stored() -> None:
    fixed = physical.grid("oblique", shape=(40, 40, 40), spacing=(1.0,) * 3)
    grid, _ = model_grid(ball(fixed, 12), TrainingGrid(LATTICE.shape, LATTICE.spacing_mm))
    assert np.allclose(np.array(grid.direction), np.array(fixed.direction))


@pytest.mark.parametrize(
    ("shape", "spacing", "message"),
    [
        ((40, 40, 8), (1.0, 1.0, 5.0), "more than 4 times those of 1 x 1 x 1 mm"),
        ((120, 120, 120), (1.0, 1.0, 1.0), "holds anatomy over 118 mm along its [RLPASI] axis"),
        ((48, 48, 9), (1.0, 1.0, 1.0), "shows only 9 mm along its [SI] axis, and this model was trained on fields of view"),
    ],
)
def test_images_far_from_the_training_are_refused_with_the_reason(shape: tuple, spacing: tuple, message: str) -> None:
    fixed = physical.grid("RAS", shape=shape, spacing=spacing)
    with pytest.raises(ValueError, match=message) as caught:
        model_grid(ball(fixed, min(shape[:2]) / 2 - 0.5), LATTICE)
    assert "register" in str(caught.value)


@pytest.mark.parametrize("orientation", ["LI", "LIX", "LRA", "lia", "LIAS"])
def test_an_orientation_is_three_letters_of_three_axes(orientation: str) -> None:
    with pytest.raises(ValueError, match="three letters, one each of L/R, P/A and S/I"):
        TrainingGrid((8, 8, 8), (1.0, 1.0, 1.0), orientation)
