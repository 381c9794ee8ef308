"""Regions of a label map: whole labels, their inside, and the rim along their border, in millimeters."""

from __future__ import annotations

import numpy as np

from SpatialRegularizationLib.studies.regions import Region

SPACING = (1.0, 2.0, 1.0)


def slab() -> np.ndarray:
    """Label 3 in the planes 6 to 13 of the second axis, which are 2 mm apart; 0 elsewhere."""
    labels = np.zeros((6, 20, 6), dtype=np.int64)
    labels[:, 6:14] = 3
    return labels


def planes(where: np.ndarray) -> list[int]:
    """Planes of the second axis that belong to a region, checked to be whole."""
    assert np.array_equal(where, np.broadcast_to(where.any(axis=(0, 2))[None, :, None], where.shape))
    return np.flatnonzero(where.any(axis=(0, 2))).tolist()


def test_a_whole_region_is_its_labels() -> None:
    assert planes(Region.of("r", [3]).where(slab(), SPACING)) == list(range(6, 14))
    assert planes(Region.of("r", 0).where(slab(), SPACING)) == [*range(6), *range(14, 20)]
    assert not Region.of("r", [5]).where(slab(), SPACING).any()


def test_inside_lies_farther_from_the_border_than_the_width() -> None:
    """The outermost planes of the label are its border; plane 8 is 4 mm away from plane 6."""
    region = Region.of("r", {"labels": [3], "part": "inside", "width_mm": 4})
    assert planes(region.where(slab(), SPACING)) == [8, 9, 10, 11]


def test_the_border_lies_on_both_sides() -> None:
    region = Region.of("r", {"labels": [3], "part": "border", "width_mm": 2})
    assert planes(region.where(slab(), SPACING)) == [5, 6, 7, 12, 13, 14]


def test_the_name_of_a_figure_has_no_spaces() -> None:
    assert Region.of("deep white matter", [2]).key == "deep_white_matter"
