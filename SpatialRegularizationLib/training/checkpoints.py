"""Keep the state of a training on disk (last.pt, history.csv), and load the model that it may start from.

Files are written beside their place and renamed: a crash at any moment leaves the previous one whole.
"""

from __future__ import annotations

import csv
import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..io.atomic import atomic_path, write_text
from ..models.base import RegistrationModel
from ..models.hyper_model import HyperModel
from ..zoo.card import load_model
from .settings import TrainingSettings

FORMAT = 1
LAST = "last.pt"
HISTORY = "history.csv"
WEIGHT_HEAD = "head."
"""How the names of the parameters begin that estimate λ."""
FIXED = ("model", "pairs", "synthesis", "atlas", "orientation", "spacing_mm", "shape", "intensity", "optimizer", "amsgrad")
"""Settings that a continued training must share with the interrupted one."""


@dataclass
class Position:
    """Where a training stands; everything of it that is not a tensor.

    Args:
        epoch, step: the next step to do; step = steps of an epoch means that only its validation is left.
        sums: of the energy terms over the steps of this epoch.
        history: figures of each finished epoch.
        best_score, best_epoch: of the best validation so far.
        seconds: spent so far, over all interruptions.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best_score: float | None = None
    best_epoch: int | None = None
    seconds: float = 0.0


def save_last(folder: Path, parts: dict[str, Any], position: Position, settings: TrainingSettings) -> None:
    """Write last.pt.

    Args:
        folder: of the run.
        parts: {name: module, optimizer, scaler}; their state dicts are saved.
        position: where the training stands. Random numbers follow from it and the seed (`draws`).
        settings: of the run.

    Raises:
        OSError: it cannot be written; the previous file is untouched.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    content = {"format": FORMAT, "states": states, "position": vars(position), "settings": settings.to_dict()}
    with atomic_path(folder / LAST, ".pt") as temporary:
        torch.save(content, temporary)


def load_last(folder: Path, parts: dict[str, Any], settings: TrainingSettings) -> Position | None:
    """Bring the parts into the state of last.pt; None where there is none.

    Raises:
        ValueError: not such a file, or a training of other settings.
    """
    path = folder / LAST
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != FORMAT:
            raise KeyError(f"format {content['format']}")
        states, earlier = content["states"], content["settings"]
        position = Position(**content["position"])
    except (RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is not a state of a training, or is damaged; delete it to start anew.") from error
    changed = [name for name in FIXED if earlier.get(name) != settings.to_dict()[name]]
    if changed or states.keys() != parts.keys():
        what = ", ".join(changed) or "precision or ema_decay"
        raise ValueError(
            f"{path} is the state of a training with another {what}; give another out folder, delete it, or set the old values."
        )
    for name, part in parts.items():
        part.load_state_dict(states[name])
    return position


def start_from(model: RegistrationModel, name: str) -> None:
    """Gives a model the parameters of a trained one, whose objective, prior or integration may differ, but not its layers.

    What only the new model has begins fresh. So a Hyper system may start from its plain one: generated changes begin at 0, and
    it answers at every condition as that one did. A uniform system, which has no head of λ, leaves that of a TM-SPR out.

    Args:
        model: freshly built, on any device.
        name: of a model in the zoo, or the path of a .safetensors file.

    Raises:
        FileNotFoundError, ValueError: no such model, a damaged file, or one with other layers.
    """
    found, _ = load_model(name)
    taker = model.inner if isinstance(model, HyperModel) and not isinstance(found, HyperModel) else model
    ours, theirs = taker.state_dict(), found.state_dict()
    if not any(key.startswith(WEIGHT_HEAD) for key in ours):
        theirs = {key: value for key, value in theirs.items() if not key.startswith(WEIGHT_HEAD)}
    wrong = sorted(key for key, value in theirs.items() if key not in ours or ours[key].shape != value.shape)
    if wrong:
        raise ValueError(
            f"The training cannot start from {name}: {len(wrong)} of its parameters have no place in the model to be trained, "
            f"the first is {wrong[0]}; give `model` the backbone and head of that model, or leave start out."
        )
    taker.load_state_dict(ours | theirs)


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """history.csv: one line for each epoch."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.8g}" for name, value in row.items()} for row in history)
    write_text(folder / HISTORY, stream.getvalue())
