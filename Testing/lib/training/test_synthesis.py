"""Synthesized pairs: what follows from the labels, what is random, what repeats."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from SpatialRegularizationLib.fields.sampling import voxel_coordinates
from SpatialRegularizationLib.training.anatomy import Anatomy
from SpatialRegularizationLib.training.draws import Draws
from SpatialRegularizationLib.training.shapes import random_shapes
from SpatialRegularizationLib.training.synthesis import SynthesizedPair, Synthesizer
from SpatialRegularizationLib.training.synthesis_settings import SynthesisSettings
from SpatialRegularizationLib.zoo.training_grid import TrainingGrid

CPU = torch.device("cpu")
SHAPE = (24, 28, 20)
LATTICE = TrainingGrid(SHAPE, (2.0, 2.0, 2.0), "LPS")
STILL = {"warp_voxels": 0.0, "rotation_degrees": 0.0, "scaling": 0.0, "shift_voxels": 0.0}
CLEAN = {"texture": 0.0, "bias": 0.0, "noise": 0.0, "blur_voxels": 0.0, "coarse": 0.0, "gamma": 0.0}
ANATOMY = {"tissues": [[[2, 3]], [5, 6], [9]], "stays": [2, 3, 5], "counted": [2, 3]}


def synthesizer(labels: tuple[int, ...] = (2, 3, 5, 6, 9), **changes: Any) -> Synthesizer:
    return Synthesizer(SynthesisSettings(**changes), LATTICE, labels)


def draws(*place: int | str) -> Draws:
    return Draws(CPU, 0, *place)


def nested_balls() -> Tensor:
    """Around the middle: 9 (a shell), 6, 5, and the halves 2 and 3 of the core; (1, 1, *SHAPE)."""
    index = voxel_coordinates(SHAPE)
    distance = (index - torch.tensor([(n - 1) / 2 for n in SHAPE]).view(3, 1, 1, 1)).norm(dim=0)
    labels = torch.zeros(SHAPE, dtype=torch.int64)
    for radius, label in ((9.5, 9), (8.0, 6), (6.5, 5), (4.5, 2)):
        labels[distance < radius] = label
    labels[(distance < 4.5) & (index[0] > (SHAPE[0] - 1) / 2)] = 3
    return labels[None, None]


def values_of(image: Tensor, labels: Tensor) -> dict[int, list[float]]:
    return {int(label): image[labels == label].unique().tolist() for label in labels.unique()}


def same(a: SynthesizedPair, b: SynthesizedPair) -> bool:
    names = ("images", "labels", "twins")
    return all(torch.equal(x, y) for name in names for x, y in zip(getattr(a, name), getattr(b, name), strict=True))


def test_without_motion_and_artifacts_every_label_has_one_intensity_and_air_has_none() -> None:
    labels = nested_balls()
    for number in range(5):
        pair = synthesizer(**STILL, **CLEAN).pair(labels, labels, draws(number))
        for image, shown in zip(pair.images, pair.labels, strict=True):
            assert torch.equal(shown, labels)
            found = values_of(image, labels)
            assert all(len(values) == 1 for values in found.values())
            assert found[0] == [0.0]
            assert max(values[0] for values in found.values()) == 1.0


def test_labels_of_a_part_look_the_same_and_parts_of_a_tissue_do_not() -> None:
    labels = nested_balls()
    pair = synthesizer(anatomy=ANATOMY, stripped=0.0, part_contrast=0.3, **STILL, **CLEAN).pair(labels, labels, draws(1))
    found = values_of(pair.images[0], labels)
    assert found[2] == found[3]
    assert len({found[label][0] for label in (2, 5, 6, 9)}) == 4
    alike = synthesizer(anatomy=ANATOMY, stripped=0.0, part_contrast=0.0, **STILL, **CLEAN).pair(labels, labels, draws(1))
    found = values_of(alike.images[0], labels)
    assert found[5] == found[6] != found[9]


def test_one_contrast_makes_two_scans_of_one_anatomy_equal_and_two_contrasts_do_not() -> None:
    labels = nested_balls()
    one = synthesizer(equal_contrast=1.0, **STILL, **CLEAN).pair(labels, labels, draws(2))
    two = synthesizer(equal_contrast=0.0, **STILL, **CLEAN).pair(labels, labels, draws(2))
    assert torch.equal(*one.images)
    assert not torch.allclose(*two.images, atol=0.05)
    assert torch.equal(*two.twins)


def test_any_tissue_can_be_the_brightest() -> None:
    labels = nested_balls()
    maker = synthesizer(**STILL, **CLEAN)
    brightest = set()
    for number in range(40):
        found = values_of(maker.pair(labels, labels, draws("bright", number)).images[0], labels)
        brightest.add(max(found, key=lambda label: found[label]))
    assert brightest == {2, 3, 5, 6, 9}


def test_twins_show_the_moved_anatomy_in_one_contrast_without_artifacts() -> None:
    labels = nested_balls()
    pair = synthesizer(noise=0.5, bias=2.0).pair(labels, labels, draws(3))
    means = []
    for twin, shown in zip(pair.twins, pair.labels, strict=True):
        inside = torch.nn.functional.max_pool3d((shown != 9).float(), 5, stride=1, padding=2) == 0  # 2 voxels within the shell
        means.append([float(twin[shown == label].mean()) for label in (0, 5)])
        assert 0 <= float(twin.min()) <= float(twin.max()) <= 1
        assert not inside.any() or float(twin[inside].std()) < 0.05
    assert means[0] == pytest.approx(means[1], abs=0.1)


def test_skull_stripping_leaves_what_the_anatomy_says_and_nothing_around_it() -> None:
    labels = nested_balls()
    settings = {"anatomy": {"tissues": [[2], [3], [5], [6], [9]], "stays": [2, 3, 5, 6]}, **STILL}
    pair = synthesizer(stripped=1.0, **settings).pair(labels, labels, draws(4))
    for image, shown in zip(pair.images, pair.labels, strict=True):
        assert not image[shown == 0].any()
        assert float((shown == 9).sum()) < 0.35 * float((labels == 9).sum())
        assert float((shown[labels == 5] == 5).float().mean()) > 0.95
    whole = synthesizer(stripped=0.0, **settings).pair(labels, labels, draws(4))
    assert all(torch.equal(shown, labels) for shown in whole.labels)


def test_the_share_of_stripped_pairs_is_the_asked_for_one() -> None:
    labels = nested_balls()
    maker = synthesizer(anatomy={"tissues": [[2], [3], [5], [6], [9]], "stays": [2, 3]}, stripped=0.5, **STILL, **CLEAN)
    pairs = [maker.pair(labels, labels, draws("stripped", number)) for number in range(60)]
    stripped = sum(not bool((pair.labels[0] == 9).any()) for pair in pairs)
    assert 18 <= stripped <= 42  # binomial: beyond 3 standard deviations


def test_labels_that_do_not_count_are_shown_but_not_told() -> None:
    labels = nested_balls()
    pair = synthesizer(anatomy=ANATOMY, stripped=0.0, **STILL, **CLEAN).pair(labels, labels, draws(5))
    assert set(pair.labels[0].unique().tolist()) == {0, 2, 3}
    assert float(pair.images[0][labels == 9].min()) > 0


def test_a_pair_follows_from_the_seed_and_the_place_alone() -> None:
    labels, maker = nested_balls(), synthesizer()
    first = maker.pair(labels, labels, draws("x", 7))
    torch.manual_seed(99)
    torch.rand(5)
    assert same(first, maker.pair(labels, labels, draws("x", 7)))
    assert not same(first, maker.pair(labels, labels, draws("x", 8)))
    assert not same(first, maker.pair(labels, labels, Draws(CPU, 1, "x", 7)))
    before = torch.get_rng_state()
    maker.pair(labels, labels, draws("x", 7))
    assert torch.equal(before, torch.get_rng_state())


def test_images_are_prepared_as_those_of_users_and_finite() -> None:
    labels, maker = nested_balls(), synthesizer(noise=1.0, bias=2.0, gamma=2.0, coarse=1.0, coarse_factor=10.0)
    for number in range(10):
        for image in maker.pair(labels, labels, draws("range", number)).images:
            assert image.shape == (1, 1, *SHAPE)
            assert image.dtype == torch.float32
            assert bool(torch.isfinite(image).all())
            assert (float(image.min()), float(image.max())) == (0.0, 1.0)


def test_labels_that_the_anatomy_does_not_list_are_refused() -> None:
    with pytest.raises(ValueError, match="The label maps hold labels 7, 11, which the anatomy does not list"):
        synthesizer((2, 7, 11), anatomy=ANATOMY)


def test_random_shapes_are_all_there_new_each_time_and_half_of_them_have_a_background() -> None:
    maps = [random_shapes((20, 20, 20), 6, 4.0, draws("shapes", number)) for number in range(40)]
    with_background = sum(bool((one == 0).any()) for one in maps)
    assert 10 <= with_background <= 30
    assert all(set(one.unique().tolist()) <= set(range(7)) for one in maps)
    assert len({tuple(one.flatten().tolist()) for one in maps}) == 40
    assert sum(len(set(one.unique().tolist()) - {0}) == 6 for one in maps) > 20


def test_larger_scales_make_larger_shapes() -> None:
    def borders(scale: float) -> float:
        maps = [random_shapes((32, 32, 32), 6, scale, draws("scale", number)) for number in range(6)]
        return sum(float((one[:, :, 1:] != one[:, :, :-1]).float().mean()) for one in maps)

    assert borders(2.0) > 1.5 * borders(8.0)


def test_an_anatomy_is_written_as_lists_and_says_what_is_wrong_with_it() -> None:
    anatomy = Anatomy.of(ANATOMY)
    assert anatomy.tissues == (((2, 3),), ((5,), (6,)), ((9,),))
    assert anatomy.labels == [2, 3, 5, 6, 9]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tissues": [[2], [2]]}, "lists the label 2 in two places"),
        ({"tissues": [[2, 2.5]]}, "whole numbers of at least 0, got 2.5"),
        ({"tissues": 3}, r"got 3 in place of a list; write \[3\]"),
        ({"stays": [4]}, "stays has the label 4, which no tissue lists"),
        ({"tissue": [[2]]}, "Unknown entry of the anatomy 'tissue'; did you mean tissues?"),
    ],
)
def test_a_bad_anatomy_is_refused_in_a_sentence(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Anatomy.of({"tissues": [[2], [3]]} | changes)


def test_an_anatomy_without_tissues_is_refused() -> None:
    with pytest.raises(ValueError, match="The entry 'tissues' of the anatomy is missing"):
        Anatomy.of({"stays": [1]})
