"""Who meets whom: every image in its turn, the same order for the same seed, whichever process asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from blobs import settings_dict

from SpatialRegularizationLib.training.data import load_data
from SpatialRegularizationLib.training.pairs import Batch, PairOrder, find_atlas, validation_pairs
from SpatialRegularizationLib.training.settings import TrainingSettings


def order(folder: Path, **changes: Any) -> PairOrder:
    chosen = TrainingSettings.from_dict(settings_dict(folder, **changes))
    images = load_data(chosen).training
    return PairOrder.of(chosen, images, find_atlas(chosen, images))


def names(pairs: list) -> list[tuple[str, str]]:
    return [(moving.entry.name, fixed.entry.name) for moving, fixed in pairs]


def test_between_people_everyone_is_fixed_once_an_epoch_and_nobody_meets_himself(tmp_path: Path) -> None:
    pairs = order(tmp_path)
    epochs = [names([pairs.pair(epoch, n) for n in range(pairs.size)]) for epoch in range(3)]
    for epoch in epochs:
        assert {fixed for _, fixed in epoch} == {f"person{n}" for n in range(4)}
        assert all(moving != fixed for moving, fixed in epoch)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_same_place_gives_the_same_pair_and_another_seed_another_order(tmp_path: Path) -> None:
    first, again, other = (order(tmp_path, seed=seed) for seed in (1, 1, 2))
    places = [(epoch, n) for epoch in range(3) for n in range(8)]
    assert names([first.pair(*place) for place in places]) == names([again.pair(*place) for place in reversed(places)][::-1])
    assert names([first.pair(*place) for place in places]) != names([other.pair(*place) for place in places])


def test_the_atlas_is_always_moving_and_never_fixed(tmp_path: Path) -> None:
    pairs = order(tmp_path, pairs="atlas-to-subject", atlas="person1")
    met = names([pairs.pair(0, n) for n in range(pairs.size)])
    assert sorted(met) == [("person1", "person0"), ("person1", "person2"), ("person1", "person3")]


def test_images_of_one_group_meet_in_both_directions(tmp_path: Path) -> None:
    pairs = order(tmp_path, pairs="intra-subject")
    met = names([pairs.pair(0, n) for n in range(pairs.size)])
    assert sorted(met) == [("person0", "person1"), ("person1", "person0"), ("person2", "person3"), ("person3", "person2")]


def test_lists_without_a_pair_and_unknown_atlases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="atlas 'nobody' is not in the list"):
        order(tmp_path, pairs="atlas-to-subject", atlas="nobody")
    text = (tmp_path / "train.csv").read_text()
    (tmp_path / "train.csv").write_text(text.replace(",0\n", ",\n").replace(",1\n", ",\n"))
    with pytest.raises(ValueError, match="makes no intra-subject pair: give images of one person the same group"):
        order(tmp_path, pairs="intra-subject")


def test_validation_pairs_are_the_same_each_time(tmp_path: Path) -> None:
    chosen = TrainingSettings.from_dict(settings_dict(tmp_path, validation_pairs=5))
    images = load_data(chosen).validation
    first, again = (names(validation_pairs(chosen, images, None)) for _ in range(2))
    assert first == again
    assert len(first) == 5


def test_a_batch_holds_what_its_images_hold(tmp_path: Path) -> None:
    chosen = TrainingSettings.from_dict(settings_dict(tmp_path, multiple=8, shape=[16, 16, 24]))
    images = load_data(chosen).training
    batch = Batch.of([(images[0], images[1]), (images[2], images[3])], torch.device("cpu"))
    assert batch.moving.shape == batch.fixed.shape == (2, 1, 16, 16, 24)
    assert torch.equal(batch.fixed[1], torch.from_numpy(images[3].image.copy()))
    assert torch.equal(batch.moving_labels[0, 0], torch.from_numpy(images[0].labels[0].astype("int64")))
    assert batch.fixed_inside.sum() == 2 * 16**3
    assert batch.names == ("person0 to person1", "person2 to person3")
