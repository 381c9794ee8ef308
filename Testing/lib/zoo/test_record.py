"""What a card tells of data, training and studies: it comes back whole, old cards stay readable, wrong entries are refused."""

from __future__ import annotations

import json
import math

import pytest
from shippable import complete_card, study_json

from SpatialRegularizationLib.zoo.card import ModelCard
from SpatialRegularizationLib.zoo.record import NOT_A_MEDICAL_DEVICE, StudyRecord, TrainingRecord, study_record


def test_a_complete_card_comes_back_from_its_json() -> None:
    card = complete_card(description={"system": "voxelmorph"})
    again = ModelCard.from_dict(json.loads(json.dumps(card.to_dict())))
    assert again == card
    assert again.training.curves["dice"] == (0.5, None)


def test_a_card_of_before_is_readable_and_carries_the_notice() -> None:
    old = {"name": "old", "shape": [8, 8, 8], "spacing_mm": [1, 1, 1], "description": {"system": "tm-spr"}}
    card = ModelCard.from_dict(old)
    assert (card.data, card.training, card.studies, card.intended_use) == ((), None, (), "")
    assert card.notice == NOT_A_MEDICAL_DEVICE


@pytest.mark.parametrize(
    ("entry", "value", "sentence"),
    [
        ("data", [{"name": "x", "license": "MIT"}], "The entry 'used_for' of its data 1 is missing"),
        ("data", {"name": "x"}, "a card's data must be a list"),
        ("data", [{"name": "x", "licence": "MIT", "used_for": ""}], "of its data 1 'licence'; did you mean license"),
        ("studies", ["good"], "its study 1 must be an object with name, pairs, methods"),
        ("studies", [{"name": "s", "pairs": 0, "methods": {}}], "study s: pairs must be a whole number from 1"),
        ("studies", [{"name": "s", "pairs": 1, "methods": {"m": {"dice": 0.5}}}], "each figure of m, got dice: 0.5"),
        ("training", {"command": "c", "settings": {}}, "The entry 'seconds' of its training is missing"),
        ("training", {"command": "c", "settings": {}, "seconds": -1}, "the training's seconds must be a number from 0 to"),
        ("training", {"command": "c", "settings": {}, "seconds": 1, "curves": {"a": [1, "b"]}}, "curve a of a training"),
        ("training", {"command": "c", "settings": {}, "seconds": 1, "curves": {"a": [1], "b": []}}, "equally long"),
        ("training", {"command": 3, "settings": {}, "seconds": 1}, "the training's command must be a text"),
        ("limits", "none", "a card's limits must be a list"),
    ],
)
def test_a_wrong_entry_is_named(entry: str, value: object, sentence: str) -> None:
    values = complete_card(description={"system": "voxelmorph"}).to_dict() | {entry: value}
    with pytest.raises(ValueError, match=sentence):
        ModelCard.from_dict(values)


def test_a_curve_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        TrainingRecord("c", {}, 1.0, curves={"dice": (math.nan,)})


def test_a_study_gives_the_means_of_every_method() -> None:
    record = study_record(study_json("abc"), "abc")
    assert record == StudyRecord(
        "two pairs",
        2,
        {
            "tiny": {"dice": {"mean": 0.75, "sd": 0.1}, "seconds": {"mean": 0.2, "sd": 0.1}},
            "syn": {"dice": {"mean": 0.7, "sd": 0.1}},
        },
    )


def test_a_study_of_another_model_or_another_file_is_refused() -> None:
    with pytest.raises(ValueError, match="the study two pairs has not tried this model"):
        study_record(study_json("abc"), "def")
    for content in ({}, [], {"title": "x", "pairs": 2, "methods": {"m": {}}}, None):
        with pytest.raises(ValueError, match="no result of a study"):
            study_record(content)
