"""Global correlation: linear relations are perfect."""

from __future__ import annotations

import pytest

from conformance import textures
from SpatialRegularizationLib.similarity.correlation import Correlation


def test_a_linear_relation_is_perfect_and_another_image_is_not() -> None:
    warped, fixed = textures((6, 7, 8))
    assert float(Correlation(1e-12)(3 * fixed + 1, fixed)) == pytest.approx(0, abs=1e-6)
    assert float(Correlation()(warped, fixed)) > 0.5
