"""Areas of surface elements: closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from SpatialRegularizationLib.measures.surface_elements import CORNERS, cell_codes, element_areas


def _code(*corners: tuple[int, int, int]) -> int:
    return sum(1 << CORNERS.index(corner) for corner in corners)


def test_known_cells_have_their_areas() -> None:
    areas = element_areas((1.0, 1.0, 1.0))
    assert areas[0] == areas[255] == 0
    triangle = math.sqrt(3) / 8
    assert areas[_code((0, 0, 0))] == pytest.approx(triangle)
    assert areas[_code((0, 0, 0), (0, 1, 0))] == pytest.approx(math.sqrt(0.5))
    assert areas[_code((0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1))] == pytest.approx(1)
    assert areas[_code((0, 0, 0), (1, 1, 1))] == pytest.approx(2 * triangle)
    assert areas[_code((0, 0, 0), (0, 1, 1))] == pytest.approx(2 * triangle)
    assert (areas[1:255] > 0).all()


def test_spacing_scales_a_flat_face() -> None:
    face = _code((0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1))
    assert element_areas((5.0, 2.0, 3.0))[face] == pytest.approx(6)


def test_symmetric_cells_have_the_same_area() -> None:
    areas = element_areas((1.0, 1.0, 1.0))
    mask = np.random.default_rng(0).random((9, 9, 9)) > 0.7
    total = areas[cell_codes(mask)].sum()
    assert areas[cell_codes(mask[::-1])].sum() == pytest.approx(total)
    assert areas[cell_codes(mask.transpose(2, 0, 1))].sum() == pytest.approx(total)


def test_elements_of_a_sphere_add_up_to_its_surface() -> None:
    axes = np.meshgrid(*[np.arange(-14, 15) * s for s in (1.0, 1.5, 2.0)], indexing="ij")
    mask = sum(a**2 for a in axes) < 12.3**2
    total = element_areas((1.0, 1.5, 2.0))[cell_codes(mask)].sum()
    assert total == pytest.approx(4 * math.pi * 12.3**2, rel=0.12)
