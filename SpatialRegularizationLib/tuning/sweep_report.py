"""Write sweep.html: figures of a model over its condition, where the best one lies, and whether the range was wide enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..report.page import Section, page
from .drawings import Axis, Chart, Heat, Line, Mark, shown, span_around, word
from .ranges import Range
from .sweep import SweepRecord

MAP_SIZE = (460, 400)
TITLES = {
    "dice": ("Dice", "overlap of the labels, 1 is best"),
    "tre_mm": ("Landmark error (mm)", "mean distance, 0 is best"),
    "ndv_percent": ("Non-diffeomorphic volume (%)", "0 is best"),
    "folding_percent": ("Folding voxels (%)", "0 is best"),
    "sd_log_j": ("SDlogJ", "spread of the local volume change, smaller is smoother"),
    "similarity": ("Similarity term", "smaller is more alike"),
}


def sweep_report_html(record: SweepRecord, *, model: str, command: str = "", settings: Mapping[str, Any] | None = None) -> str:
    """The report as one HTML page.

    Args:
        record: the figures so far.
        model: its name.
        command: the exact command.
        settings: further settings to show.
    """
    values, score = record.best()
    name, _ = TITLES[record.score_name]
    points = record.settings.points ** len(record.settings.ranges)
    return page(
        "sweep",
        title=f"Sweep of {model}",
        subtitle=f"{points} conditions on {len(record.pairs)} of {record.wanted} validation pairs.",
        verdict=_verdict(record, values, score),
        cards=[(f"Best {name}", f"{score:.4f}", f"mean of {len(record.pairs)} pairs"), *_cards(record, values)],
        sections=[_section(record, figure) for figure in TITLES if figure in record.figures],
        command=command,
        settings={**{f"range of {word(n)} ({n})": span for n, span in record.settings.ranges.items()}, **(settings or {})},
    )


def sweep_section(record: SweepRecord, model: str, figure: str | None = None) -> Section:
    """One figure over the condition with its best place, for other pages.

    Args:
        record: the figures.
        model: its name.
        figure: which one; the score where none is named.
    """
    values, score = record.best()
    drawn = _section(record, figure or record.score_name)
    best = f"Best {TITLES[record.score_name][0]} {score:.4f} at {shown(values)}, mean of {len(record.pairs)} pairs. "
    return Section(f"{drawn.title} of {model} over its condition", best + drawn.lead, drawn.charts, drawn.key)


def _verdict(record: SweepRecord, values: Mapping[str, float], score: float) -> tuple[str, str]:
    sentence = f"Best {TITLES[record.score_name][0]} {score:.4f} at {shown(values)}."
    ends = [n for n, span in record.settings.ranges.items() if values[n] in (span.value(0.0), span.value(1.0))]
    if len(record.pairs) < record.wanted:
        return "caution", f"{sentence} {record.wanted - len(record.pairs)} pairs are still to come."
    if ends:
        return "caution", f"{sentence} {', '.join(map(word, ends))}: at an end of the range, the optimum may lie beyond it."
    return "good", sentence


def _cards(record: SweepRecord, values: Mapping[str, float]) -> list[tuple[str, str, str]]:
    cards = [(word(name), f"{values[name]:.4g}", f"of {span}") for name, span in record.settings.ranges.items()]
    smooth = record.figures.get("sd_log_j")
    return cards if smooth is None else [*cards, ("SDlogJ there", f"{smooth[_place(record)]:.3f}", TITLES["sd_log_j"][1])]


def _place(record: SweepRecord) -> tuple[int, ...]:
    """Indices of the best point."""
    best, _ = record.best()
    return tuple(int(np.argmin(np.abs(np.array(record.settings.axis(n)) - best[n]))) for n in record.settings.ranges)


def _section(record: SweepRecord, figure: str) -> Section:
    title, meaning = TITLES[figure]
    chart = _chart(record, record.figures[figure], title)
    return Section(title, f"Mean over the pairs: {meaning}.", [chart], {"best": f"best {TITLES[record.score_name][0]}"})


def _chart(record: SweepRecord, values: np.ndarray, title: str) -> Chart:
    """A curve; or a map with one cell for each point, whose frame reaches half a cell beyond the outer points."""
    best, _ = record.best()
    here, names = float(values[_place(record)]), list(record.settings.ranges)
    said = f"{shown(best)}: {here:.4g}"
    if values.ndim == 1:
        (name,), numbers = names, [float(value) for value in values]
        line = Line(list(zip(record.settings.axis(name), numbers, strict=True)))
        across, up = Axis(word(name), record.settings.ranges[name]), Axis(title, span_around(min(numbers), max(numbers)))
        return Chart(across, up, title, [line], [Mark(best[name], here, "best", said)])
    across, up = (Axis(word(name), _with_half_cells(record, name)) for name in names)
    heat = Heat.of(values.T, ("low", "high"), digits=".4g", smooth=False)
    return Chart(across, up, title, marks=[Mark(*(best[n] for n in names), "best", said)], heat=heat, size=MAP_SIZE)


def _with_half_cells(record: SweepRecord, name: str) -> Range:
    span, half = record.settings.ranges[name], 0.5 / (record.settings.points - 1)
    return Range(span.value(-half), span.value(1 + half), log=span.log)
