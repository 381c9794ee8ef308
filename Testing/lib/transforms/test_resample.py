"""Resampling, composing and inverting against SimpleITK, over orientations and different fixed and moving grids."""

from __future__ import annotations

import numpy as np
import physical
import pytest
import SimpleITK as sitk
import torch

from SpatialRegularizationLib.geometry import DisplacementField, SpatialTransform, Volume
from SpatialRegularizationLib.transforms import mapping
from SpatialRegularizationLib.transforms.resample import (
    resample,
    resample_labels,
    resample_labels_linear,
    total_displacement,
)

PAIRS = [
    ("RAS", "LAS"),
    ("LAS", "oblique"),
    ("LPS", "RAS"),
    ("LIA", "LPS"),
    ("oblique", "LIA"),
    ("oblique left-handed", "oblique"),
]
"""Orientations of the fixed and the moving grid."""
RANGE = 480.0
"""Span of the intensities of `physical.pattern` on the grids used."""


def worst(a: np.ndarray | torch.Tensor, b: np.ndarray) -> float:
    """Largest difference in intensity, relative to the span of the intensities."""
    return float(np.abs(np.asarray(a, dtype=np.float64) - b).max()) / RANGE


@pytest.mark.parametrize("affine_first", [False, True])
@pytest.mark.parametrize(("fixed", "moving"), PAIRS)
def test_an_image_is_resampled_as_itk_does(fixed: str, moving: str, affine_first: bool) -> None:
    volume = physical.image(physical.other_grid(moving))
    grid = physical.grid(fixed)
    transform = physical.transform(grid, affine_first=affine_first)
    expected = physical.itk_resample(volume, physical.itk_transform(transform), grid, sitk.sitkLinear, -7.0)
    ours = resample(volume, transform, grid, fill=-7.0)
    assert worst(ours.data[0], expected) < 1e-10
    assert worst(resample(volume.to(torch.float32), transform, grid, fill=-7.0).data[0], expected) < 1e-4 / 10
    assert (expected != -7.0).mean() > 0.95
    assert ours.grid == grid


@pytest.mark.parametrize(("fixed", "moving"), PAIRS)
def test_the_field_may_lie_on_another_grid_than_the_result(fixed: str, moving: str) -> None:
    volume = physical.image(physical.other_grid(moving))
    transform = physical.transform(physical.grid("oblique"))
    grid = physical.grid(fixed, shape=(30, 41, 27), spacing=(1.4, 1.2, 2.2))
    expected = physical.itk_resample(volume, physical.itk_transform(transform), grid, sitk.sitkLinear)
    assert worst(resample(volume, transform, grid).data[0], expected) < 1e-10


def test_far_outside_the_field_only_the_affine_map_acts_as_in_itk() -> None:
    volume = physical.image(physical.other_grid("LPS"))
    small = physical.grid("oblique", shape=(12, 9, 8))
    field = DisplacementField(torch.full((3, *small.shape), 3.0, dtype=torch.float64), small)
    transform = SpatialTransform(physical.affine(), field)
    grid = physical.grid("RAS")
    expected = physical.itk_resample(volume, physical.itk_transform(transform), grid, sitk.sitkLinear)
    assert worst(resample(volume, transform, grid).data[0], expected) < 1e-10


def test_no_transform_means_the_same_place_in_patient_space() -> None:
    volume = physical.image(physical.other_grid("LIA"))
    grid = physical.grid("oblique")
    expected = physical.itk_resample(volume, sitk.Transform(3, sitk.sitkIdentity), grid, sitk.sitkLinear)
    assert worst(resample(volume, None, grid).data[0], expected) < 1e-10


def test_an_image_on_its_own_grid_is_returned_exactly() -> None:
    volume = physical.image(physical.grid("RAS"))
    torch.testing.assert_close(resample(volume, None, volume.grid).data, volume.data, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("fixed", "moving"), PAIRS)
def test_a_label_map_is_resampled_as_itk_does(fixed: str, moving: str) -> None:
    labels = physical.label_map(physical.other_grid(moving))
    grid = physical.grid(fixed)
    transform = physical.transform(grid)
    made = physical.itk_transform(transform)
    nearest = physical.itk_resample(labels, made, grid, sitk.sitkNearestNeighbor)
    linear = physical.itk_resample(labels, made, grid, sitk.sitkLabelLinear)
    ours = resample_labels(labels, transform, grid).data
    assert ours.dtype == torch.int32
    assert int((ours[0].numpy() != nearest).sum()) == 0
    assert int((resample_labels_linear(labels, transform, grid).data[0].numpy() != linear).sum()) <= 5
    assert set(np.unique(nearest)) == {0, 1, 2, 7}


