"""Record a training for the card of a shipped model: settings, curves, steps, time."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch

from ..models.catalogue import build_model, describe
from ..zoo.card import ModelCard
from ..zoo.record import TrainingRecord
from .checkpoints import HISTORY, LAST
from .settings import FILES

LONGEST_CURVE = 400
"""Epochs of a curve in a card; of a longer training every n-th is kept, and the last."""


def run_record(folder: Path, card: ModelCard, *, command: str, machine: str = "") -> TrainingRecord:
    """The record of a finished training.

    Args:
        folder: of the run: history.csv, and last.pt for settings and steps.
        card: of its best model.
        command: one line that trains it again.
        machine: on what it was trained.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or the settings describe another network than the card.
    """
    rows = _history(folder / HISTORY)
    settings, steps = _last(folder / LAST)
    if describe(build_model({"image_shape": list(card.shape), **settings["model"]})) != dict(card.description):
        raise ValueError(
            f"The settings in {folder / LAST} describe another network than the card of its best model: choose the folder in "
            "which it was trained."
        )
    stride = -(-len(rows) // LONGEST_CURVE)
    kept = [row for n, row in enumerate(rows) if n % stride == 0 or n == len(rows) - 1]
    curves = {name: tuple(_number(row[name]) for row in kept) for name in rows[0]}
    seconds = [value for row in rows if (value := _number(row.get("seconds"))) is not None]
    return TrainingRecord(command, without_folders(settings), max(seconds, default=0.0), steps, machine, curves)


def without_folders(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with file names in place of paths: where somebody's files lie is nobody else's business."""
    return {name: _without_folder(value, name) for name, value in settings.items()}


def _without_folder(value: Any, place: str) -> Any:
    """The same for one value; its place has a dot for each mapping that it is in, as in `FILES`."""
    if isinstance(value, Mapping):
        return {name: _without_folder(item, f"{place}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folder(item, place) for item in value]
    if isinstance(value, str) and (place in FILES or any(kind(value).is_absolute() for kind in (PurePosixPath, PureWindowsPath))):
        return PureWindowsPath(value).name  # it understands both kinds of slash
    return value


def _history(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give the folder of a training that has finished an epoch.")
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or "epoch" not in rows[0]:
        found = ", ".join(rows[0]) if rows else "no line"
        raise ValueError(f"{path} is no history of a training: expected a column epoch, got {found}; choose another folder.")
    return rows


def _number(text: str | None) -> float | None:
    """A number of history.csv; None where the epoch has none."""
    value = float(text) if text else None
    return value if value is not None and abs(value) < float("inf") else None


def _last(path: Path) -> tuple[dict[str, Any], int | None]:
    """Settings of the run, and the steps that its optimizer has taken."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: keep it beside the best model, it holds the settings of the training.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        settings, states = content["settings"], content["states"]["optimizer"]["state"]
        steps = [int(state["step"]) for state in states.values() if "step" in state]
    except (RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is not a state of a training, or is damaged: copy it again.") from error
    return dict(settings), max(steps, default=None)
