"""Write what a training leaves: the best model with its card, and the figures of all epochs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..models.base import RegistrationModel
from ..zoo.card import ModelCard, save_model
from .preparation import Preparation
from .settings import TrainingSettings
from .validation import FIGURES

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
    folder: Path, model: RegistrationModel, preparation: Preparation, settings: TrainingSettings, figures: Mapping[str, float]
) -> None:
    """best.safetensors and best.json: the model as it is now, and its card.

    Args:
        folder: of the run.
        model: to be kept.
        preparation: what its images have in common.
        settings: of the training.
        figures: of this epoch.

    Raises:
        OSError: it cannot be written; the previous files are untouched.
    """
    trained = preparation.training_grid
    kept = {name: figures[name] for name in ("epoch", *FIGURES) if name in figures}
    card = ModelCard(
        name=settings.name or default_name(folder),
        shape=trained.shape,
        spacing_mm=trained.spacing_mm,
        orientation=trained.orientation,
        intensity=preparation.intensity,
        purpose=settings.purpose,
        source=f"own training, {settings.pairs} pairs{_synthesized(settings)}, seed {settings.seed}",
        figures=kept,
    )
    save_model(model, card, folder / BEST)


def _synthesized(settings: TrainingSettings) -> str:
    if settings.synthesis is None:
        return ""
    return f" synthesized from {'label maps' if settings.synthesis.source == 'labels' else 'random shapes'}"


def default_name(folder: Path) -> str:
    """The name of the run's folder, as a name in the zoo may be written."""
    return re.sub(r"[^A-Za-z0-9]+", "-", folder.resolve().name).strip("-").lower() or "trained"
