"""Run a study from its pairs to its results: what is known is kept, what is missing is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..io.claims import claimed
from ..io.lists import ListedPair
from .lines import Lines, key_of
from .measured_pair import Measured, Task
from .methods import START, Method
from .results import StudyResults
from .settings import StudySettings
from .workers import Explain, run_tasks

REPORT_EVERY_S = 30.0
"""How often the results so far are told, at most."""
START_METHOD = Method(START, START, START)


@dataclass(frozen=True)
class Observer:
    """Whom a running study tells.

    Args:
        explain: makes one sentence of an error; a function of a module.
        said: told in words what has been done.
        after: told of the results so far now and then, and of all in the end.
    """

    explain: Explain = str
    said: Callable[[str], None] = lambda text: None
    after: Callable[[StudyResults, Lines], None] = lambda results, lines: None


def run_study(
    settings: StudySettings, pairs: Sequence[ListedPair], folder: Path, *, observer: Observer, fresh: bool = False
) -> StudyResults:
    """Measure every method on every pair; one that fails is told and the rest goes on.

    Args:
        settings: of the study.
        pairs: with names of their own.
        folder: gets lines.jsonl and pictures/; measurements of the same study in it are kept.
        observer: see there.
        fresh: measure everything again.

    Raises:
        ValueError: no pairs.
        TakenError: another process is writing into the folder.
    """
    if not pairs:
        raise ValueError("A study needs at least one pair of images, got none.")
    with claimed(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return _measured(settings, pairs, Lines(folder, fresh=fresh), observer)


def _measured(settings: StudySettings, pairs: Sequence[ListedPair], lines: Lines, observer: Observer) -> StudyResults:
    if lines.damaged:
        observer.said(f"{lines.damaged} damaged lines of an interrupted run are measured again")
    methods = (START_METHOD, *settings.methods)
    identities = {method.name: method.identity() for method in methods}
    keys = {(p.name, m.name): key_of(p, identities[m.name], settings) for p in pairs for m in methods}
    known: dict[tuple[str, str], Measured] = {}
    tasks = []
    for number, pair in enumerate(pairs):
        pictured = number < settings.pictures
        left = []
        for method in methods:
            found = lines.measured(pair.name, method.name, keys[pair.name, method.name])
            shown = method.kind in ("preset", "model") and pictured
            if found is None or (shown and not lines.has_pictures(pair.name, method.name)):
                left.append(method)
            else:
                known[pair.name, method.name] = found
        if left:
            tasks.append(Task(pair, tuple(left), pictured))
    kept, names, told = len(known), tuple(pair.name for pair in pairs), time.monotonic()
    total = len(pairs) * len(methods)
    if kept:
        observer.said(f"{kept} of {total} measurements are known from before")
    for measured in run_tasks(tasks, settings, observer.explain):
        lines.add(measured, keys[measured.pair, measured.method])
        known[measured.pair, measured.method] = measured
        outcome = f"failed: {measured.error}" if measured.error else f"done. {measured.note}" if measured.note else "done"
        observer.said(f"{len(known)} of {total}: {measured.method} on {measured.pair} {outcome}")
        if time.monotonic() - told > REPORT_EVERY_S:
            observer.after(StudyResults(settings, names, dict(known)), lines)
            told = time.monotonic()
    results = StudyResults(settings, names, known)
    observer.after(results, lines)
    return results
