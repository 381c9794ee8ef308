"""Write the card of a model as one HTML file: what it is for, on what it was trained and how, how good it was."""

from __future__ import annotations

from ..models.base import RegistrationModel
from ..report.page import page
from ..tuning.drawings import Axis, Chart, Line, span_around
from ..tuning.ranges import Range
from ..zoo.card import ModelCard
from ..zoo.record import TrainingRecord
from .model_words import card_rows, duration_words, lattice_words, study_rows, study_title

CURVES = {
    "train_total": "Training energy",
    "train_similarity": "Training similarity term",
    "dice": "Validation Dice",
    "tre_mm": "Validation landmark error (mm)",
    "energy": "Validation energy",
    "sd_log_j": "Validation SDlogJ",
}
"""Columns of a training's history that are drawn."""


def model_page(card: ModelCard, model: RegistrationModel, *, shipped: bool) -> str:
    """The page."""
    count = sum(p.numel() for p in model.parameters())
    spacing = " × ".join(f"{s:.3g}" for s in card.spacing_mm)
    cards = [
        ("System", card.system, "kind of network and prior"),
        ("Parameters", f"{count:,}", "numbers of the network"),
        ("Images", " × ".join(map(str, card.shape)), f"voxels of {spacing} mm"),
    ]
    if card.figures.get("dice") is not None:
        cards.append(("Validation Dice", f"{card.figures['dice']:.3f}", "mean over labels and pairs"))
    training = card.training
    return page(
        "model",
        title=card.name,
        subtitle=card.purpose or lattice_words(card),
        shipped=shipped,
        verdict=("caution", card.notice),
        cards=cards,
        rows=card_rows(card, model, shipped=shipped),
        card=card,
        duration="" if training is None else duration_words(training.seconds),
        charts=[] if training is None else _charts(training),
        studies=[(study_title(study), rows[0], rows[1:]) for study in card.studies if (rows := study_rows(study))],
        command="" if training is None else training.command,
        settings={} if training is None else training.settings,
    )


def _charts(training: TrainingRecord) -> list[Chart]:
    """Lines over the epochs; none for a curve of fewer than two points."""
    charts, epochs = [], training.curves.get("epoch", ())
    for name, title in CURVES.items():
        pairs = zip(epochs, training.curves.get(name, ()), strict=False)
        points = [(epoch, value) for epoch, value in pairs if epoch is not None and value is not None]
        if len(points) > 1:
            values = [value for _, value in points]
            across, up = Axis("epoch", Range(points[0][0], points[-1][0])), Axis(title, span_around(min(values), max(values)))
            charts.append(Chart(across, up, title, [Line(points)], size=(460, 260)))
    return charts
