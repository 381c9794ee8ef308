"""PNG files that other programs read, and color maps that keep their order."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from SpatialRegularizationLib.report.pixels import DIFFERENCE, GRAY, MARK, VOLUME_CHANGE, WEIGHT, ColorMap, encode_png, indices


def _lightness(colors: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB colors (n, 3)."""
    share = colors / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("color_map", [GRAY, WEIGHT, DIFFERENCE, VOLUME_CHANGE])
def test_another_program_reads_the_same_colors(color_map: ColorMap, tmp_path: object) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5), dtype=np.uint8)
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(pixels, color_map))
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[..., :3], color_map.palette()[pixels])


def test_values_are_clamped_and_nan_is_marked() -> None:
    assert indices(np.array([[-1.0, 0.0, 0.5, 1.0, 9.0, np.nan]]), 0, 1).tolist() == [[0, 0, 127, 254, 254, MARK]]
    marked = np.array([[True, False]])
    assert indices(np.zeros((1, 2)), 0, 1, marked=marked).tolist() == [[MARK, 0]]


def test_the_weight_map_only_gets_lighter() -> None:
    assert np.all(np.diff(_lightness(WEIGHT.palette()[:MARK:4].astype(float))) > 0)  # steps above 8-bit rounding


@pytest.mark.parametrize("color_map", [DIFFERENCE, VOLUME_CHANGE])
def test_diverging_maps_are_white_in_the_middle_and_darker_on_both_sides(color_map: ColorMap) -> None:
    lightness = _lightness(color_map.palette()[:MARK].astype(float))
    assert color_map.palette()[127].tolist() == [255, 255, 255]
    assert np.all(np.diff(lightness[:128]) > 0)
    assert np.all(np.diff(lightness[127:]) < 0)
