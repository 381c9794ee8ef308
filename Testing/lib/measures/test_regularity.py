"""Figures of regularity: closed forms, masks with both denominators, and refusals."""

from __future__ import annotations

import pytest
import torch

import analytic
from SpatialRegularizationLib.fields.derivatives import determinant_slabs, jacobian_determinant
from SpatialRegularizationLib.measures.regularity import measure_regularity

SHAPE = (9, 10, 11)


def _linear(matrix: torch.Tensor) -> torch.Tensor:
    x = analytic.lattice(SHAPE)
    return torch.einsum("ca,aijk->cijk", matrix.double(), x) - x


def test_identity_is_perfectly_regular() -> None:
    found = measure_regularity(torch.zeros(1, 3, *SHAPE))
    assert (found.folding_percent, found.folding_one_sided_percent, found.ndv_percent, found.sd_log_j) == (0, 0, 0, 0)
    assert (found.jacobian_min, found.jacobian_max, found.clipped) == (1, 1, 0)
    assert (found.voxels, found.mask, found.boundary) == (9 * 10 * 11, "whole volume", "replicate")
    assert found.whole is None


def test_a_reflection_folds_everywhere() -> None:
    found = measure_regularity(_linear(torch.diag(torch.tensor([1.0, -1.0, 1.0]))), interior=True)
    assert found.folding_percent == found.folding_one_sided_percent == 100
    assert found.ndv_percent == pytest.approx(100)
    assert found.clipped == found.folded_voxels == found.voxels == 7 * 8 * 9
    assert found.sd_log_j == pytest.approx(0, abs=1e-6)


def test_figures_equal_the_whole_volume_formulas() -> None:
    u = 0.6 * torch.randn(3, *SHAPE, dtype=torch.float64)
    central = jacobian_determinant(u[None])[0, 0]
    found = measure_regularity(u)
    assert found.folded_voxels == int((central <= 0).sum())
    assert found.sd_log_j == pytest.approx(float(central.clamp(min=1e-9).log().std(correction=0)))
    assert found.jacobian_min == pytest.approx(float(central.min()))
    assert found.jacobian_max == pytest.approx(float(central.max()))
    volumes = torch.cat([slab.negative_volume.clone() for slab in determinant_slabs(u)])
    assert found.ndv_percent == pytest.approx(100 * float(volumes.mean()))
    assert found.folding_one_sided_percent > found.folding_percent > 0


def test_one_sided_folds_are_seen_where_the_central_difference_is_blind() -> None:
    u = torch.zeros(3, *SHAPE)
    x = analytic.lattice(SHAPE).sum(0)
    u[0] = 0.8 * (x % 2)
    found = measure_regularity(u, interior=True)
    assert found.folding_percent == 0
    assert found.sd_log_j == pytest.approx(0, abs=1e-6)
    assert found.folding_one_sided_percent == 0
    u[0] = 1.2 * (x % 2)
    found = measure_regularity(u, interior=True)
    assert (found.folding_percent, found.folding_one_sided_percent) == (0, 100)
    assert found.ndv_percent > 0


def test_a_mask_gives_both_denominators() -> None:
    u = torch.zeros(3, *SHAPE)
    u[0, 4, 5, 5] = 3
    mask = torch.zeros(1, 1, *SHAPE)
    mask[..., 2:7, 3:8, 3:8] = 1
    found = measure_regularity(u, mask=mask)
    assert (found.mask, found.voxels, found.whole.voxels) == ("mask", 125, 990)
    assert found.folded_voxels == found.whole.folded_voxels > 0
    assert found.folding_percent == pytest.approx(100 * found.folded_voxels / 125)
    assert found.whole.folding_percent == pytest.approx(100 * found.folded_voxels / 990)
    assert found.ndv_percent * 125 == pytest.approx(found.whole.ndv_percent * 990)


def test_the_interior_crops_the_mask_likewise() -> None:
    found = measure_regularity(torch.zeros(3, *SHAPE), mask=torch.ones(SHAPE), interior=True)
    assert (found.voxels, found.boundary) == (7 * 8 * 9, "interior")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_precisions_agree(dtype) -> None:
    u = 0.4 * torch.randn(3, *SHAPE, dtype=torch.float64)
    reference, found = measure_regularity(u), measure_regularity(u.to(dtype))
    assert found.ndv_percent == pytest.approx(reference.ndv_percent, rel=1e-4)
    assert found.sd_log_j == pytest.approx(reference.sd_log_j, rel=1e-3)


@pytest.mark.parametrize(
    ("u", "options", "words"),
    [
        (torch.zeros(2, *SHAPE), {}, r"must be \(3, i, j, k\)"),
        (torch.zeros(2, 3, *SHAPE), {}, r"must be \(3, i, j, k\)"),
        (torch.zeros(3, *SHAPE, dtype=torch.int32), {}, "floating point"),
        (torch.full((3, *SHAPE), float("nan")), {}, "NaN or infinite"),
        (torch.zeros(3, 2, 9, 9), {"interior": True}, "No interior"),
        (torch.zeros(3, *SHAPE), {"mask": torch.zeros(SHAPE)}, "mask is empty"),
        (torch.zeros(3, *SHAPE), {"mask": torch.ones(3, 3, 3)}, "shape of the displacement"),
    ],
)
def test_undefined_figures_are_refused(u, options, words) -> None:
    with pytest.raises(ValueError, match=words):
        measure_regularity(u, **options)
