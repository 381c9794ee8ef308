"""The score of a pose has the slope it says, and knows chance from gain."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.pose.score import AFFINE, RIGID, Climb, PoseScore
from SpatialRegularizationLib.pose.structure import structure_of
from Testing.lib.pose.test_structure import blobs, cube


def scored(fixed: Volume, moving: Volume, spacing: float = 4.0) -> PoseScore:
    return PoseScore(*(structure_of(image, None, spacing, blocks=2) for image in (fixed, moving)), samples=4000, seed=0)


def shift(*mm: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = mm
    return matrix


@pytest.mark.parametrize("numbers", [RIGID, AFFINE])
def test_the_slope_is_that_of_finite_differences(numbers: int) -> None:
    score = scored(blobs(cube()), blobs(cube(), 1))
    matrix = shift(1.3, -0.7, 0.4)
    _, slope = score._with_slope(matrix, numbers)
    step = 2e-3
    for n in range(numbers):
        change = np.zeros(numbers)
        change[n] = step
        difference = (score(score._moved(matrix, change)) - score(score._moved(matrix, -change))) / (2 * step)
        assert slope[n] == pytest.approx(difference, rel=0.1, abs=0.02 * np.abs(slope).max())


def test_the_score_does_not_know_in_which_frame_both_images_lie() -> None:
    fixed = blobs(cube())
    pose = np.eye(4)
    pose[:3, :3] = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    pose[:3, 3] = (30, -20, 10)
    moved = Volume(fixed.data, Grid.from_affine(pose @ fixed.grid.affine, fixed.grid.shape))
    plain, turned = scored(fixed, fixed), scored(fixed, moved)
    assert turned(pose) == pytest.approx(plain(np.eye(4)), rel=1e-3)
    assert turned(pose) > 5 * turned(pose @ shift(12, 0, 0))


def test_a_climb_finds_a_pose_nearby() -> None:
    fixed = blobs(cube(32))
    angle = 0.15
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pose[:3, 3] = (4, 2, -3)
    moving = Volume(fixed.data, Grid.from_affine(pose @ fixed.grid.affine, fixed.grid.shape))
    score = scored(fixed, moving)
    start = pose @ shift(3, -3, 2)
    found = score.climbed(start, RIGID, Climb(25))
    assert score.moved(found, pose) < 0.1 < score.moved(start, pose)


def test_a_gain_is_clear_where_the_images_belong_together_and_not_in_noise() -> None:
    fixed = blobs(cube())
    assert scored(fixed, fixed).gain(np.eye(4), shift(8, 0, 0)) > 3
    assert scored(fixed, fixed).gain(shift(8, 0, 0), np.eye(4)) < -3
    assert scored(fixed, fixed).gain(np.eye(4), np.eye(4)) == 0
    noises = [fixed.with_data(torch.rand(fixed.data.shape, generator=torch.Generator().manual_seed(n))) for n in range(2)]
    score = scored(*noises)
    gains = [score.gain(shift(*at), np.eye(4)) for at in ((4, 0, 0), (0, -6, 0), (3, 3, 3), (-5, 2, 0))]
    assert max(gains) < 3
