"""What is measured before and after, and companions that do not fit."""

from __future__ import annotations

import bending
import numpy as np
import pytest
import torch

from SpatialRegularizationLib.geometry import SpatialTransform
from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.images.usable import check_companions
from SpatialRegularizationLib.measures.memory import peak_memory_mb
from SpatialRegularizationLib.measures.scores import landmark_scores, overlap_scores

GRID = bending.cube(20, 4.5)
OTHER = bending.cube(21, 4.5)
INSIDE = bending.points_of(5)
SHIFT = (9.0, 0.0, 0.0)
MOVED = bending.Bend(0.0, shift=SHIFT)


def shift_by(mm: tuple[float, float, float]) -> SpatialTransform:
    matrix = np.eye(4)
    matrix[:3, 3] = mm
    return SpatialTransform(matrix)


def test_equal_labels_have_dice_one_and_distance_zero() -> None:
    labels = bending.labels(GRID)
    dice, distance = overlap_scores(Companions(fixed_labels=labels, moving_labels=labels), SpatialTransform.identity(), GRID)
    assert dice == {"1": 1.0, "2": 1.0, "mean": 1.0}
    assert distance == {"1": 0.0, "2": 0.0, "mean": 0.0}


def test_the_transform_carries_the_moving_labels() -> None:
    """φ adds 9 mm = two voxels, which is what separates the two label maps."""
    companions = Companions(fixed_labels=bending.labels(GRID, MOVED), moving_labels=bending.labels(GRID))
    before = overlap_scores(companions, SpatialTransform.identity(), GRID)[0]["1"]
    after = overlap_scores(companions, shift_by(SHIFT), GRID)[0]["1"]
    assert before < 0.75
    assert after == 1.0


def test_landmarks_are_scored_in_millimeters() -> None:
    companions = Companions(fixed_points=INSIDE, moving_points=INSIDE + np.array(SHIFT))
    assert landmark_scores(companions, SpatialTransform.identity(), GRID)["mean"] == pytest.approx(9.0)
    assert landmark_scores(companions, shift_by(SHIFT), GRID)["max"] == pytest.approx(0.0, abs=1e-9)
    assert landmark_scores(companions, shift_by((500, 0, 0)), GRID)["share_outside"] == 1.0


def test_without_companions_there_is_nothing_to_score() -> None:
    assert overlap_scores(Companions(), SpatialTransform.identity(), GRID) is None
    assert overlap_scores(Companions(fixed_labels=bending.labels(GRID)), SpatialTransform.identity(), GRID) is None
    assert landmark_scores(Companions(), SpatialTransform.identity(), GRID) is None
    check_companions(Companions(), GRID, GRID)


@pytest.mark.parametrize(
    ("companions", "message"),
    [
        (Companions(fixed_labels=bending.labels(OTHER)), "^The fixed labels lie on another grid .*resample them"),
        (Companions(moving_labels=bending.labels(OTHER)), "^The moving labels lie on another grid .*resample them"),
        (Companions(fixed_points=INSIDE), "^Landmarks need a partner: the moving points are missing; give both"),
        (Companions(moving_points=INSIDE), "^Landmarks need a partner: the fixed points are missing; give both"),
        (Companions(fixed_points=INSIDE, moving_points=INSIDE[:3]), "one to one, got 5 and 3; remove the ones"),
        (Companions(fixed_points=INSIDE * 50, moving_points=INSIDE), "of 5 fixed points lie outside .*LPS or RAS"),
        (Companions(fixed_points=INSIDE, moving_points=INSIDE * 50), "of 5 moving points lie outside .*LPS or RAS"),
    ],
)
def test_companions_that_do_not_fit_are_refused_in_a_sentence(companions: Companions, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_companions(companions, GRID, GRID)


def test_memory_is_a_plausible_number_of_megabytes() -> None:
    assert 50 < peak_memory_mb(torch.device("cpu")) < 1e6
