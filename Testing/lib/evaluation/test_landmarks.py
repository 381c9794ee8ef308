"""Target registration error: closed forms and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from SpatialRegularizationLib.evaluation.landmarks import target_registration_error
from SpatialRegularizationLib.geometry import Grid


def test_a_shift_is_the_error_of_every_landmark() -> None:
    points = np.random.default_rng(0).uniform(-50, 50, (8, 3))
    found = target_registration_error(points + np.array([3, 4, 12]), points)
    assert (found.mean, found.median, found.p95, found.max) == pytest.approx((13, 13, 13, 13))
    assert found.share_outside == 0


def test_figures_of_a_known_list_of_distances() -> None:
    grid = Grid((10, 10, 10), (2, 2, 2), (-5, -5, -5), ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    mapped = np.zeros((21, 3))
    moving = np.zeros((21, 3))
    mapped[:7, 0] = moving[:7, 0] = 100
    moving[:, 1] = np.arange(21)
    found = target_registration_error(mapped, moving, field=grid)
    assert (found.mean, found.median, found.p95, found.max) == (10, 10, 19, 20)
    assert found.share_outside == pytest.approx(1 / 3)
    assert found.to_dict()["p95"] == 19


@pytest.mark.parametrize(
    ("mapped", "moving", "words"),
    [
        (np.zeros((3, 3)), np.zeros((4, 3)), "same landmarks in the same order"),
        (np.zeros((3, 2)), np.zeros((3, 2)), r"\(n, 3\)"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "empty"),
        (np.full((2, 3), np.nan), np.zeros((2, 3)), "finite"),
    ],
)
def test_undefined_errors_are_refused(mapped, moving, words) -> None:
    with pytest.raises(ValueError, match=words):
        target_registration_error(mapped, moving)
