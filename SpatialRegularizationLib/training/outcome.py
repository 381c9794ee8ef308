"""What a training leaves: the best model with its card, and the figures of all epochs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..io.atomic import atomic_path
from ..io.results import write_text
from ..models.base import RegistrationModel
from ..models.catalogue import describe
from .preparation import Preparation
from .settings import TrainingSettings

BEST = "best.safetensors"


@dataclass(frozen=True)
class TrainingOutcome:
    """Result of a training.

    Args:
        best_score: of the validation, larger is better; None without validation.
        checkpoint: the best model, `BEST` beside its card; a name for `register(..., model=…)`.
        epochs: how many were done, earlier runs included.
        history: figures of each epoch: epoch, learning_rate, train_total, …, the figures of `validation.FIGURES`, score, seconds.
    """

    best_score: float | None
    checkpoint: Path
    epochs: int
    history: tuple[dict[str, float], ...]


def write_best(
    folder: Path, model: RegistrationModel, preparation: Preparation, settings: TrainingSettings, figures: dict[str, float]
) -> None:
    """best.safetensors and best.json: the model as it is now.

    Args:
        folder: of the run.
        model: to be kept.
        preparation: what its images have in common.
        settings: of the training.
        figures: of this epoch.

    Raises:
        OSError: it cannot be written; the previous files are untouched.
    """
    from safetensors.torch import save_file

    lattice = preparation.lattice
    card = {
        "name": folder.name,
        "description": describe(model),
        "shape": list(lattice.shape),
        "spacing_mm": list(lattice.spacing_mm),
        "orientation": lattice.orientation,
        "intensity": preparation.intensity,
        "figures": figures,
    }
    with atomic_path(folder / BEST, ".safetensors") as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}, temporary)
    write_text(folder / "best.json", json.dumps(card, indent=2))
