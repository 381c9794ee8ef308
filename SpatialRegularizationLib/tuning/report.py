"""tune_report.html: what a study found, where the optimum lies, what matters, and whether to trust it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from ..report.drawings import color_bar
from ..report.page import Card, Page, Section
from ..report.pixels import WEIGHT
from .drawings import Axis, Chart, Mark, bars, score_span
from .page import key, shown, word
from .ranges import Range
from .surface import Surface, fit_surface
from .trials import COMPLETED, FAILED, PRUNED, RUNNING, WAITING, StudyRecord, TrialRecord

MAP_POINTS = 81
"""Places along each side of a surface map."""
MAP_SIZE = (460, 400)
MAPPED = 3
"""At most the three most important parameters are drawn against one another."""
EDGE = 0.03
"""A best trial nearer to an end of a range than this share of it asks for a wider range."""


def tune_report_html(
    record: StudyRecord, *, command: str = "", score_name: str = "Dice", settings: Mapping[str, Any] | None = None
) -> str:
    """The report as one HTML page.

    Args:
        record: the study as it stands; it may be unfinished or empty.
        command: the exact command.
        score_name: what the score is; higher is better.
        settings: further settings to show.
    """
    surface = surface_of(record)
    count = {s: len(record.of_state(s)) for s in (COMPLETED, PRUNED, FAILED, RUNNING, WAITING)}
    page = Page(
        kind="Tuning report",
        title=f"Study {record.name}",
        subtitle=f"{count[COMPLETED]} completed and {count[PRUNED]} pruned trials of {record.wanted}"
        + "".join(f", {count[s]} {s}" for s in (RUNNING, WAITING, FAILED) if count[s])
        + ".",
        verdict=_verdict(record, score_name),
        cards=_cards(record, surface, score_name),
        sections=[
            *_map_sections(record, surface, score_name),
            _importance_section(record, score_name),
            *_history_sections(record, score_name),
            _table_section(record, score_name),
        ],
        command=command,
        settings={
            "storage": record.storage,
            **{f"range of {word(name)} ({name})": span for name, span in record.ranges.items()},
            **(settings or {}),
        },
    )
    return page.html()


def surface_of(record: StudyRecord) -> Surface | None:
    """The smooth score over the ranges, through all trials whose final score is known or can be expected; None for too few."""
    completed = record.of_state(COMPLETED)
    known = [(trial, trial.score) for trial in completed]
    known += [(t, score) for t in record.of_state(PRUNED) if (score := expected_score(t, completed)) is not None]
    if not completed:
        return None
    return fit_surface(_places(record.ranges, [trial for trial, _ in known]), np.array([score for _, score in known]))


def expected_score(pruned: TrialRecord, completed: Sequence[TrialRecord]) -> float | None:
    """What a pruned trial would have reached: its last score and the median rise of completed trials from that step on.

    None where it reported nothing, or no completed trial reported at that step.
    """
    if not pruned.course:
        return None
    step = max(pruned.course)
    rises = [trial.score - trial.course[step] for trial in completed if step in trial.course]
    return pruned.course[step] + float(np.median(rises)) if rises else None


def surface_top(record: StudyRecord, surface: Surface) -> tuple[dict[str, float], float]:
    """Where the surface is highest, by the parameters' names, and the score that it expects there.

    Deviates: a lattice with the best trial's values for all but two parameters at a time, until nothing rises.
    """
    names = list(record.ranges)
    place = _places(record.ranges, [record.best])[0]
    line = np.linspace(0, 1, MAP_POINTS)
    axes = list(itertools.combinations(range(len(names)), min(2, len(names))))
    for chosen in axes * 2:
        candidates = _lattice(place, chosen, line)
        place = candidates[int(np.argmax(surface(candidates)))]
    values = {name: record.ranges[name].value(share) for name, share in zip(names, place, strict=True)}
    return values, float(surface(place)[0])


def at_the_edge(record: StudyRecord) -> list[str]:
    """Sentences about parameters whose best value lies at an end of its range."""
    if record.best is None:
        return []
    found = []
    for name, span in record.ranges.items():
        share = span.share(record.best.values[name])
        if share < EDGE and not (span.low == 0 and not span.log):
            found.append(f"{word(name)} lies at the lower end of its range")
        elif share > 1 - EDGE:
            found.append(f"{word(name)} lies at the upper end of its range")
    return found


def _verdict(record: StudyRecord, score_name: str) -> tuple[str, str]:
    best = record.best
    if best is None:
        return "caution", "No trial has been completed yet."
    sentence = f"Best: {shown(best.values)}, with {score_name} {best.score:.4f} (trial {best.number})."
    edge = at_the_edge(record)
    if edge:
        return "caution", f"{sentence} {'; '.join(edge)}: the optimum may lie beyond it, tune again with a wider range."
    ended = len(record.of_state(COMPLETED, PRUNED))
    if ended < record.wanted:
        return "caution", f"{sentence} The study has {ended} of its {record.wanted} trials; the same command goes on."
    return "good", sentence


def _cards(record: StudyRecord, surface: Surface | None, score_name: str) -> list[Card]:
    best = record.best
    if best is None:
        return []
    cards = [Card(f"Best {score_name}", f"{best.score:.4f}", f"trial {best.number}")]
    cards += [Card(word(name), f"{value:.4g}", f"of {record.ranges[name]}") for name, value in best.values.items()]
    if surface is not None:
        values, expected = surface_top(record, surface)
        cards.append(Card("Top of the surface", f"{expected:.4f}", shown(values)))
    seconds = [trial.seconds for trial in record.of_state(COMPLETED, PRUNED) if trial.seconds is not None]
    if seconds:
        each = _duration(sum(seconds) / len(seconds))
        cards.append(Card("Time", _duration(sum(seconds)), f"all trials together, {each} each"))
    return cards


def _map_sections(record: StudyRecord, surface: Surface | None, score_name: str) -> list[Section]:
    if surface is None or record.best is None:
        return []
    lead = (
        f"Expected {score_name} between the trials (a Gaussian process through their scores). Pruned trials count with what "
        "they had reached and the median rise of completed trials from there on. Rest the pointer on a mark for its figures."
    )
    entries = key(("completed", "completed"), ("pruned", "pruned"), ("best", "best trial"), ("top", "top of the surface"))
    if len(record.ranges) == 1:
        title = f"{score_name} over {word(next(iter(record.ranges)))}"
        return [Section(title, lead, entries + _curve(record, surface, score_name))]
    order = list(record.importance) or list(record.ranges)
    maps = [_map(record, surface, pair) for pair in itertools.combinations(order[:MAPPED], 2)]
    return [Section("Surface", lead, entries + f'<div class="maps">{"".join(maps)}</div>')]


def _map(record: StudyRecord, surface: Surface, pair: Sequence[str]) -> str:
    """The surface over two parameters, the others as in the best trial."""
    names = list(record.ranges)
    chosen = tuple(names.index(name) for name in pair)
    place = _places(record.ranges, [record.best])[0]
    values = surface(_lattice(place, chosen, np.linspace(0, 1, MAP_POINTS))).reshape(MAP_POINTS, MAP_POINTS).T
    across, up = (Axis(word(name), record.ranges[name]) for name in pair)
    chart = Chart(across, up, MAP_SIZE)
    top, expected = surface_top(record, surface)
    marks = [
        Mark(trial.values[pair[0]], trial.values[pair[1]], kind, _title(trial))
        for kind, state in (("pruned", PRUNED), ("completed", COMPLETED))
        for trial in record.of_state(state)
        if trial is not record.best
    ]
    marks.append(Mark(top[pair[0]], top[pair[1]], "top", f"top of the surface: {shown(top)}, {expected:.4f} expected"))
    marks.append(Mark(record.best.values[pair[0]], record.best.values[pair[1]], "best", _title(record.best)))
    low, high = float(values.min()), float(values.max())
    ticks = [(share, f"{low + share * (high - low):.3f}") for share in (0.0, 0.5, 1.0)]
    heat = chart.heat(values, low=low, high=high, smooth=True)
    drawn = chart.drawn(heat + chart.marks(marks), f"Score over {pair[0]} and {pair[1]}")
    return f"<figure>{drawn}{color_bar(WEIGHT, ticks, 'worse', 'better')}</figure>"


def _curve(record: StudyRecord, surface: Surface, score_name: str) -> str:
    """The score over the only parameter."""
    ((name, span),) = record.ranges.items()
    scored = [trial for trial in record.of_state(COMPLETED, PRUNED) if trial.score is not None]
    chart = Chart(Axis(word(name), span), Axis(score_name, score_span([trial.score for trial in scored])))
    shares = np.linspace(0, 1, MAP_POINTS)
    line = chart.line([(span.value(x), y) for x, y in zip(shares, surface(shares[:, None]), strict=True)], "so-far")
    top, expected = surface_top(record, surface)
    marks = [Mark(t.values[name], t.score, t.state, _title(t)) for t in scored if t is not record.best]
    marks.append(Mark(top[name], expected, "top", f"top of the curve: {shown(top)}"))
    marks.append(Mark(record.best.values[name], record.best.score, "best", _title(record.best)))
    return chart.drawn(line + chart.marks(marks), f"Score over {name}")


def _importance_section(record: StudyRecord, score_name: str) -> Section:
    lead = (
        f"Share of the variance of {score_name} that each parameter explains by itself (fANOVA over the completed trials). "
        "What matters little needs no further tuning."
    )
    if not record.importance:
        return Section("Importance", lead, f"<p>{escape(record.importance_note)}</p>")
    return Section("Importance", lead, bars({word(n): s for n, s in record.importance.items()}, "Importance of the parameters"))


def _history_sections(record: StudyRecord, score_name: str) -> list[Section]:
    scored = [trial for trial in record.of_state(COMPLETED, PRUNED) if trial.score is not None]
    if not scored:
        return []
    span = score_span([trial.score for trial in scored])
    chart = Chart(Axis("trial", Range(-0.5, max(trial.number for trial in scored) + 0.5)), Axis(score_name, span))
    so_far, best = [], -np.inf
    for trial in record.of_state(COMPLETED):
        best = max(best, trial.score)
        so_far.append((trial.number, best))
    marks = [Mark(t.number, t.score, "best" if t is record.best else t.state, _title(t)) for t in scored]
    drawn = chart.drawn(chart.line(so_far, "so-far", stairs=True) + chart.marks(marks), "Score of each trial")
    lead = "Score of each trial in the order of starting (pruned ones: the best they had reached) and the best so far."
    return [Section("History", lead, drawn), *_course_section(record, score_name)]


def _course_section(record: StudyRecord, score_name: str) -> list[Section]:
    drawn_trials = [trial for trial in record.of_state(PRUNED, COMPLETED) if len(trial.course) > 1]
    if not drawn_trials:
        return []
    last = max(max(trial.course) for trial in drawn_trials)
    ends = [score for trial in drawn_trials for score in trial.course.values()]
    chart = Chart(Axis("step", Range(0, last)), Axis(score_name, score_span(ends)))
    kinds = {PRUNED: "course-pruned", COMPLETED: "course"}
    ordered = sorted(drawn_trials, key=lambda trial: trial is record.best)
    lines = [chart.line(list(t.course.items()), "course-best" if t is record.best else kinds[t.state]) for t in ordered]
    lead = "Scores on the way: completed trials blue, pruned ones red where they were stopped, the best one orange."
    return [Section("Course of the trials", lead, chart.drawn("".join(lines), "Score of each trial by step"))]


def _table_section(record: StudyRecord, score_name: str) -> Section:
    names = list(record.ranges)
    ended = sorted(record.trials, key=lambda t: (t.state != COMPLETED, -(t.score if t.score is not None else -np.inf)))
    head = "".join(f"<th>{escape(text)}</th>" for text in ("Trial", score_name, *map(word, names), "State", "Steps", "Time", ""))
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(text)}</td>"
            for text in (
                str(trial.number),
                "–" if trial.score is None else f"{trial.score:.4f}",
                *(f"{trial.values[name]:.4g}" if name in trial.values else "–" for name in names),
                trial.state,
                str(len(trial.course)),
                "–" if trial.seconds is None else _duration(trial.seconds),
                trial.note,
            )
        )
        + "</tr>"
        for trial in ended
    )
    table = f'<table class="numbers"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return Section("Trials", "Best first.", f"<details><summary>All {len(ended)} trials</summary>{table}</details>")


def _places(ranges: Mapping[str, Range], trials: Sequence[TrialRecord]) -> np.ndarray:
    return np.array([[span.share(trial.values[name]) for name, span in ranges.items()] for trial in trials])


def _lattice(place: np.ndarray, chosen: Sequence[int], line: np.ndarray) -> np.ndarray:
    """Copies of a place with one or two of its coordinates on a lattice, the first one slowest."""
    grids = np.meshgrid(*[line] * len(chosen), indexing="ij")
    candidates = np.repeat(place[None], grids[0].size, axis=0)
    for axis, grid in zip(chosen, grids, strict=True):
        candidates[:, axis] = grid.ravel()
    return candidates


def _title(trial: TrialRecord) -> str:
    score = "" if trial.score is None else f", {trial.score:.4f}"
    return f"trial {trial.number} ({trial.state}): {shown(trial.values)}{score}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
