"""Write tune_report.html: what a study found, where the optimum lies, what matters, and whether to trust it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..report.page import Section, page
from .drawings import Axis, Chart, Heat, Line, Mark, score_span, shown, word
from .ranges import Range
from .surface import Surface, fit_surface
from .trials import COMPLETED, FAILED, PRUNED, RUNNING, WAITING, SearchRecord, TrialRecord

MAP_POINTS = 81
"""Places along each side of a surface map."""
MAP_SIZE = (460, 400)
MAPPED = 3
"""At most the three most important parameters are drawn against one another."""
EDGE = 0.03
"""A best trial nearer to an end of a range than this share of it asks for a wider range."""
KEY = {"completed": "completed", "pruned": "pruned", "best": "best trial", "top": "top of the surface"}


def tune_report_html(
    record: SearchRecord, *, command: str = "", score_name: str = "Dice", settings: Mapping[str, Any] | None = None
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
    return page(
        "tuning",
        title=f"Study {record.name}",
        subtitle=f"{count[COMPLETED]} completed and {count[PRUNED]} pruned trials of {record.wanted}"
        + "".join(f", {count[s]} {s}" for s in (RUNNING, WAITING, FAILED) if count[s])
        + ".",
        verdict=_verdict(record, score_name),
        cards=_cards(record, surface, score_name),
        score_name=score_name,
        surfaces=[] if surface is None or record.best is None else [_surface_section(record, surface, score_name)],
        importance={word(name): share for name, share in record.importance.items()},
        importance_note=record.importance_note,
        courses=_history_sections(record, score_name),
        parameters=[word(name) for name in record.ranges],
        trials=_rows(record),
        command=command,
        settings={
            "storage": record.storage,
            **{f"range of {word(name)} ({name})": span for name, span in record.ranges.items()},
            **(settings or {}),
        },
    )


def surface_of(record: SearchRecord) -> Surface | None:
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


def surface_top(record: SearchRecord, surface: Surface) -> tuple[dict[str, float], float]:
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


def at_the_edge(record: SearchRecord) -> list[str]:
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


def _verdict(record: SearchRecord, score_name: str) -> tuple[str, str]:
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


def _cards(record: SearchRecord, surface: Surface | None, score_name: str) -> list[tuple[str, str, str]]:
    best = record.best
    if best is None:
        return []
    cards = [(f"Best {score_name}", f"{best.score:.4f}", f"trial {best.number}")]
    cards += [(word(name), f"{value:.4g}", f"of {record.ranges[name]}") for name, value in best.values.items()]
    if surface is not None:
        values, expected = surface_top(record, surface)
        cards.append(("Top of the surface", f"{expected:.4f}", shown(values)))
    seconds = [trial.seconds for trial in record.of_state(COMPLETED, PRUNED) if trial.seconds is not None]
    if seconds:
        each = _duration(sum(seconds) / len(seconds))
        cards.append(("Time", _duration(sum(seconds)), f"all trials together, {each} each"))
    return cards


def _surface_section(record: SearchRecord, surface: Surface, score_name: str) -> Section:
    lead = (
        f"Expected {score_name} between the trials (a Gaussian process through their scores). Pruned trials count with what "
        "they had reached and the median rise of completed trials from there on. Rest the pointer on a mark for its figures."
    )
    if len(record.ranges) == 1:
        title = f"{score_name} over {word(next(iter(record.ranges)))}"
        return Section(title, lead, [_curve(record, surface, score_name)], KEY)
    order = list(record.importance) or list(record.ranges)
    maps = [_map(record, surface, pair) for pair in itertools.combinations(order[:MAPPED], 2)]
    return Section("Surface", lead, maps, KEY)


def _map(record: SearchRecord, surface: Surface, pair: Sequence[str]) -> Chart:
    """The surface over two parameters, the others as in the best trial."""
    names = list(record.ranges)
    chosen = tuple(names.index(name) for name in pair)
    place = _places(record.ranges, [record.best])[0]
    values = surface(_lattice(place, chosen, np.linspace(0, 1, MAP_POINTS))).reshape(MAP_POINTS, MAP_POINTS).T
    top, expected = surface_top(record, surface)
    marks = [
        Mark(trial.values[pair[0]], trial.values[pair[1]], kind, _title(trial))
        for kind, state in (("pruned", PRUNED), ("completed", COMPLETED))
        for trial in record.of_state(state)
        if trial is not record.best
    ]
    marks.append(Mark(top[pair[0]], top[pair[1]], "top", f"top of the surface: {shown(top)}, {expected:.4f} expected"))
    marks.append(Mark(record.best.values[pair[0]], record.best.values[pair[1]], "best", _title(record.best)))
    across, up = (Axis(word(name), record.ranges[name]) for name in pair)
    heat = Heat.of(values, ("worse", "better"), digits=".3f", smooth=True)
    return Chart(across, up, f"Score over {pair[0]} and {pair[1]}", marks=marks, heat=heat, size=MAP_SIZE)


def _curve(record: SearchRecord, surface: Surface, score_name: str) -> Chart:
    """The score over the only parameter."""
    ((name, span),) = record.ranges.items()
    scored = [trial for trial in record.of_state(COMPLETED, PRUNED) if trial.score is not None]
    shares = np.linspace(0, 1, MAP_POINTS)
    line = Line([(span.value(x), y) for x, y in zip(shares, surface(shares[:, None]), strict=True)])
    top, expected = surface_top(record, surface)
    marks = [Mark(t.values[name], t.score, t.state, _title(t)) for t in scored if t is not record.best]
    marks.append(Mark(top[name], expected, "top", f"top of the curve: {shown(top)}"))
    marks.append(Mark(record.best.values[name], record.best.score, "best", _title(record.best)))
    up = Axis(score_name, score_span([trial.score for trial in scored]))
    return Chart(Axis(word(name), span), up, f"Score over {name}", [line], marks)


def _history_sections(record: SearchRecord, score_name: str) -> list[Section]:
    """The score of each trial in order, and by step; none where there is no score."""
    scored = [trial for trial in record.of_state(COMPLETED, PRUNED) if trial.score is not None]
    if not scored:
        return []
    trials = Axis("trial", Range(-0.5, max(trial.number for trial in scored) + 0.5))
    completed = record.of_state(COMPLETED)
    best = itertools.accumulate((trial.score for trial in completed), max)
    so_far = Line([(trial.number, score) for trial, score in zip(completed, best, strict=True)], stairs=True)
    marks = [Mark(t.number, t.score, "best" if t is record.best else t.state, _title(t)) for t in scored]
    up = Axis(score_name, score_span([trial.score for trial in scored]))
    lead = "Score of each trial in the order of starting (pruned ones: the best they had reached) and the best so far."
    history = Section("History", lead, [Chart(trials, up, "Score of each trial", [so_far], marks)])
    drawn = [trial for trial in record.of_state(PRUNED, COMPLETED) if len(trial.course) > 1]
    if not drawn:
        return [history]
    steps = Axis("step", Range(0, max(max(trial.course) for trial in drawn)))
    kinds = {PRUNED: "course-pruned", COMPLETED: "course"}
    ordered = sorted(drawn, key=lambda trial: trial is record.best)
    lines = [Line(list(t.course.items()), "course-best" if t is record.best else kinds[t.state]) for t in ordered]
    up = Axis(score_name, score_span([score for trial in drawn for score in trial.course.values()]))
    lead = "Scores on the way: completed trials blue, pruned ones red where they were stopped, the best one orange."
    return [history, Section("Course of the trials", lead, [Chart(steps, up, "Score of each trial by step", lines)])]


def _rows(record: SearchRecord) -> list[tuple[str, ...]]:
    """Number, score, parameters, state, steps, time and note of each trial, best first."""
    return [
        (
            str(trial.number),
            "–" if trial.score is None else f"{trial.score:.4f}",
            *(f"{trial.values[name]:.4g}" if name in trial.values else "–" for name in record.ranges),
            trial.state,
            str(len(trial.course)),
            "–" if trial.seconds is None else _duration(trial.seconds),
            trial.note,
        )
        for trial in sorted(
            record.trials, key=lambda t: (t.state != COMPLETED, -(t.score if t.score is not None else -np.inf))
        )
    ]


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