def test_the_heaviest_of_interpolated_indicators_wins_and_ties_go_to_the_lowest_label() -> None:
    labels = physical.label_map(physical.other_grid("oblique"))
    grid = physical.grid("RAS")
    transform = physical.transform(grid)
    indicators = [
        resample(Volume((labels.data == label).double(), labels.grid), transform, grid).data for label in (0, 1, 2, 7)
    ]
    expected = torch.tensor([0, 1, 2, 7])[torch.stack(indicators).argmax(0)]
    assert int((resample_labels_linear(labels, transform, grid).data != expected).sum()) == 0
    pair = physical.grid("RAS", shape=(2, 1, 1), spacing=(1, 1, 1))
    middle = physical.grid("RAS", shape=(1, 1, 1), spacing=(1, 1, 1))
    for values in ((5, 3), (3, 5)):
        tied = Volume(torch.tensor(values).view(1, 2, 1, 1), pair)
        assert resample_labels_linear(tied, None, middle).data.item() == 3


@pytest.mark.parametrize("orientation", physical.DIRECTIONS)
def test_turned_and_flipped_copies_of_the_moving_image_give_the_same_result(orientation: str) -> None:
    volume = physical.image(physical.other_grid(orientation))
    grid = physical.grid("oblique")
    transform = physical.transform(grid)
    turned_grid = volume.grid.reoriented((2, 0, 1), (True, False, False))
    turned = Volume(volume.data.permute(0, 3, 1, 2).flip(1).contiguous(), turned_grid)
    expected = resample(volume, transform, grid).data.numpy()
    assert worst(resample(turned, transform, grid).data, expected) < 1e-10


def test_the_number_of_slabs_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = physical.image(physical.other_grid("LPS"))
    grid = physical.grid("oblique")
    transform = physical.transform(grid)
    whole = resample(volume, transform, grid).data
    monkeypatch.setattr(mapping, "POINTS_PER_SLAB", 3000)
    torch.testing.assert_close(resample(volume, transform, grid).data, whole, rtol=0, atol=1e-9)


def test_integers_are_interpolated_in_float32_and_channels_stay_apart() -> None:
    volume = physical.image(physical.other_grid("LPS"))
    both = Volume(torch.cat([volume.data, -volume.data]).round().to(torch.int16), volume.grid)
    out = resample(both, None, physical.grid("RAS")).data
    assert out.dtype == torch.float32
    torch.testing.assert_close(out[0], -out[1])


@pytest.mark.parametrize("affine_first", [False, True])
def test_the_total_displacement_is_that_of_itk(affine_first: bool) -> None:
    grid = physical.grid("oblique left-handed")
    transform = physical.transform(physical.grid("RAS"), affine_first=affine_first)
    filter_ = sitk.TransformToDisplacementFieldFilter()
    filter_.SetReferenceImage(physical.itk_image(np.zeros(grid.shape), grid))
    made = sitk.GetArrayFromImage(filter_.Execute(physical.itk_transform(transform)))
    expected = np.moveaxis(made.transpose(2, 1, 0, 3), -1, 0)
    assert np.abs(total_displacement(transform, grid).vectors.numpy() - expected).max() < 1e-4


def test_composition_is_that_of_itk_and_its_order_matters() -> None:
    grid = physical.grid("oblique")
    inner = physical.transform(grid)
    outer = SpatialTransform(displacement=physical.bump_field(physical.grid("LIA"), height=-4.0))
    made = sitk.CompositeTransform(3)
    made.AddTransform(physical.itk_transform(outer))
    made.AddTransform(physical.itk_transform(inner))
    points = physical.voxel_centers(grid).reshape(-1, 3)[::7]
    expected = (physical.itk_points(made, points) - points).T
    ours = total_displacement(SpatialTransform.chain(inner, outer), grid).vectors.reshape(3, -1)[:, ::7].numpy()
    assert np.abs(ours - expected).max() < 1e-4
    swapped = total_displacement(SpatialTransform.chain(outer, inner), grid).vectors.reshape(3, -1)[:, ::7].numpy()
    assert np.abs(swapped - expected).max() > 0.1


@pytest.mark.parametrize("mistake", ["no RAS flip", "negated", "swapped order", "inverse affine"])
def test_the_usual_mistakes_are_far_outside_the_tolerance(mistake: str) -> None:
    """Negative controls: what the tests above would see if the meaning were wrong."""
    volume = physical.image(physical.other_grid("LIA"))
    grid = physical.grid("oblique")
    right = physical.transform(grid)
    field = right.displacement
    wrong = {
        "no RAS flip": right.with_displacement(
            DisplacementField(field.vectors * torch.tensor([-1.0, -1.0, 1.0]).view(3, 1, 1, 1), grid)
        ),
        "negated": right.with_displacement(DisplacementField(-field.vectors, grid)),
        "swapped order": SpatialTransform(right.affine, field, affine_first=True),
        "inverse affine": SpatialTransform(np.linalg.inv(right.affine_matrix), field),
    }[mistake]
    expected = physical.itk_resample(volume, physical.itk_transform(right), grid, sitk.sitkLinear)
    assert worst(resample(volume, wrong, grid).data[0], expected) > 0.02
