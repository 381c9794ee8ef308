"""A model's card as one HTML file: what it is for, on what it was trained and how, how good it was."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..models.base import RegistrationModel
from ..report.page import Card, Page, Section, pairs
from ..tuning.drawings import Axis, Chart
from ..tuning.ranges import Range
from ..zoo.card import ModelCard
from ..zoo.record import StudyRecord, TrainingRecord
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
    cards = [
        Card("System", card.system, "kind of network and prior"),
        Card("Parameters", f"{count:,}", "numbers of the network"),
        Card("Images", " × ".join(map(str, card.shape)), f"voxels of {' × '.join(f'{s:.3g}' for s in card.spacing_mm)} mm"),
    ]
    best = card.figures.get("dice")
    if best is not None:
        cards.append(Card("Validation Dice", f"{best:.3f}", "mean over labels and pairs"))
    sections = [Section("What it is", "", _rows(card_rows(card, model, shipped=shipped))), _limits(card)]
    if card.training is not None:
        sections.append(_training(card.training))
    if card.studies:
        lead = "Means over the pairs of each study, all methods on the same pairs."
        sections.append(Section("How good", lead, "".join(map(_study, card.studies))))
    page = Page(
        kind="Model card" + (", shipped with the package" if shipped else ""),
        title=card.name,
        subtitle=card.purpose or lattice_words(card),
        verdict=("caution", card.notice),
        cards=cards,
        sections=sections,
        command=card.training.command if card.training is not None else "",
        settings={} if card.training is None else card.training.settings,
    )
    return page.html()


def _limits(card: ModelCard) -> Section:
    content = _list(card.limits) if card.limits else "<p>Nobody wrote them down.</p>"
    return Section("Limits", card.intended_use, content)


def _training(training: TrainingRecord) -> Section:
    epochs = training.curves.get("epoch", ())
    drawn = [_curve(title, epochs, training.curves[name]) for name, title in CURVES.items() if name in training.curves]
    where = f" on {training.machine}" if training.machine else ""
    content = f'<div class="maps">{"".join(drawn)}</div>'
    return Section("Training", f"It took {duration_words(training.seconds)}{where}. Curves over the epochs.", content)


def _curve(title: str, epochs: Sequence[float | None], values: Sequence[float | None]) -> str:
    """A line over the epochs; nothing for a curve of fewer than two points."""
    points = [(epoch, value) for epoch, value in zip(epochs, values, strict=False) if epoch is not None and value is not None]
    if len(points) < 2:
        return ""
    low, high = min(y for _, y in points), max(y for _, y in points)
    room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.01
    chart = Chart(Axis("epoch", Range(points[0][0], points[-1][0])), Axis(title, Range(low - room, high + room)), (460, 260))
    return f"<figure>{chart.drawn(chart.line(points, 'so-far'), title)}</figure>"


def _study(study: StudyRecord) -> str:
    head, *lines = study_rows(study)
    cells = "".join(f"<th>{escape(text)}</th>" for text in head)
    rows = "".join(
        f'<tr><th scope="row">{escape(line[0])}</th>{"".join(f"<td>{escape(t)}</td>" for t in line[1:])}</tr>' for line in lines
    )
    table = f'<table class="numbers"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>'
    return f"<h3>{escape(study_title(study))}</h3>{table}"


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    body = "".join(pairs({title: text}) for title, text in rows)
    return f'<table class="pairs"><tbody>{body}</tbody></table>'


def _list(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"
