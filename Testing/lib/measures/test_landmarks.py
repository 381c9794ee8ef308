"""Target registration error: closed forms and refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from SpatialRegularizationLib.geometry import Grid
from SpatialRegularizationLib.io.companions import pair_landmarks
from SpatialRegularizationLib.io.points import Landmarks
from SpatialRegularizationLib.measures.landmarks import target_registration_error


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


def landmarks(names: str, unplaced: tuple[str, ...] = (), *, start: float = 0.0, labeled: bool = True) -> Landmarks:
    """Points whose x tells which they are: `names` in the order of the list, those of `unplaced` never placed."""
    placed = [n for n, name in enumerate(names) if name not in unplaced]
    positions = np.array([[float(ord(names[n])) + start, 0, 0] for n in placed])
    return Landmarks(positions, tuple(names[n] for n in placed), tuple(placed), unplaced, labeled=labeled)


@pytest.mark.parametrize(
    ("fixed", "moving", "paired", "left"),
    [
        (landmarks("abcd"), landmarks("dcba"), "abcd", ()),
        (landmarks("abcd", ("b",)), landmarks("abcd", ("d",)), "ac", ("b", "d")),
        (landmarks("abc"), landmarks("bcd"), "bc", ("a", "d")),
        (landmarks("abcd", ("b",)), landmarks("ab"), "a", ("b", "c", "d")),
    ],
)
def test_points_belong_together_by_their_labels(fixed, moving, paired: str, left: tuple[str, ...]) -> None:
    pairs = pair_landmarks(fixed, moving)
    np.testing.assert_array_equal(pairs.fixed[:, 0], [ord(name) for name in paired])
    np.testing.assert_array_equal(pairs.moving, pairs.fixed)
    assert len(pairs.notes) == (1 if left else 0)
    for name in left:
        assert name in pairs.notes[0]


@pytest.mark.parametrize(
    ("moving", "paired"),
    [
        (landmarks("abcd", labeled=False), "abcd"),
        (landmarks("abcd", ("b",), labeled=False), "acd"),
        (landmarks("abcde", ("e",), labeled=False), "abcd"),
    ],
)
def test_without_labels_the_order_of_the_lists_counts_unplaced_points_too(moving, paired: str) -> None:
    pairs = pair_landmarks(landmarks("abcd"), moving)
    np.testing.assert_array_equal(pairs.fixed[:, 0], [ord(name) for name in paired])
    np.testing.assert_array_equal(pairs.moving, pairs.fixed)


def test_labels_that_have_nothing_in_common_or_are_not_unique_say_nothing() -> None:
    other = landmarks("abcd")
    for names in (("x", "y", "z", "w"), ("a", "a", "a", "d"), ("", "", "", "")):
        pairs = pair_landmarks(landmarks("abcd"), replace(other, names=names, labeled=all(names)))
        np.testing.assert_array_equal(pairs.moving, pairs.fixed)


def test_lists_that_do_not_correspond_are_refused() -> None:
    with pytest.raises(ValueError, match="correspond one to one, got 4 and 3"):
        pair_landmarks(landmarks("abcd"), landmarks("wxy"))
    with pytest.raises(ValueError, match="No landmark is placed on both sides"):
        pair_landmarks(landmarks("ab", ("a",)), landmarks("ab", ("b",)))
