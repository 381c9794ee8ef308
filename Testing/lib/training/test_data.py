"""Lists, the common lattice, the cache, and bad images that are all named before training starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blobs import grid_of, person, settings_dict, write_list, write_person

from SpatialRegularizationLib.geometry.grid import Grid
from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.images.preparation import prepare_intensity
from SpatialRegularizationLib.io.volumes import read_volume, write_volume
from SpatialRegularizationLib.training.data import load_data
from SpatialRegularizationLib.training.settings import TrainingSettings
from SpatialRegularizationLib.zoo.training_grid import letters_of


def settings(folder: Path, **changes: Any) -> TrainingSettings:
    return TrainingSettings.from_dict(settings_dict(folder, **changes))


def test_all_bad_images_are_named_at_once(tmp_path: Path) -> None:
    path = write_list(tmp_path, "train.csv", range(4))
    image, labels = person(0)
    image.data[:] = torch.nan
    write_volume(tmp_path / "person0.nii.gz", image)
    (tmp_path / "person1.nii.gz").write_bytes(b"damaged")
    (tmp_path / "person2_labels.nii.gz").unlink()
    write_volume(tmp_path / "person3_labels.nii.gz", Volume(labels.data[:, 1:], grid_of((15, 16, 16))))
    path.write_text(path.read_text() + "last,nowhere.nii.gz,,\n")
    with pytest.raises(ValueError, match=r"^5 problems with the 7 images") as error:
        load_data(settings(tmp_path))
    text = str(error.value)
    for part in (
        "person0: ",
        "NaN",
        "person1: ",
        "not a readable image",
        "person2: the labels",
        "person3: The labels lie",
        "last: the image",
    ):
        assert part in text
    assert "\n" not in text


def test_labels_are_needed_for_the_dice_term(tmp_path: Path) -> None:
    chosen = settings(tmp_path, dice_weight=1.0)
    path = tmp_path / "train.csv"
    path.write_text(path.read_text().replace("person2_labels.nii.gz", ""))
    with pytest.raises(ValueError, match="person2: has no labels, which the Dice term needs"):
        load_data(chosen)


def test_images_of_different_size_are_padded_to_a_common_multiple_around_their_middle(tmp_path: Path) -> None:
    chosen = settings(tmp_path, multiple=8, validation=None)
    write_person(tmp_path, 3, grid_of((13, 17, 16)))
    data = load_data(chosen)
    assert data.preparation.training_grid.shape == (16, 24, 16)
    assert data.preparation.training_grid.spacing_mm == (1.0, 1.0, 1.0)
    odd = data.training[3]
    image, labels = person(3, grid_of((13, 17, 16)))
    expected = prepare_intensity(image, "percentile").data[0]
    assert np.array_equal(odd.image[0, 1:14, 3:20], expected.numpy())
    assert np.array_equal(odd.image[0, 15], odd.image[0, 13])  # the border value is repeated
    assert np.array_equal(odd.labels[0, 1:14, 3:20], labels.data[0].numpy())
    assert not odd.labels[0, 14:].any()
    assert odd.inside.sum() == 13 * 17 * 16
    assert odd.inside[0, 1:14, 3:20].all()
    assert data.training[0].inside.sum() == 16**3


def test_all_images_get_one_orientation_and_spacing(tmp_path: Path) -> None:
    chosen = settings(tmp_path, orientation="RAS", validation=None)
    grid = Grid((16, 16, 8), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), ((0, 1, 0), (-1, 0, 0), (0, 0, 1)))
    write_person(tmp_path, 2, grid)
    data = load_data(chosen)
    assert {letters_of(image.grid) for image in data.training} == {"RAS"}
    assert {image.grid.spacing for image in data.training} == {(1.0, 1.0, 1.0)}
    assert {image.image.shape for image in data.training} == {(1, 16, 16, 16)}
    flipped = data.training[0]
    assert np.array_equal(flipped.labels[0], person(0)[1].data[0].flip(0, 1).numpy())


def test_prepared_images_are_found_again_by_content_and_settings(tmp_path: Path) -> None:
    chosen = settings(tmp_path, validation=None)
    load_data(chosen)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    moved = tmp_path / "moved"
    os.rename(tmp_path / "person0.nii.gz", tmp_path / "same.nii.gz")
    (tmp_path / "train.csv").write_text((tmp_path / "train.csv").read_text().replace("person0.nii.gz", "same.nii.gz"))
    load_data(settings(tmp_path, validation=None, out=str(moved)))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == files

    image, _ = person(1)
    write_volume(tmp_path / "person1.nii.gz", image.with_data(image.data + torch.rand(image.data.shape)))
    changed = load_data(settings(tmp_path, validation=None))
    new = {path.suffix for path in (tmp_path / "cache").iterdir() if path not in files}
    assert new == {".json", ".npy"}
    assert not np.array_equal(
        changed.training[1].image, load_data(settings(tmp_path, validation=None, intensity="none")).training[1].image
    )


def test_prepared_images_are_memory_maps(tmp_path: Path) -> None:
    data = load_data(settings(tmp_path))
    assert all(isinstance(image.image, np.memmap) and isinstance(image.labels, np.memmap) for image in data.training)
    assert data.label_values == (1, 2)
    assert data.training[0].labels.dtype == np.uint8


def test_an_anatomy_larger_than_the_asked_for_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"person0: it does not fit a grid of 8 x 16 x 16 voxels of 1 x 1 x 1 mm"):
        load_data(settings(tmp_path, shape=[8, 16, 16], validation=None))


def test_a_mask_says_where_the_similarity_counts(tmp_path: Path) -> None:
    chosen = settings(tmp_path, validation=None)
    drawn = torch.zeros(1, 16, 16, 16, dtype=torch.uint8)
    drawn[:, 4:9, 3:12, 5:] = 1
    write_volume(tmp_path / "mask.nii.gz", Volume(drawn, grid_of()))
    text = (tmp_path / "train.csv").read_text().splitlines()
    lines = [text[0] + ",mask", text[1] + ",mask.nii.gz", *(line + "," for line in text[2:])]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    first, second, *_ = load_data(chosen).training
    assert np.array_equal(first.inside, drawn.numpy())
    assert second.inside is None


def test_voxels_without_a_number_do_not_count(tmp_path: Path) -> None:
    chosen = settings(tmp_path, validation=None)
    path = tmp_path / (tmp_path / "train.csv").read_text().splitlines()[1].split(",")[1]
    image = read_volume(path)
    image.data[:, :3] = float("nan")
    write_volume(path, image)
    first, second, *_ = load_data(chosen).training
    assert np.isfinite(first.image).all()
    assert not first.inside[:, :3].any()
    assert first.inside[:, 3:].all()
    assert second.inside is None
