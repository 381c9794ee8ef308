"""Dice and HD95: shifted cubes and spheres in closed form, empty labels, and a slow form of the same definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from SpatialRegularizationLib.measures.overlap import dice_per_label, hd95_per_label, mean_over_labels

SHAPE = (24, 26, 28)


def _cube(first: tuple[int, int, int], side: int = 10, label: int = 1) -> torch.Tensor:
    labels = torch.zeros(SHAPE, dtype=torch.int32)
    labels[tuple(slice(f, f + side) for f in first)] = label
    return labels


def _sphere(radius: float, spacing: tuple[float, float, float]) -> torch.Tensor:
    axes = np.meshgrid(*[np.arange(-20, 21) * s for s in spacing], indexing="ij")
    return torch.as_tensor((sum(a**2 for a in axes) <= radius**2).astype(np.int16))


def test_equal_maps_agree_fully() -> None:
    labels = _cube((3, 3, 3)) + _cube((14, 14, 14), 6, 5)
    assert dice_per_label(labels, labels) == {1: 1.0, 5: 1.0}
    assert hd95_per_label(labels, labels, (1, 2, 3)) == {1: 0.0, 5: 0.0}


def test_dice_of_a_shifted_cube() -> None:
    assert dice_per_label(_cube((3, 3, 3)), _cube((6, 3, 3))) == {1: pytest.approx(0.7)}
    assert dice_per_label(_cube((3, 3, 3))[None], _cube((6, 5, 3))[None]) == {1: pytest.approx(0.7 * 0.8)}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_hd95_of_a_shifted_cube_is_the_shift_in_mm_along_that_axis(axis) -> None:
    spacing = (0.8, 1.5, 3.0)
    first = [3, 3, 3]
    first[axis] += 2
    found = hd95_per_label(_cube((3, 3, 3)), _cube(tuple(first)), spacing)
    assert found == {1: pytest.approx(2 * spacing[axis])}


def test_hd95_of_concentric_spheres_is_the_difference_of_radii() -> None:
    spacing = (1.0, 1.2, 0.9)
    large, small = _sphere(16, spacing), _sphere(11, spacing)
    assert hd95_per_label(large, small, spacing)[1] == pytest.approx(5, abs=0.7)


def test_hd95_is_symmetric_and_ignores_the_farthest_twentieth() -> None:
    a = _cube((3, 3, 3), 16)
    b = a.clone()
    b[11, 11, 19:24] = 1
    assert hd95_per_label(a, b, (1, 1, 1)) == hd95_per_label(b, a, (1, 1, 1)) == {1: 0.0}


def test_hd95_equals_the_distances_of_all_pairs_of_surface_voxels() -> None:
    generator = torch.Generator().manual_seed(3)
    smooth = torch.nn.functional.avg_pool3d(torch.randn(2, 1, 12, 13, 14, generator=generator), 5, 1, 2)[:, 0]
    a, b = (smooth > 0).int()
    spacing = np.array([0.7, 1.1, 2.0])

    def surface(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask, 1)
        neighbors = [np.roll(padded, s, axis) for axis in range(3) for s in (1, -1)]
        return np.argwhere(padded & ~np.logical_and.reduce(neighbors)) * spacing

    points = [surface(x.numpy() > 0) for x in (a, b)]
    distances = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
    expected = max(np.percentile(distances.min(1), 95), np.percentile(distances.min(0), 95))
    assert hd95_per_label(a, b, tuple(spacing))[1] == pytest.approx(expected, rel=1e-5)


def test_a_label_missing_from_one_map_is_no_overlap_and_has_no_distance() -> None:
    a, b = _cube((3, 3, 3)), _cube((3, 3, 3), label=2)
    assert dice_per_label(a, b) == {1: 0.0, 2: 0.0}
    found = hd95_per_label(a, b, (1, 1, 1))
    assert list(found) == [1, 2]
    assert all(math.isnan(value) for value in found.values())
    assert mean_over_labels(found) is None
    assert mean_over_labels({1: 2.0, 2: math.nan, 3: 4.0}) == 3.0


def test_a_label_missing_from_both_maps_is_left_out() -> None:
    a = _cube((3, 3, 3))
    assert dice_per_label(a, a, labels=(1, 9)) == {1: 1.0}
    assert hd95_per_label(a, a, (1, 1, 1), labels=(1, 9)) == {1: 0.0}
    assert mean_over_labels(dice_per_label(a * 0, a * 0)) is None


def test_negative_and_very_large_labels_are_labels_too() -> None:
    labels = _cube((3, 3, 3), label=-4) + _cube((14, 14, 14), 6, 900_000)
    assert dice_per_label(labels, labels) == {-4: 1.0, 900_000: 1.0}


def test_chosen_labels_only() -> None:
    labels = _cube((3, 3, 3)) + _cube((14, 14, 14), 6, 5)
    assert dice_per_label(labels, labels, labels=[5]) == {5: 1.0}
    assert mean_over_labels({1: 0.5, 5: 1.0}) == 0.75


def test_a_label_that_fills_the_image_has_its_surface_at_the_border() -> None:
    whole = torch.ones(6, 6, 6, dtype=torch.uint8)
    part = whole.clone()
    part[0] = 0
    assert hd95_per_label(whole, part, (2, 1, 1))[1] == pytest.approx(2)


@pytest.mark.parametrize("score", [dice_per_label, lambda a, b: hd95_per_label(a, b, (1, 1, 1))])
def test_unusable_label_maps_are_refused(score) -> None:
    with pytest.raises(ValueError, match="one shape"):
        score(_cube((0, 0, 0)), torch.zeros(3, 3, 3, dtype=torch.int32))
    with pytest.raises(ValueError, match="integers"):
        score(_cube((0, 0, 0)), torch.zeros(SHAPE))
