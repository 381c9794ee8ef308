"""Trainings on synthesized images: from lists of label maps and from nothing, alone and in shares, again and again the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from blobs import MODEL, settings_dict
from resumed import InterruptAt, same, states, without_time

from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.training.data import load_data
from SpatialRegularizationLib.training.energies import EnergyOf
from SpatialRegularizationLib.training.loop import train
from SpatialRegularizationLib.training.pairs import Batch
from SpatialRegularizationLib.training.settings import TrainingSettings
from SpatialRegularizationLib.training.sources import source_of

CPU = torch.device("cpu")
SMALL = {"warp_voxels": 1.5, "warp_scale": 4, "rotation_degrees": 5.0, "shift_voxels": 1.0}


def maps_only(folder: Path, **changes: Any) -> dict[str, Any]:
    """Settings with lists that name label maps and no images."""
    values = settings_dict(folder) | {"synthesis": SMALL, "validation_pairs": 2} | changes
    for name in ("train", "validation"):
        text = (folder / f"{name}.csv").read_text().splitlines()
        rows = [line.split(",") for line in text]
        lines = ["name,labels,group", *(",".join((row[0], row[2], row[3])) for row in rows[1:])]
        (folder / f"{name}_maps.csv").write_text("\n".join(lines) + "\n")
        values[name] = values[name] and str(folder / f"{name}_maps.csv")
    return values


def settings(folder: Path, **changes: Any) -> TrainingSettings:
    return TrainingSettings.from_dict(maps_only(folder, **changes))


def shapes(folder: Path, **changes: Any) -> TrainingSettings:
    values = {
        "model": MODEL,
        "out": str(folder / "shapes"),
        "synthesis": SMALL | {"source": "shapes", "shapes": 4, "shape_scale": 4},
        "pairs": "warped",
        "shape": [16, 16, 16],
        "spacing_mm": [2, 2, 2],
        "epochs": 1,
        "steps_per_epoch": 2,
        "validation_pairs": 2,
        "learning_rate": 3e-3,
        "threads": 1,
        "device": "cpu",
    }
    return TrainingSettings.from_dict(values | changes)


def equal(a: Batch, b: Batch) -> bool:
    return all(same(value, getattr(b, name)) for name, value in vars(a).items())


def test_each_place_has_its_own_images_and_the_same_ones_each_time(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    first, again = (source_of(chosen, load_data(chosen)) for _ in range(2))
    batch = first.batch(0, [3], CPU)
    assert equal(batch, again.batch(0, [3], CPU))
    assert not equal(batch, first.batch(0, [4], CPU))
    assert not torch.equal(batch.fixed, first.batch(1, [3], CPU).fixed)


def test_a_batch_holds_what_its_pairs_hold_alone_so_that_processes_can_share_it(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    source = source_of(chosen, load_data(chosen))
    together = source.batch(0, [0, 1], CPU)
    alone = [source.batch(0, [place], CPU) for place in (0, 1)]
    for name in ("moving", "fixed", "moving_labels", "fixed_labels", "moving_compared", "fixed_compared"):
        assert torch.equal(getattr(together, name), torch.cat([getattr(one, name) for one in alone])), name
    assert together.names == alone[0].names + alone[1].names
    assert together.names[0].endswith("(synthesized)")


def test_warped_pairs_are_two_deformations_of_one_map(tmp_path: Path) -> None:
    chosen = settings(tmp_path, pairs="warped")
    names = source_of(chosen, load_data(chosen)).batch(0, range(4), CPU).names
    assert sorted(names) == [f"person{n} to person{n} (synthesized)" for n in range(4)]


def test_the_similarity_sees_twins_or_what_the_network_sees(tmp_path: Path) -> None:
    chosen = settings(tmp_path, synthesis=SMALL | {"compared": "seen"})
    batch = source_of(chosen, load_data(chosen)).batch(0, [0], CPU)
    assert batch.moving_compared is None
    assert batch.fixed_compared is None


STOCHASTIC = {
    "flips": ["left-right"],
    "ema_decay": 0.5,
    "accumulate": 2,
    "dice_weight": 0.5,
    "dice_labels": 1,
    "symmetric": True,
    "steps_per_epoch": 3,
}


def test_a_synthesizing_training_that_was_interrupted_equals_one_that_was_not(tmp_path: Path) -> None:
    whole = train(settings(tmp_path, out=str(tmp_path / "whole"), name="resumed", **STOCHASTIC))
    split = settings(tmp_path, out=str(tmp_path / "split"), name="resumed", **STOCHASTIC)
    with pytest.raises(KeyboardInterrupt):
        train(split, monitor=InterruptAt(4))
    torch.manual_seed(123)  # whatever else the program did in between
    resumed = train(split)
    assert same(states(tmp_path / "whole"), states(tmp_path / "split"))
    assert without_time(whole.history) == without_time(resumed.history)


def test_a_network_can_overfit_a_synthesized_pair(tmp_path: Path) -> None:
    chosen = settings(tmp_path, dice_weight=1.0)
    batch = source_of(chosen, load_data(chosen)).batch(0, [0], CPU)
    model = build_model(MODEL)
    energy_of = EnergyOf(model, model, chosen)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        energy = energy_of(batch, None, (1, 2))
        optimizer.zero_grad()
        energy.total.backward()
        optimizer.step()
        losses.append((float(energy.energy.similarity.detach()), float(energy.dice.detach())))
    (similarity_before, dice_before), (similarity_after, dice_after) = losses[0], losses[-1]
    assert similarity_after < similarity_before - 0.05
    assert dice_after < 0.7 * dice_before


def test_validation_pairs_are_synthesized_once_from_the_maps_of_their_list(tmp_path: Path) -> None:
    chosen = settings(tmp_path, validation_pairs=3)
    first, again = (source_of(chosen, load_data(chosen)).validation() for _ in range(2))
    assert [(moving.entry.name, fixed.entry.name) for moving, fixed in first] == [
        (moving.entry.name, fixed.entry.name) for moving, fixed in again
    ]
    for pair, other in zip(first, again, strict=True):
        for image, same_image in zip(pair, other, strict=True):
            assert (image.image == same_image.image).all()
            assert (image.labels == same_image.labels).all()
            assert image.entry.name.startswith(("person10", "person11"))
            assert image.image.shape == image.labels.shape == (1, 16, 16, 16)
            assert image.label_values == (1, 2)


def test_a_validation_list_with_images_is_validated_as_it_is(tmp_path: Path) -> None:
    values = maps_only(tmp_path) | {"validation": str(tmp_path / "validation.csv")}
    chosen = TrainingSettings.from_dict(values)
    data = load_data(chosen)
    for moving, fixed in source_of(chosen, data).validation():
        assert moving in data.validation
        assert fixed in data.validation
    warped = TrainingSettings.from_dict(values | {"pairs": "warped"})
    assert all(moving is not fixed for moving, fixed in source_of(warped, load_data(warped)).validation())


def test_an_atlas_is_the_moving_map_of_all_pairs(tmp_path: Path) -> None:
    chosen = settings(tmp_path, pairs="atlas-to-subject", atlas="person1")
    source = source_of(chosen, load_data(chosen))
    assert all(name.startswith("person1 to ") for name in source.batch(0, range(3), CPU).names)
    assert all(moving.entry.name.startswith("person1 ") for moving, _ in source.validation())


def test_random_shapes_need_no_list(tmp_path: Path) -> None:
    outcome = train(shapes(tmp_path, dice_weight=1.0, dice_labels=2))
    assert outcome.best_score is not None
    card = json.loads(outcome.checkpoint.with_suffix(".json").read_text())
    assert card["shape"] == [16, 16, 16]
    assert card["intensity"] == "percentile"
    assert card["source"] == "own training, warped pairs synthesized from random shapes, seed 0"


def test_a_list_of_maps_without_synthesis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="person0: has labels but no image, which only a synthesis from labels can use"):
        load_data(settings(tmp_path, synthesis=None))


def test_maps_that_miss_labels_or_hold_unlisted_ones_are_all_named(tmp_path: Path) -> None:
    chosen = settings(tmp_path, synthesis=SMALL | {"anatomy": {"tissues": [[1]]}})
    with pytest.raises(ValueError, match=r"6 problems .*person0: has the labels 2, which the anatomy does not list"):
        load_data(chosen)
    text = (tmp_path / "train.csv").read_text()
    (tmp_path / "train.csv").write_text(text.replace("person1_labels.nii.gz", ""))
    without = TrainingSettings.from_dict(settings_dict(tmp_path) | {"synthesis": SMALL})
    with pytest.raises(ValueError, match="person1: has no labels, from which images are synthesized"):
        load_data(without)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"synthesis": {"noize": 1}}, "Unknown entry of synthesis 'noize'; did you mean noise?"),
        ({"synthesis": {"source": "label"}}, "synthesis.source must be one of labels, shapes, got 'label'"),
        ({"synthesis": {"noise": 2}}, "synthesis.noise must be a number from 0 to 1"),
        ({"synthesis": 3}, "synthesis must be an object with source, anatomy"),
        ({"synthesis": {"anatomy": 3}}, "the anatomy must be an object with tissues, stays, counted, got 3"),
        ({"deform_voxels": 1.0}, "set synthesis.warp_voxels"),
        ({"intensity": "ct"}, "leave intensity out"),
        ({"train": None}, "synthesis from labels needs a list of label maps"),
        ({"synthesis": None, "pairs": "warped"}, "got no synthesis"),
        ({"synthesis": {"source": "shapes"}}, "leave it out"),
        ({"synthesis": {"source": "shapes"}, "train": None}, "set pairs: warped"),
        ({"synthesis": {"source": "shapes"}, "train": None, "pairs": "warped"}, "Random shapes need shape, spacing_mm, steps"),
        ({"synthesis": {"source": "shapes", "anatomy": {"tissues": [[1]]}}}, "synthesis.anatomy describes label maps"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_in_a_sentence(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        settings(tmp_path, **changes)


def test_settings_with_a_synthesis_survive_a_round_trip_and_read_their_anatomy_beside_the_configuration(tmp_path: Path) -> None:
    anatomy = {"tissues": [[[1, 2]], [0]], "stays": [1], "counted": [2]}
    (tmp_path / "anatomy.json").write_text(json.dumps(anatomy))
    plain = {"model": MODEL, "train": "a.csv", "out": "run", "synthesis": {"anatomy": "anatomy.json", "noise": 0.2}}
    (tmp_path / "c.json").write_text(json.dumps(plain))
    chosen = TrainingSettings.from_file(tmp_path / "c.json", {"synthesis.blur_voxels": 2})
    assert chosen.synthesis.anatomy.counted == (2,)
    assert (chosen.synthesis.noise, chosen.synthesis.blur_voxels) == (0.2, 2.0)
    assert TrainingSettings.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen


def test_another_synthesis_is_another_training(tmp_path: Path) -> None:
    train(shapes(tmp_path))
    with pytest.raises(ValueError, match="another synthesis; give another out folder"):
        train(shapes(tmp_path, synthesis=SMALL | {"source": "shapes", "shapes": 5}))
