"""The figures of a transform and of λ on pairs where they are known."""

from __future__ import annotations

from dataclasses import replace

import bending
import finished
import numpy as np
import pytest
import torch

from SpatialRegularizationLib.geometry import DisplacementField, SpatialTransform, Volume
from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.measures.alignment import mind_of
from SpatialRegularizationLib.studies.figures import figures_of_transform, figures_of_weight, gradient_energy
from SpatialRegularizationLib.studies.pairs import ReadPair
from SpatialRegularizationLib.studies.regions import Region
from SpatialRegularizationLib.studies.settings import StudySettings

GRID = bending.cube(20, 4.5)
SHIFT = (9.0, 0.0, 0.0)
MOVED = bending.Bend(0.0, shift=SHIFT)


def settings(**values: object) -> StudySettings:
    return StudySettings.from_dict({"pairs": "p.csv", "methods": ["generic"]} | values)


def shifted_pair() -> ReadPair:
    """The moving image lies 9 mm, two voxels, beside the fixed one."""
    points = bending.points_of(5)
    companions = Companions(
        fixed_labels=bending.labels(GRID, MOVED),
        moving_labels=bending.labels(GRID),
        fixed_points=points,
        moving_points=points + np.array(SHIFT),
    )
    return ReadPair("p", bending.image(GRID, MOVED), bending.image(GRID), companions, np.eye(4), np.eye(4))


def shift_by(mm: tuple[float, float, float]) -> SpatialTransform:
    matrix = np.eye(4)
    matrix[:3, 3] = mm
    return SpatialTransform(matrix)


def test_the_true_transform_is_better_in_every_figure() -> None:
    pair, chosen = shifted_pair(), settings(labels={"outer": 1, "inner": 2})
    before, after = (figures_of_transform(t, pair, chosen) for t in (SpatialTransform(), shift_by(SHIFT)))
    assert after["dice"] == after["dice_outer"] == after["dice_inner"] == 1.0
    assert after["hd95_mm"] == 0.0
    assert after["tre_mm"] == pytest.approx(0.0, abs=1e-9)
    assert before["tre_mm"] == before["tre_max_mm"] == pytest.approx(9.0)
    for name in ("dice", "lncc", "mind"):
        assert after[name] > before[name]
    assert after["ndv_percent"] == after["folding_percent"] == after["sd_log_j"] == after["folding_percent_inside"] == 0.0


def test_only_the_named_labels_are_scored() -> None:
    found = figures_of_transform(SpatialTransform(), shifted_pair(), settings(labels=[2], other_labels="ignore"))
    assert found["dice"] == found["dice_2"]
    assert "dice_1" not in found


def test_a_label_that_is_lost_has_dice_zero_and_no_distance_and_is_counted() -> None:
    pair = shifted_pair()
    lost = pair.companions.fixed_labels.data.clone()
    lost[lost == 2] = 1
    pair = replace(pair, companions=replace(pair.companions, fixed_labels=pair.companions.fixed_labels.with_data(lost)))
    found = figures_of_transform(SpatialTransform(), pair, settings())
    assert found["dice_2"] == 0
    assert np.isnan(found["hd95_mm_2"])
    assert (found["hd95_undefined_labels"], found["hd95_mm"]) == (1, found["hd95_mm_1"])


def test_a_fold_is_counted_in_the_whole_volume_and_inside_the_labels() -> None:
    """x - 2 (x - center) within the middle third: turned inside out there, where the labels are."""
    pair = shifted_pair()
    index = torch.stack(torch.meshgrid(*[torch.arange(n) for n in GRID.shape], indexing="ij")).double()
    u = torch.zeros(3, *GRID.shape)
    u[0, 8:12] = -2 * (index[0, 8:12] - 9.5).float()
    found = figures_of_transform(SpatialTransform(displacement=DisplacementField.from_voxels(u, GRID)), pair, settings())
    assert 0 < found["folding_percent"] < found["folding_percent_inside"]


def test_mind_is_one_for_equal_images_and_blind_to_contrast() -> None:
    image = bending.image(GRID)
    negative = image.with_data(image.data.max() - image.data)
    assert mind_of(image, image, SpatialTransform()) == pytest.approx(1.0, abs=1e-6)
    assert mind_of(image, negative, SpatialTransform()) == pytest.approx(1.0, abs=1e-3)
    assert mind_of(image, negative, shift_by(SHIFT)) < 0.99


def registration_with(weight: torch.Tensor, vectors: torch.Tensor):
    """A finished registration with this λ (i, j, k) and displacement (3, i, j, k), mm."""
    result = finished.finished_registration()
    field = DisplacementField(vectors.float(), result.fixed.grid)
    return replace(result, lambda_map=result.fixed.with_data(weight[None].float()), displacement=field)


def ramp() -> torch.Tensor:
    grid = finished.ramp_volume().grid
    return torch.linspace(0, 1, grid.shape[0])[:, None, None].expand(grid.shape).clone()


def test_the_gradient_energy_is_that_of_a_linear_field_in_millimeters() -> None:
    grid = finished.ramp_volume().grid
    position = torch.arange(grid.shape[1]) * grid.spacing[1]
    vectors = torch.zeros(3, *grid.shape)
    vectors[0], vectors[2] = 0.1 * position[None, :, None], -0.2 * position[None, :, None]
    energy = gradient_energy(registration_with(ramp(), vectors))
    assert energy == pytest.approx(np.full(grid.shape, 0.1**2 + 0.2**2), abs=1e-6)


def test_a_weight_that_falls_where_the_deformation_is_strong_is_anticorrelated() -> None:
    grid = finished.ramp_volume().grid
    vectors = torch.zeros(3, *grid.shape)
    vectors[0] = (torch.arange(grid.shape[0]) ** 2)[:, None, None] * 0.01  # ∂d grows along the axis, as the ramp does
    for weight, expected in ((2 - ramp(), -1.0), (1 + ramp(), 1.0)):
        found = figures_of_weight(registration_with(weight, vectors), None, ())
        assert found["lambda_gradient_correlation"] == pytest.approx(expected, abs=0.02)
        assert found["lambda_mean"] == pytest.approx(float(weight.double().mean()))


def test_the_mean_weight_of_a_region_is_taken_over_its_voxels() -> None:
    grid = finished.ramp_volume().grid
    numbers = torch.zeros(grid.shape, dtype=torch.int32)
    numbers[3:6], numbers[6:] = 3, 42
    regions = [Region.of("left cortex", [3]), Region.of("both", [3, 42]), Region.of("nothing", [7])]
    found = figures_of_weight(registration_with(ramp(), torch.zeros(3, *grid.shape)), Volume(numbers[None], grid), regions)
    steps = torch.linspace(0, 1, grid.shape[0])
    assert found["lambda_mean_left_cortex"] == pytest.approx(float(steps[3:6].mean()))
    assert found["lambda_mean_both"] == pytest.approx(float(steps[3:].mean()))
    assert found["lambda_mean_nothing"] is None
    assert found["lambda_mean"] == pytest.approx(float(steps[3:].mean())), "over the labels"
    assert found["lambda_gradient_correlation"] is None, "nothing is deformed"


def test_a_uniform_weight_has_no_figures() -> None:
    grid = finished.ramp_volume().grid
    assert figures_of_weight(registration_with(torch.full(grid.shape, 0.5), torch.zeros(3, *grid.shape)), None, ()) == {}
