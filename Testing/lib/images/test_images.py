"""Images that cannot be registered are refused in a sentence; the working grid is isotropic, small and stated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.images.preparation import (
    check_overlap,
    describe_working_grid,
    overlap_share,
    prepare_intensity,
    working_grid,
)
from SpatialRegularizationLib.images.usable import check_image, check_labels, fit_mask

IDENTITY = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def _grid(shape=(6, 7, 8), spacing=(1, 1, 1), origin=(0, 0, 0)) -> Grid:
    return Grid(shape, spacing, origin, IDENTITY)


def _volume(data: torch.Tensor) -> Volume:
    return Volume(data, _grid(tuple(data.shape[1:])))


def test_a_good_image_of_any_type_passes() -> None:
    for dtype in (torch.float32, torch.int16, torch.uint8):
        check_image(_volume((torch.rand(1, 6, 7, 8) * 99).to(dtype)), "fixed image")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.full((1, 4, 4, 4), 3.0), "moving image is constant .*3"),
        (torch.rand(2, 4, 4, 4), "one channel, got 2"),
        (torch.tensor(float("nan")).expand(1, 4, 4, 4), "64 NaN"),
        (torch.tensor(float("inf")).expand(1, 4, 4, 4), "NaN or infinite"),
    ],
)
def test_an_unusable_image_is_refused(data, words) -> None:
    with pytest.raises(ValueError, match=words):
        check_image(_volume(data), "moving image")


@pytest.mark.parametrize("axis", range(3))
def test_a_single_slice_along_any_axis_is_refused(axis: int) -> None:
    shape = [6, 7, 8]
    shape[axis] = 1
    with pytest.raises(ValueError, match="moving image is a single slice"):
        check_image(_volume(torch.rand(1, *shape)), "moving image")
    shape[axis] = 2
    check_image(_volume(torch.rand(1, *shape)), "moving image")


def test_a_flat_image_is_refused() -> None:
    with pytest.raises(ValueError, match="3-D, got 2-D"):
        check_image(Volume(torch.rand(1, 4, 4), Grid((4, 4), (1, 1), (0, 0), ((1, 0), (0, 1)))), "fixed image")


def test_labels_of_another_grid_are_refused_with_both_grids_named() -> None:
    labels = Volume(torch.zeros(1, 5, 5, 5), _grid((5, 5, 5)))
    check_labels(labels, _grid((5, 5, 5)), "fixed labels")
    with pytest.raises(ValueError, match=r"5 x 5 x 5 voxels .*6 x 7 x 8"):
        check_labels(labels, _grid(), "fixed labels")


def test_a_mask_of_another_grid_is_carried_over_by_position() -> None:
    fine = torch.zeros(1, 12, 14, 16)
    fine[:, 4:8, 4:8, 4:8] = 2
    mask = fit_mask(Volume(fine, _grid((12, 14, 16), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))), _grid(), "fixed mask")
    assert mask.data.dtype == torch.uint8
    assert mask.grid.matches(_grid())
    inside = mask.data[0].nonzero()
    assert inside.min() >= 2
    assert inside.max() <= 4


def test_a_mask_on_the_grid_is_only_made_binary() -> None:
    data = torch.tensor([0.0, 0.5, -1.0, 3.0]).view(1, 1, 1, 4)
    mask = fit_mask(Volume(data, _grid((1, 1, 4))), _grid((1, 1, 4)), "moving mask")
    assert mask.data.flatten().tolist() == [0, 1, 0, 1]


def test_empty_and_misplaced_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="fixed mask is empty"):
        fit_mask(Volume(torch.zeros(1, 6, 7, 8), _grid()), _grid(), "fixed mask")
    with pytest.raises(ValueError, match="do not overlap"):
        fit_mask(Volume(torch.ones(1, 6, 7, 8), _grid(origin=(500, 0, 0))), _grid(), "fixed mask")
    with pytest.raises(ValueError, match="fixed mask is empty"):
        fit_mask(Volume(torch.full((1, 6, 7, 8), float("nan")), _grid()), _grid(), "fixed mask")


def test_overlap_is_a_share_of_the_fixed_field_of_view() -> None:
    fixed, half = _grid((20, 20, 20)), _grid((20, 20, 20), origin=(10, 0, 0))
    assert overlap_share(fixed, fixed, np.eye(4)) == 1.0
    assert overlap_share(fixed, half, np.eye(4)) == pytest.approx(0.5)
    shift = np.eye(4)
    shift[0, 3] = 10
    assert overlap_share(fixed, half, shift) == 1.0


def test_images_apart_are_refused_and_a_small_one_inside_a_large_one_is_not() -> None:
    fixed = _grid((20, 20, 20))
    with pytest.raises(ValueError, match=r"overlap in 0.0 %.*300 mm apart"):
        check_overlap(fixed, _grid((20, 20, 20), origin=(300, 0, 0)), np.eye(4))
    large = _grid((200, 200, 200), origin=(-90, -90, -90))
    assert check_overlap(large, fixed, np.eye(4)) < 0.05


def test_a_nearly_isotropic_lattice_is_kept() -> None:
    grid = _grid((20, 22, 24), (1.0, 1.0, 1.4))
    assert working_grid(grid, max_voxels=10**9) == grid


def test_thick_slices_are_evened_out_with_as_many_voxels_as_the_data() -> None:
    grid = _grid((200, 200, 40), (0.7, 0.7, 4.0))
    working = working_grid(grid, max_voxels=10**9)
    assert max(working.spacing) / min(working.spacing) < 1.05
    assert math.prod(working.shape) == pytest.approx(math.prod(grid.shape), rel=0.05)
    last = np.array(grid.shape) - 1
    np.testing.assert_allclose(
        working.index_to_point(np.array(working.shape) - 1), grid.index_to_point(last), atol=1e-9
    )


def test_a_large_image_is_worked_on_at_a_resolution_that_fits_and_is_stated() -> None:
    grid = _grid((512, 512, 300), (0.7, 0.7, 1.0))
    working = working_grid(grid, max_voxels=12_000_000)
    assert 0.85 * 12_000_000 < math.prod(working.shape) <= 12_000_000
    assert max(working.spacing) / min(working.spacing) < 1.1
    sentence = describe_working_grid(grid, working)
    assert sentence.startswith("Worked at ")
    assert "512 x 512 x 300 voxels of 0.7 x 0.7 x 1 mm" in sentence
    assert "resolution of the fixed image" in describe_working_grid(grid, grid)


def test_an_asked_for_spacing_is_kept_as_near_as_the_ends_allow() -> None:
    working = working_grid(_grid((61, 61, 11), (1, 1, 6)), spacing_mm=2, max_voxels=10**9)
    assert working.shape == (31, 31, 31)
    assert working.spacing == (2, 2, 2)


def test_percentiles_ignore_a_few_hot_voxels() -> None:
    data = torch.arange(10000.0).view(1, 10, 100, 10)
    data.view(-1)[-5:] = 1e7
    prepared = prepare_intensity(_volume(data), "percentile").data
    assert prepared.aminmax() == (0.0, 1.0)
    assert prepared.flatten()[5000] == pytest.approx(0.5, abs=0.01)


def test_a_sparse_image_keeps_its_few_bright_voxels() -> None:
    data = torch.zeros(1, 20, 20, 20)
    data[0, 3, 3, 3] = 4
    assert prepare_intensity(_volume(data), "percentile").data.max() == 1


def test_ct_is_windowed_in_hounsfield_units() -> None:
    data = torch.tensor([-3024, -1000, 0, 1000, 3071], dtype=torch.int16).view(1, 1, 1, 5)
    prepared = prepare_intensity(_volume(data), "ct").data
    assert prepared.dtype == torch.float32
    assert prepared.flatten().tolist() == [0, 0, 0.5, 1, 1]


def test_nothing_is_done_for_none_and_the_input_is_never_changed() -> None:
    data = torch.rand(1, 4, 4, 4) * 9
    before = data.clone()
    assert torch.equal(prepare_intensity(_volume(data), "none").data, before)
    prepare_intensity(_volume(data), "percentile")
    assert torch.equal(data, before)


@pytest.mark.parametrize("kind", ["percentile", "ct", "none"])
def test_a_constant_image_is_refused_after_every_preparation(kind) -> None:
    with pytest.raises(ValueError, match="moving image is constant"):
        prepare_intensity(_volume(torch.full((1, 4, 4, 4), 2000.0)), kind, "moving image")


def test_an_unknown_preparation_is_refused() -> None:
    with pytest.raises(ValueError, match="percentile, ct, ct-soft or none"):
        prepare_intensity(_volume(torch.rand(1, 4, 4, 4)), "zscore")
