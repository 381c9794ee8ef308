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

FILE_COLUMNS = ("fixed", "moving", *INPUTS, "initial")
COLUMNS = (*FILE_COLUMNS, "name", "preset")
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
    """The pairs of a CSV file (comma or semicolon), with the settings of the command line.

    Raises:
        FileNotFoundError: no such file.
        UsageError: unknown or missing columns, empty cells, or two pairs of one name.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the path of the table.")
    text = path.read_text(encoding="utf-8-sig")
    lines = text.splitlines() or [""]
    reader = csv.DictReader(io.StringIO(text), delimiter=";" if lines[0].count(";") > lines[0].count(",") else ",")
    columns = [column.strip() for column in reader.fieldnames or []]
    reader.fieldnames = columns
    unknown = [column for column in columns if column not in COLUMNS]
    if unknown or not {"fixed", "moving"} <= set(columns):
        problem = f"has the unknown column {unknown[0]!r}" if unknown else "lacks the columns fixed and moving"
        raise UsageError(f"{path} {problem}: the columns are {', '.join(COLUMNS)}.")
    jobs = [_job(row, number, path, options) for number, row in enumerate(reader, start=2)]
    if not jobs:
        raise UsageError(f"{path} holds no pairs: write one line for each below the header.")
    names = [job.name for job in jobs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"{path} names two pairs {twice!r}: give each its own name in the column name.")
    return jobs


def _job(row: dict[str, str], line: int, table: Path, options: argparse.Namespace) -> Job:
    cells = {
        key: value.strip() for key, value in row.items() if key is not None and value is not None and value.strip()
    }
    for side in ("fixed", "moving"):
        if side not in cells:
            raise UsageError(f"{table}, line {line}: the column {side} is empty.")
    files = {name: table.parent / cells[name] for name in FILE_COLUMNS if name in cells}
    name = cells.get("name") or f"{_stem(files['moving'])}_to_{_stem(files['fixed'])}"
    if Path(name).name != name or name.startswith("."):
        raise UsageError(
            f"{table}, line {line}: the name {name!r} cannot be a folder, leave out slashes and leading dots."
        )
    inputs = {key: value for key, value in files.items() if key not in ("fixed", "moving")}
    check_pairs(inputs)
    settings = settings_from(vars(options), cells.get("preset", options.preset))
    return Job(files["fixed"], files["moving"], Path(options.out) / name, settings, inputs, name, model_choice(options))


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


def _stem(path: Path) -> str:
    return path.name.split(".")[0] or path.name
