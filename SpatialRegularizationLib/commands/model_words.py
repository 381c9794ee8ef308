"""Describe a model's card in words, for `spatialreg models`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..models.base import Hyperparameter, RegistrationModel
from ..zoo.card import ModelCard
from ..zoo.record import StudyRecord, TrainingRecord

STUDY_FIGURES = {
    "dice": ("Dice", ".3f"),
    "hd95_mm": ("HD95 (mm)", ".2f"),
    "tre_mm": ("TRE (mm)", ".2f"),
    "mind": ("MIND", ".3f"),
    "folding_percent": ("folds (%)", ".3g"),
    "ndv_percent": ("NDV (%)", ".3g"),
    "sd_log_j": ("SDlogJ", ".3f"),
    "seconds": ("time (s)", ".3g"),
    "peak_memory_mb": ("memory (MB)", ".0f"),
}
"""Figures of studies that a card shows: title and format; others are in its JSON file."""


def card_lines(card: ModelCard, model: RegistrationModel, *, shipped: bool) -> list[str]:
    """The card as it is shown in a terminal."""
    lines = table(card_rows(card, model, shipped=shipped))
    for study in card.studies:
        lines += ["", study_title(study), *table(study_rows(study))]
    return [*lines, *([""] if card.limits else []), *card.limits, "", card.notice]


def card_rows(card: ModelCard, model: RegistrationModel, *, shipped: bool) -> list[tuple[str, str]]:
    """Titles and texts of what is known, in order; what nobody said is left out."""
    figures = {name: f"{value:.4g}" for name, value in card.figures.items() if value is not None}
    rows = [
        ("Name", card.name + (" (shipped)" if shipped else "")),
        ("Purpose", card.purpose),
        ("Intended use", card.intended_use),
        ("System", card.system + (f" (dialect {card.dialect})" if card.dialect else "")),
        ("Parameters", f"{sum(p.numel() for p in model.parameters()):,}"),
        ("Images", lattice_words(card)),
        ("Intensity", card.intensity),
        ("Trained with", _pairs(card.regularization)),
        ("Condition", "; ".join(map(_condition, model.hyperparameters))),
        *(("Data", data_words(source)) for source in card.data),
        *training_rows(card.training),
        ("Figures", _pairs(figures)),
        ("License", card.license),
        ("Source", card.source),
        ("Citation", card.citation),
        ("sha256", card.sha256),
    ]
    return [(title, text) for title, text in rows if text]


def training_rows(training: TrainingRecord | None) -> list[tuple[str, str]]:
    """How long, on what, how the curves began and ended, and the command."""
    if training is None:
        return []
    epochs = max((len(values) for values in training.curves.values()), default=0)
    words = [f"{epochs} epochs" if epochs else "", "" if training.steps is None else f"{training.steps:,} steps"]
    words.append(duration_words(training.seconds))
    words[-1] += f" on {training.machine}" if training.machine else ""
    words += [curve_words(name, training.curves[name]) for name in ("train_total", "dice", "tre_mm") if name in training.curves]
    return [("Training", ", ".join(word for word in words if word)), ("Command", training.command)]


def curve_words(name: str, values: Sequence[float | None]) -> str:
    """First and last value of a curve; "" for an empty one."""
    known = [value for value in values if value is not None]
    return f"{name} {known[0]:.4g} to {known[-1]:.4g}" if known else ""


def data_words(source: Any) -> str:
    """A data set in one line."""
    more = "".join(f", {text}" for text in (source.source, source.citation) if text)
    return f"{source.name} ({source.license}): {source.used_for}{more}"


def study_title(study: StudyRecord) -> str:
    """Head of a study's table."""
    return f"{study.name}: {study.pairs} pairs, means"


def study_rows(study: StudyRecord) -> list[tuple[str, ...]]:
    """Head and one line for each method, with the figures that any of them has."""
    shown = [name for name in STUDY_FIGURES if any(name in figures for figures in study.methods.values())]
    head = ("method", *(STUDY_FIGURES[name][0] for name in shown))
    return [head, *((method, *(_mean(figures, name) for name in shown)) for method, figures in study.methods.items())]


def lattice_words(card: ModelCard) -> str:
    """The lattice of the training images."""
    sizes = " x ".join(map(str, card.shape))
    return f"{sizes} voxels of {' x '.join(f'{s:.3g}' for s in card.spacing_mm)} mm, axes {card.orientation or 'as stored'}"


def duration_words(seconds: float) -> str:
    """A time of seconds to days."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def size_words(size_bytes: int) -> str:
    """A size in MB."""
    return f"{size_bytes / 1e6:.1f} MB"


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their longest entry."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _mean(figures: Mapping[str, Mapping[str, float | None]], name: str) -> str:
    mean = figures[name]["mean"] if name in figures else None
    return "–" if mean is None else format(mean, STUDY_FIGURES[name][1])


def _condition(h: Hyperparameter) -> str:
    return f"{h.name} {h.low:g} to {h.high:g}, {h.default:g}"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
