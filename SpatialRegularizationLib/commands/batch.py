"""spatialreg register --batch: all pairs of a table, each into its own folder.

Finished pairs are skipped, a failed one does not stop the others, and summary.csv grows with every pair.
"""

from __future__ import annotations

import argparse
import csv
import io
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.results import read_report, write_text
from .console import Console, UsageError, one_sentence
from .job import Job, check_pairs, settings_from
from .model_choice import model_choice
from .options import INPUTS
from .pair import check_device, check_folder, perform
from .pair_list import PairLine, read_pair_list

FIGURES = {
    "seconds": ("seconds",),
    "similarity_before": ("similarity_before",),
    "similarity_after": ("similarity_after",),
    "dice_before": ("dice_before", "mean"),
    "dice_after": ("dice_after", "mean"),
    "tre_before_mm": ("tre_before_mm", "mean"),
    "tre_after_mm": ("tre_after_mm", "mean"),
    "folding_percent": ("folding_percent",),
    "ndv_percent": ("ndv_percent",),
    "sd_log_j": ("sd_log_j",),
}
"""Columns of summary.csv and where they stand in report.json."""


@dataclass(frozen=True)
class Outcome:
    """What became of a pair: "done", "skipped" or "failed", with its report or the error."""

    name: str
    state: str
    content: dict[str, Any]
    message: str = ""

    def row(self) -> dict[str, str]:
        """The pair's line of summary.csv."""
        figures = {column: _cell(self.content, keys) for column, keys in FIGURES.items()}
        return {"name": self.name, "state": self.state} | figures | {"message": self.message}


def run_table(options: argparse.Namespace, console: Console, command: str) -> int:
    """Register every pair; returns 1 when one failed.

    Raises:
        UsageError: the table cannot be understood; nothing was registered then.
    """
    if options.fixed is not None:
        raise UsageError("--batch takes its images from the table: leave out FIXED and MOVING.")
    for name in (*INPUTS, "initial"):
        if getattr(options, name):
            raise UsageError(f"--{name.replace('_', '-')} belongs to one pair: make it a column of the table.")
    jobs = read_table(Path(options.batch), options)
    check_device(jobs[0].settings.device)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for number, job in enumerate(jobs, start=1):
        console.step(f"Pair {number} of {len(jobs)}: {job.name}")
        outcomes.append(_one(job, console, command, options))
        write_text(out / "summary.csv", _table(outcomes))
    failed = sum(outcome.state == "failed" for outcome in outcomes)
    counts = {state: sum(outcome.state == state for outcome in outcomes) for state in ("done", "skipped", "failed")}
    console.result(
        {"summary": str(out / "summary.csv"), "pairs": [outcome.row() for outcome in outcomes]} | counts,
        _text(outcomes),
    )
    return 1 if failed else 0


def read_table(path: Path, options: argparse.Namespace) -> list[Job]:
    """The pairs of a list, with the settings of the command line; raises as `read_pair_list`, and UsageError."""
    return [_job(line, options) for line in read_pair_list(path)]


def _job(line: PairLine, options: argparse.Namespace) -> Job:
    check_pairs(line.inputs)
    settings = settings_from(vars(options), line.preset or options.preset)
    return Job(
        line.fixed, line.moving, Path(options.out) / line.name, settings, line.inputs, line.name, model_choice(options)
    )


def _one(job: Job, console: Console, command: str, options: argparse.Namespace) -> Outcome:
    earlier = read_report(job.out)
    if earlier is not None and not options.force and earlier.get("job") == job.identity():
        return Outcome(job.name, "skipped", earlier, "finished before")
    try:
        check_folder(job, force=options.force)
        return Outcome(job.name, "done", perform(job, console, command, force=options.force, debug=options.debug))
    except Exception as error:
        console.error(f"{job.name}: {one_sentence(error)}", 1)
        if options.debug:
            console.trace("".join(traceback.format_exception(error)))
        return Outcome(job.name, "failed", {}, one_sentence(error))


def _table(outcomes: list[Outcome]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ["name", "state", *FIGURES, "message"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(outcome.row() for outcome in outcomes)
    return stream.getvalue()


def _text(outcomes: list[Outcome]) -> str:
    """The table for people: name, state, and the figures that any pair has."""
    rows = [outcome.row() for outcome in outcomes]
    columns = ["name", "state", *(column for column in FIGURES if any(row[column] for row in rows))]
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in columns}
    lines = ["  ".join(column.ljust(widths[column]) for column in columns)]
    lines += ["  ".join(row[column].ljust(widths[column]) for column in columns).rstrip() for row in rows]
    lines += [f"{row['name']}: {row['message']}" for row in rows if row["state"] == "failed"]
    return "\n".join(lines)


def _cell(content: dict[str, Any], keys: tuple[str, ...]) -> str:
    value: Any = content
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None else f"{value:.4g}"
