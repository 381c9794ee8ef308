"""The trial pair lies where a model's training images lay, whatever its lattice, and shows two different heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SpatialRegularizationLib.images.preparation import prepare_intensity
from SpatialRegularizationLib.measures.overlap import dice_per_label
from SpatialRegularizationLib.phantoms.trial_pair import trial_pair
from SpatialRegularizationLib.zoo.training_grid import TrainingGrid, letters_of, model_grid


@pytest.mark.parametrize("orientation", ["LIA", "RAS", "LPS", "SAR", ""])
def test_the_network_sees_the_pair_on_exactly_its_own_lattice(orientation: str) -> None:
    lattice = TrainingGrid((20, 24, 28), (1.0, 2.0, 3.0), orientation)
    fixed, moving = trial_pair(lattice)
    assert fixed.grid == moving.grid
    assert (fixed.grid.shape, fixed.grid.spacing) == (lattice.shape, lattice.spacing_mm)
    assert letters_of(fixed.grid) == (orientation or "LPS")
    assert np.allclose(fixed.grid.center, 0)
    grid, _ = model_grid(prepare_intensity(fixed, "percentile"), lattice)
    assert grid.matches(fixed.grid)


def test_the_anatomy_is_the_same_in_every_orientation() -> None:
    upright, _ = trial_pair(TrainingGrid((20, 24, 28), (1.0, 1.0, 1.0), "RAS"))
    turned, _ = trial_pair(TrainingGrid((28, 24, 20), (1.0, 1.0, 1.0), "IPR"))
    assert torch.equal(turned.data, upright.data.permute(0, 3, 2, 1).flip(1, 2))


def test_the_two_images_differ_and_overlap() -> None:
    fixed, moving = (image.data > 100 for image in trial_pair(TrainingGrid((32, 40, 32), (1.0, 1.0, 1.0))))
    assert 0.8 < dice_per_label(fixed.int(), moving.int())[1] < 0.995


@pytest.mark.parametrize("intensity", ["percentile", "ct", "ct-soft", "none"])
def test_every_preparation_of_intensities_finds_contrast_in_it(intensity: str) -> None:
    for image in trial_pair(TrainingGrid((24, 24, 24), (2.0, 2.0, 2.0)), intensity):
        assert float(prepare_intensity(image, intensity).data.std()) > 0.05
