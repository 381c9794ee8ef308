"""What a scanner does, one thing at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from SpatialRegularizationLib.training.anatomy import Anatomy
from SpatialRegularizationLib.training.draws import Draws
from SpatialRegularizationLib.training.synthesis_image import LabelTable, random_contrast, random_rim, scanned
from SpatialRegularizationLib.training.synthesis_settings import SynthesisSettings

NOTHING = {"texture": 0.0, "bias": 0.0, "noise": 0.0, "blur_voxels": 0.0, "coarse": 0.0, "gamma": 0.0}
SHAPE = (24, 20, 28)


def draws(number: int = 0) -> Draws:
    return Draws(torch.device("cpu"), 3, "image", number)


def scan(clean: Tensor, number: int = 0, **changes: Any) -> Tensor:
    return scanned(clean, SynthesisSettings(**(NOTHING | changes)), draws(number))


def test_nothing_asked_for_leaves_the_image_as_it_is() -> None:
    clean = torch.rand(1, 1, *SHAPE)
    clean = clean / clean.max()
    assert torch.allclose(scan(clean), clean, atol=1e-6)


def test_an_even_image_stays_even_under_blur_and_lower_resolution() -> None:
    clean = torch.ones(1, 1, *SHAPE)
    assert torch.allclose(scan(clean, blur_voxels=5.0, coarse=1.0, coarse_factor=10.0, gamma=2.0), clean, atol=1e-5)


def test_the_bias_field_is_smooth_and_within_its_range() -> None:
    for number in range(5):
        logarithm = scan(torch.ones(1, 1, *SHAPE), number, bias=1.5).log()
        assert float(logarithm.max() - logarithm.min()) <= 2 * 1.5 + 1e-5
        assert float(logarithm.diff(dim=2).abs().max()) < 2 * 1.5 / 4


def test_noise_grows_with_its_setting_and_is_never_negative() -> None:
    clean = torch.full((1, 1, *SHAPE), 0.5)
    deviations = []
    for noise in (0.02, 0.04):
        image = scan(clean, noise=noise)
        assert float(image.min()) >= 0
        deviations.append(float(image.std() / image.mean()))
    assert deviations[1] == pytest.approx(2 * deviations[0], rel=0.1)
    assert 0 < deviations[0] <= 0.02 / 0.5 * 1.1


def test_air_becomes_bright_only_through_noise() -> None:
    clean = torch.zeros(1, 1, *SHAPE)
    clean[..., 10:14] = 1.0
    image = scan(clean, noise=0.1)
    assert 0 < float(image[..., :8].mean()) < 0.15


def test_lower_resolution_hides_what_is_thinner_than_its_voxels() -> None:
    stripes = torch.zeros(1, 1, *SHAPE)
    for axis in range(2, 5):
        index = torch.arange(SHAPE[axis - 2]).view([-1 if a == axis else 1 for a in range(5)])
        stripes = stripes + (index % 2)
    contrasts = [float(scan(stripes / 3, number, coarse=1.0, coarse_factor=8.0).std()) for number in range(8)]
    assert min(contrasts) < 0.9 * float((stripes / 3).std())


def test_gamma_keeps_the_order_of_intensities() -> None:
    clean = torch.linspace(0, 1, SHAPE[2]).expand(1, 1, *SHAPE).contiguous()
    image = scan(clean, gamma=2.0)
    assert bool((image.diff(dim=-1) >= 0).all())
    assert not torch.allclose(image, clean, atol=0.02)
    middle = float(image[0, 0, 0, 0, SHAPE[2] // 2])
    exponent = math.log(middle) / math.log(float(clean[0, 0, 0, 0, SHAPE[2] // 2]))
    assert math.exp(-2.0) <= exponent <= math.exp(2.0)


def test_a_contrast_lies_in_the_range_of_tissues_and_air_is_dark() -> None:
    table = LabelTable.of((1, 2, 3), None)
    for number in range(20):
        contrast = random_contrast(table, SynthesisSettings(part_contrast=0.0), draws(number))
        assert contrast.means[0] == contrast.deviations[0] == 0
        assert float(contrast.means[1:].min()) >= 0.1
        assert float(contrast.means.max()) <= 1


def test_a_label_0_that_a_tissue_lists_is_no_air() -> None:
    table = LabelTable.of((1, 2), Anatomy.of({"tissues": [[0], [[1, 2]]]}))
    assert not table.air
    contrast = random_contrast(table, SynthesisSettings(), draws())
    assert float(contrast.means[0]) > 0
    assert contrast.means[1] == contrast.means[2]


def test_places_of_a_table_lead_back_to_the_labels() -> None:
    table = LabelTable.of((530, 2, 41), None)
    labels = torch.tensor([0, 41, 530, 2, 2])
    places = table.places(labels)
    assert places.tolist() == [0, 2, 3, 1, 1]
    assert torch.equal(table.labels(places), labels)
    assert table.labels(places, counted=(41,)).tolist() == [0, 41, 0, 0, 0]
    assert table.among(places, (2, 530)).tolist() == [False, False, True, True, True]


def test_the_rim_of_stripping_is_smooth_and_closes_furrows() -> None:
    inner = torch.zeros(1, 1, 32, 32, 32, dtype=torch.bool)
    inner[..., 8:24, 8:24, 8:24] = True
    inner[..., 15:16, 14:24, 8:24] = False  # a furrow of one voxel
    for number in range(5):
        kept = random_rim(inner, draws(number))
        assert bool(kept[..., 15, 16:20, 12:20].all())
        share = float(kept.sum() / inner.sum())
        assert 0.5 < share < 1.6
        assert not kept[..., :3, :, :].any()


def test_what_is_too_small_to_be_smoothed_stays_as_it_is() -> None:
    inner = torch.zeros(1, 1, 16, 16, 16, dtype=torch.bool)
    inner[..., 8, 8, 8] = True
    assert torch.equal(random_rim(inner, draws()), inner)
