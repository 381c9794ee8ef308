"""The surface through scattered scores: what it must reproduce."""

from __future__ import annotations

import numpy as np
import pytest

from SpatialRegularizationLib.tuning.surface import fit_surface


def parabola(places: np.ndarray) -> np.ndarray:
    return 0.7 - (places[:, 0] - 0.6) ** 2 - 0.2 * (places[:, 1] - 0.3) ** 2


def test_a_smooth_function_is_recovered_between_its_samples() -> None:
    places = np.random.default_rng(0).random((40, 2))
    surface = fit_surface(places, parabola(places))
    other = np.random.default_rng(1).random((200, 2)) * 0.8 + 0.1
    assert np.abs(surface(other) - parabola(other)).max() < 0.01


def test_its_top_lies_at_the_top_of_noisy_scores() -> None:
    generator = np.random.default_rng(0)
    places = generator.random((50, 2))
    surface = fit_surface(places, parabola(places) + 0.01 * generator.standard_normal(50))
    line = np.linspace(0, 1, 41)
    lattice = np.stack([axis.ravel() for axis in np.meshgrid(line, line, indexing="ij")], axis=1)
    top = lattice[np.argmax(surface(lattice))]
    assert top[0] == pytest.approx(0.6, abs=0.08)
    assert surface.noise < 0.1


def test_a_parameter_without_effect_gets_a_long_length() -> None:
    places = np.random.default_rng(0).random((40, 2))
    surface = fit_surface(places, np.sin(6 * places[:, 0]))
    assert surface.lengths[1] > 4 * surface.lengths[0]


def test_equal_scores_give_a_flat_surface() -> None:
    surface = fit_surface(np.random.default_rng(0).random((6, 2)), np.full(6, 0.4))
    assert np.allclose(surface(np.array([[0.2, 0.9], [1.0, 0.0]])), 0.4)


def test_fewer_than_four_scores_give_none() -> None:
    assert fit_surface(np.zeros((3, 2)), np.zeros(3)) is None
