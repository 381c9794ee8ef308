"""sweep.html: figures of a model over its condition, where the best one lies, and whether the range was wide enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..report.drawings import color_bar
from ..report.page import Card, Page, Section
from ..report.pixels import WEIGHT
from .drawings import Axis, Chart, Mark
from .page import key, shown, word
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
    page = Page(
        kind="Sweep report",
        title=f"Sweep of {model}",
        subtitle=f"{points} conditions on {len(record.pairs)} of {record.wanted} validation pairs.",
        verdict=_verdict(record, values, score),
        cards=[Card(f"Best {name}", f"{score:.4f}", f"mean of {len(record.pairs)} pairs"), *_cards(record, values)],
        sections=[_section(record, figure) for figure in TITLES if figure in record.figures],
        command=command,
        settings={**{f"range of {word(n)} ({n})": span for n, span in record.settings.ranges.items()}, **(settings or {})},
    )
    return page.html()


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
    return Section(f"{drawn.title} of {model} over its condition", best + drawn.lead, drawn.content)


def _verdict(record: SweepRecord, values: Mapping[str, float], score: float) -> tuple[str, str]:
    sentence = f"Best {TITLES[record.score_name][0]} {score:.4f} at {shown(values)}."
    ends = [n for n, span in record.settings.ranges.items() if values[n] in (span.value(0.0), span.value(1.0))]
    if len(record.pairs) < record.wanted:
        return "caution", f"{sentence} {record.wanted - len(record.pairs)} pairs are still to come."
    if ends:
        return "caution", f"{sentence} {', '.join(map(word, ends))}: at an end of the range, the optimum may lie beyond it."
    return "good", sentence


def _cards(record: SweepRecord, values: Mapping[str, float]) -> list[Card]:
    place = tuple(_place(record, name, values[name]) for name in record.settings.ranges)
    cards = [Card(word(name), f"{values[name]:.4g}", f"of {span}") for name, span in record.settings.ranges.items()]
    smooth = record.figures.get("sd_log_j")
    return cards if smooth is None else [*cards, Card("SDlogJ there", f"{smooth[place]:.3f}", TITLES["sd_log_j"][1])]


def _place(record: SweepRecord, name: str, value: float) -> int:
    return int(np.argmin(np.abs(np.array(record.settings.axis(name)) - value)))


def _section(record: SweepRecord, figure: str) -> Section:
    title, meaning = TITLES[figure]
    values = record.figures[figure]
    drawn = _map(record, values, title) if values.ndim == 2 else _curve(record, values, title)
    return Section(title, f"Mean over the pairs: {meaning}.", key(("best", f"best {TITLES[record.score_name][0]}")) + drawn)


def _map(record: SweepRecord, values: np.ndarray, title: str) -> str:
    """One cell for each point; the frame reaches half a cell beyond the outer points."""
    first, second = record.settings.ranges
    best, _ = record.best()
    chart = Chart(*(Axis(word(name), _with_half_cells(record, name)) for name in (first, second)), MAP_SIZE)
    low, high = float(values.min()), float(values.max())
    ticks = [(share, f"{low + share * (high - low):.4g}") for share in (0.0, 0.5, 1.0)]
    here = values[_place(record, first, best[first]), _place(record, second, best[second])]
    mark = Mark(best[first], best[second], "best", f"{shown(best)}: {here:.4g}")
    inside = chart.heat(values.T, low=low, high=high, smooth=False) + chart.marks([mark])
    return f'<div class="maps"><figure>{chart.drawn(inside, title)}{color_bar(WEIGHT, ticks, "low", "high")}</figure></div>'


def _with_half_cells(record: SweepRecord, name: str) -> Range:
    span, half = record.settings.ranges[name], 0.5 / (record.settings.points - 1)
    return Range(span.value(-half), span.value(1 + half), log=span.log)


def _curve(record: SweepRecord, values: np.ndarray, title: str) -> str:
    ((name, span),) = record.settings.ranges.items()
    best, _ = record.best()
    room = 0.06 * float(np.ptp(values)) or max(abs(float(values[0])), 1.0) * 0.01
    chart = Chart(Axis(word(name), span), Axis(title, Range(float(values.min()) - room, float(values.max()) + room)))
    here = float(values[_place(record, name, best[name])])
    line = chart.line(list(zip(record.settings.axis(name), map(float, values), strict=True)), "so-far")
    return chart.drawn(line + chart.marks([Mark(best[name], here, "best", f"{shown(best)}: {here:.4g}")]), title)
