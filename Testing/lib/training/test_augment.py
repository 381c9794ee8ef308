"""Augmentation changes what it may, alike for images and labels, and reproducibly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from blobs import settings_dict

from SpatialRegularizationLib.training.augment import augmented
from SpatialRegularizationLib.training.data import load_data
from SpatialRegularizationLib.training.draws import stream
from SpatialRegularizationLib.training.pairs import Batch
from SpatialRegularizationLib.training.settings import TrainingSettings

ORIENTATION = "LPS"


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    images = load_data(TrainingSettings.from_dict(settings_dict(tmp_path_factory.mktemp("people")))).training
    return Batch.of([(images[0], images[1]), (images[2], images[3])], torch.device("cpu"))


def changed(batch: Batch, seed: int = 0, **changes: Any) -> Batch:
    chosen = TrainingSettings.from_dict(settings_dict(Path("unused"), **changes) | {"train": "t", "validation": None})
    return augmented(batch, chosen, ORIENTATION, [stream(seed, n) for n in range(2)])


@pytest.fixture(autouse=True)
def _lists_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blobs.write_list", lambda *unused: None)


def test_without_settings_nothing_changes(batch: Batch) -> None:
    assert changed(batch) is batch


def test_only_the_asked_for_axes_are_mirrored_and_all_tensors_of_a_pair_alike(batch: Batch) -> None:
    mirrored = [changed(batch, seed, flips=["head-foot"]) for seed in range(8)]
    seen = set()
    for result in mirrored:
        for n in range(2):
            flipped = torch.equal(result.fixed[n], batch.fixed[n].flip(3))
            seen.add(flipped)
            for name in ("moving", "fixed", "moving_labels", "fixed_labels"):
                before = getattr(batch, name)[n]
                assert torch.equal(getattr(result, name)[n], before.flip(3) if flipped else before)
    assert seen == {True, False}


def test_deformed_labels_follow_the_deformed_image(batch: Batch) -> None:
    images = replace(batch, moving=batch.moving_labels.float(), fixed=batch.fixed_labels.float())
    result = changed(images, deform_voxels=1.5, deform_scale=8)
    assert not torch.equal(result.moving, images.moving)
    assert not torch.equal(result.moving - images.moving, result.fixed - images.fixed)
    apart, before = (((result.fixed - labels).abs() > 0.5).float().mean() for labels in (result.fixed_labels, batch.fixed_labels))
    assert before > 0.03
    assert apart < 0.3 * before


def test_intensities_stay_in_range_and_in_order(batch: Batch) -> None:
    result = changed(batch, intensity_jitter=0.3)
    assert 0 <= float(result.fixed.min()) <= float(result.fixed.max()) <= 1
    assert not torch.equal(result.fixed, batch.fixed)
    order = batch.fixed[0].flatten().argsort()
    assert bool((result.fixed[0].flatten()[order].diff() >= 0).all())


def test_a_pair_is_changed_alike_in_whichever_batch_it_stands(batch: Batch) -> None:
    options = {"deform_voxels": 1.0, "intensity_jitter": 0.2, "flips": ["left-right", "front-back"]}
    both = changed(batch, **options)
    parts = {name: value[1:] for name, value in vars(batch).items() if value is not None}
    chosen = TrainingSettings.from_dict(settings_dict(Path("unused"), **options) | {"train": "t", "validation": None})
    alone = augmented(replace(batch, **parts), chosen, ORIENTATION, [stream(0, 1)])
    assert torch.equal(alone.moving[0], both.moving[1])
    assert torch.equal(alone.fixed_labels[0], both.fixed_labels[1])
