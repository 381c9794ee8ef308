"""A finished training of seconds, and a card that a shipped model may have: what the tests of shipping start from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from SpatialRegularizationLib.models.base import RegistrationModel
from SpatialRegularizationLib.models.catalogue import build_model
from SpatialRegularizationLib.zoo.card import ModelCard
from SpatialRegularizationLib.zoo.record import DataSource, StudyRecord, TrainingRecord

SHAPE = (32, 48, 32)
MODEL = {"system": "voxelmorph", "size": "tiny"}


def tiny_model(**changes: Any) -> RegistrationModel:
    """A small network with random parameters that moves points by one or two voxels."""
    torch.manual_seed(0)
    model = build_model({**MODEL, **changes}).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("out.weight"):
                value.mul_(1e5)
    return model


def complete_card(name: str = "tiny", **changes: Any) -> ModelCard:
    """A card that lacks nothing."""
    curves = {"epoch": (1.0, 2.0), "train_total": (0.9, 0.7), "dice": (0.5, None)}
    card = ModelCard(
        name,
        SHAPE,
        (2.0, 2.0, 2.5),
        "LIA",
        purpose="a test",
        intended_use="tests only",
        license="Apache-2.0",
        citation="nobody",
        source="own training",
        limits=("It has learnt nothing.",),
        figures={"dice": 0.5},
        data=(DataSource("noise", "none needed", "everything"),),
        training=TrainingRecord("spatialreg train tiny.yaml", {"epochs": 2}, 3.5, 20, "2 CPU cores", curves),
        studies=(StudyRecord("two pairs", 2, {name: {"dice": {"mean": 0.5, "sd": 0.1}}}),),
    )
    return replace(card, **changes)


def study_json(sha256: str, method: str = "tiny") -> dict[str, Any]:
    """What a finished study leaves, for one method and a comparison."""
    dice, seconds = ({"mean": value, "sd": 0.1, "median": value, "count": 2} for value in (0.75, 0.2))
    methods = {
        method: {"kind": "model", "sha256": sha256, "pairs": 2, "failed": 0, "figures": {"dice": dice, "seconds": seconds}},
        "syn": {"kind": "baseline", "pairs": 2, "failed": 0, "figures": {"dice": {**dice, "mean": 0.7}}},
    }
    return {"format": 1, "title": "two pairs", "pairs": 2, "methods": methods, "comparisons": []}


def trained_run(folder: Path) -> Path:
    """The folder of a real training of two epochs on blobs."""
    from blobs import settings_dict

    from SpatialRegularizationLib.training.loop import train
    from SpatialRegularizationLib.training.settings import TrainingSettings

    train(TrainingSettings.from_dict(settings_dict(folder)))
    return folder / "run"
