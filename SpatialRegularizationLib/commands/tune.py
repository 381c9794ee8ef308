"""Run `spatialreg tune`: search for hyperparameters, by trainings or by registering pairs."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..io.atomic import write_text
from ..io.claims import claimed
from ..tuning.report import tune_report_html
from ..tuning.search import read_search, run_search
from ..tuning.settings import TuningSettings
from ..tuning.trials import COMPLETED, PRUNED, SearchRecord
from .console import Console, UsageError
from .tune_search import search_of

REPORT, BEST = "tune_report.html", "best.json"


def run(options: argparse.Namespace, console: Console, arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code."""
    settings = settings_of(options)
    search = search_of(settings, console)
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["spatialreg", *arguments])

    def write(record: SearchRecord) -> None:
        write_results(out, record, command, search.score_name)
        best = "" if record.best is None else f", best {search.score_name} {record.best.score:.4f}"
        console.step(f"{len(record.of_state(COMPLETED, PRUNED))} of {record.wanted} trials{best}")

    if not options.report_only:
        run_search(search.plan, search.objective, after_trial=write)
    with claimed(out / REPORT, wait=True):  # the last of several processes knows the trials of all
        record = read_search(search.plan)
        write_results(out, record, command, search.score_name)
    console.result(best_of(record, search.score_name) | {"report": str(out / REPORT)}, _text(record, search.score_name, out))
    return 0


def settings_of(options: argparse.Namespace) -> TuningSettings:
    """The configuration with the options on top.

    Raises:
        UsageError: neither a configuration nor pairs, or no folder.
        FileNotFoundError, ValueError: as `TuningSettings.from_file`.
    """
    names = ("out", "preset", "task", "study", "storage", "trials")
    changes: dict[str, Any] = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.per_pair:
        changes["pairs"] = options.per_pair
    if options.range:
        changes["ranges"] = dict(range_of(text) for text in options.range)
    if options.config is None and not options.per_pair:
        raise UsageError("What to tune is missing: give CONFIG, or --per-pair CSV. See 'spatialreg tune --help'.")
    if options.config is None and not options.out:
        raise UsageError("A folder for the study is needed: --out DIR.")
    return TuningSettings.from_file(options.config, changes) if options.config else TuningSettings.from_dict(changes)


def write_results(out: Path, record: SearchRecord, command: str, score_name: str) -> None:
    """tune_report.html and best.json, each whole or as it was before."""
    write_text(out / REPORT, tune_report_html(record, command=command, score_name=score_name))
    write_text(out / BEST, json.dumps(best_of(record, score_name), indent=1, ensure_ascii=False, allow_nan=False))


def best_of(record: SearchRecord, score_name: str) -> dict[str, Any]:
    """The best trial and the state of the study, in plain values."""
    best = record.best
    return {
        "study": record.name,
        "score_name": score_name,
        "score": best and best.score,
        "trial": best and best.number,
        "values": dict(best.values) if best else {},
        "importance": dict(record.importance),
        "trials": {state: len(record.of_state(state)) for state in sorted({trial.state for trial in record.trials})},
        "wanted": record.wanted,
    }


def range_of(text: str) -> tuple[str, list[Any]]:
    """NAME=LOW:HIGH[:log] as a name and what `Range.of` reads.

    Raises:
        UsageError: something else.
    """
    name, _, rest = text.partition("=")
    parts = rest.split(":")
    try:
        return name.strip().replace("-", "_"), [float(parts[0]), float(parts[1]), *parts[2:]]
    except (ValueError, IndexError):
        raise UsageError(f"--range must look like lambda_max=0.5:5 or lambda_max=0.5:5:log, got {text!r}.") from None


def _text(record: SearchRecord, score_name: str, out: Path) -> str:
    """The result in a few lines for people."""
    states = {state: len(record.of_state(state)) for state in sorted({trial.state for trial in record.trials})}
    lines = [f"Study {record.name}: " + (", ".join(f"{n} {state}" for state, n in states.items()) or "no trials") + "."]
    if record.best is not None:
        lines.append(f"Best {score_name} {record.best.score:.4f} in trial {record.best.number}:")
        lines += [f"  {name:<16}{value:.4g}" for name, value in record.best.values.items()]
    lines += [f"  importance of {name:<16}{100 * share:.0f} %" for name, share in record.importance.items()]
    return "\n".join([*lines, f"Report: {out / REPORT}"])
