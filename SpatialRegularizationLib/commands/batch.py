"""Run `spatialreg register --batch`: register all pairs of a table, each into its own folder.

Finished pairs are skipped, a failed one does not stop the others, and summary.csv grows with every pair. Several processes may
work on one list: a pair that another one has in work is left to it, and looked after when all others are done.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.atomic import write_text
from ..io.claims import TakenError, claimed
from ..io.lists import ListedPair, read_pairs
from ..registration.choices import chosen_device
from ..report.result_folder import check_destination, claimed_folder, read_report
from ..report.verdicts import Judgment, judgment_of
from .console import Console, UsageError, one_sentence
from .model_choice import model_choice
from .options import INPUTS
from .pair import Job, check_linear_job, check_pairs, perform, settings_from

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
COLUMNS = ("name", "state", "verdict", *FIGURES, "reasons", "message")
SUMMARY = "summary.csv"
FAILED = 3
"""Exit code with --strict where a registration was finished and its verdict is "failed"."""
IN_WORK = "in work"
"""The state of a pair that another process registers at this moment; no pair keeps it to the end."""
PAUSE_S = 1.0
"""Between two looks at pairs that others have in work."""


@dataclass(frozen=True)
class Outcome:
    """What became of a pair: "done", "skipped", "failed" or `IN_WORK`, with its report or the error."""

    name: str
    state: str
    content: dict[str, Any]
    message: str = ""

    def row(self) -> dict[str, str]:
        """The pair's line of summary.csv."""
        figures = {column: _cell(self.content, keys) for column, keys in FIGURES.items()}
        judgment = self.judgment
        words = {"verdict": judgment.word.lower() if judgment else ""}
        reasons = {"reasons": " ".join(judgment.reasons) if judgment else ""}
        return {"name": self.name, "state": self.state} | words | figures | reasons | {"message": self.message}

    @property
    def judgment(self) -> Judgment | None:
        """The verdict; None without a result, or where an earlier version made it."""
        return judgment_of(self.content)


def run_table(options: argparse.Namespace, console: Console, command: str) -> int:
    """Register every pair; returns 1 when one failed, and with --strict 3 when the verdict on one is "failed".

    Raises:
        UsageError: the table cannot be understood; nothing was registered then.
    """
    if options.fixed is not None:
        raise UsageError("--batch takes its images from the table: leave out FIXED and MOVING.")
    for name in (*INPUTS, "initial"):
        if getattr(options, name):
            raise UsageError(f"--{name.replace('_', '-')} belongs to one pair: make it a column of the table.")
    jobs = read_table(Path(options.batch), options)
    chosen_device(jobs[0].settings.device)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    batch = Batch(jobs, out, console, command, options)
    outcomes = batch.run()
    counts = {state: sum(outcome.state == state for outcome in outcomes) for state in ("done", "skipped", "failed")}
    console.result(
        {"summary": str(out / SUMMARY), "pairs": [outcome.row() for outcome in outcomes]} | counts, _text(outcomes)
    )
    if counts["failed"]:
        return 1
    return FAILED if options.strict and any(o.judgment and o.judgment.level == "bad" for o in outcomes) else 0


class Batch:
    """The pairs of a list on their way.

    Args:
        jobs: the pairs.
        out: the folder of summary.csv.
        console: what is told goes there.
        command: the exact command, for the reports.
        options: of the command line.
    """

    def __init__(
        self, jobs: Sequence[Job], out: Path, console: Console, command: str, options: argparse.Namespace
    ) -> None:
        self._jobs, self._out, self._console, self._command, self._options = jobs, out, console, command, options
        self._outcomes: dict[str, Outcome] = {}

    def run(self) -> list[Outcome]:
        """Every pair, once all of them are done, skipped or failed."""
        for number, job in enumerate(self._jobs, start=1):
            self._console.step(f"Pair {number} of {len(self._jobs)}: {job.name}")
            self._register(job)
        while elsewhere := [job for job in self._jobs if self._outcomes[job.name].state == IN_WORK]:
            self._console.step(f"Waiting for {', '.join(job.name for job in elsewhere)}: in work elsewhere")
            time.sleep(PAUSE_S)
            for job in elsewhere:
                self._register(job, waited=True)
        self._write(last=True)
        return list(self._outcomes.values())

    def _register(self, job: Job, *, waited: bool = False) -> None:
        before = self._outcomes.get(job.name)
        self._outcomes[job.name] = self._outcome(job, again=self._options.force and not waited)
        if before is None or self._outcomes[job.name].state != before.state:
            self._write()

    def _outcome(self, job: Job, *, again: bool) -> Outcome:
        try:
            with claimed_folder(job.out):
                if not again and (finished := _finished(job)):
                    return finished
                check_destination(job.out, overwrite=self._options.force)
                content = perform(
                    job, self._console, self._command, force=self._options.force, debug=self._options.debug
                )
                return Outcome(job.name, "done", content)
        except TakenError as error:
            return Outcome(job.name, IN_WORK, {}, one_sentence(error))
        except Exception as error:
            self._console.error(f"{job.name}: {one_sentence(error)}", 1)
            if self._options.debug:
                self._console.trace("".join(traceback.format_exception(error)))
            return Outcome(job.name, "failed", {}, one_sentence(error))

    def _write(self, *, last: bool = False) -> None:
        """summary.csv: this process's pairs, and what stands there of the others; the last time, what others have mended."""
        path = self._out / SUMMARY
        with claimed(path, wait=True):
            if last:
                failed = [job for job in self._jobs if self._outcomes[job.name].state == "failed"]
                self._outcomes |= {job.name: finished for job in failed if (finished := _finished(job))}
            rows = _rows(path) | {name: outcome.row() for name, outcome in self._outcomes.items()}
            write_text(path, _table([rows[job.name] for job in self._jobs if job.name in rows]))


def read_table(path: Path, options: argparse.Namespace) -> list[Job]:
    """The pairs of a list, with the settings of the command line; raises as `listed_pairs`."""
    return [_job(pair, options) for pair in listed_pairs(path)]


def listed_pairs(path: Path) -> tuple[ListedPair, ...]:
    """The pairs of a list.

    Raises:
        FileNotFoundError: no such list.
        UsageError: it cannot be understood.
    """
    try:
        return read_pairs(path)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _job(pair: ListedPair, options: argparse.Namespace) -> Job:
    check_pairs(pair.inputs)
    settings, model = settings_from(vars(options), pair.preset or options.preset), model_choice(options)
    check_linear_job(settings, model, pair.inputs)
    return Job(pair.fixed, pair.moving, Path(options.out) / pair.name, settings, dict(pair.inputs), pair.name, model)


def _finished(job: Job) -> Outcome | None:
    """A pair whose result is there, of the same files and settings."""
    earlier = read_report(job.out)
    if earlier is None or not job.is_that_of(earlier.get("job")):
        return None
    return Outcome(job.name, "skipped", earlier, "finished before")


def _rows(path: Path) -> dict[str, dict[str, str]]:
    """The lines of a summary.csv by name; none where there is another file."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row.get("name") and row.get("state")]
    except (OSError, ValueError, csv.Error):
        return {}
    return {row["name"]: {column: row.get(column) or "" for column in COLUMNS} for row in rows}


def _table(rows: Iterable[dict[str, str]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _text(outcomes: list[Outcome]) -> str:
    """The table for people: name, state, and the figures that any pair has."""
    rows = [outcome.row() for outcome in outcomes]
    columns = ["name", "state", *(column for column in ("verdict", *FIGURES) if any(row[column] for row in rows))]
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in columns}
    lines = ["  ".join(column.ljust(widths[column]) for column in columns)]
    lines += ["  ".join(row[column].ljust(widths[column]) for column in columns).rstrip() for row in rows]
    lines += [f"{row['name']}: {row['message']}" for row in rows if row["state"] == "failed"]
    lines += [f"{outcome.name}: {reason}" for outcome in outcomes if outcome.judgment for reason in outcome.judgment.reasons]
    return "\n".join(lines)


def _cell(content: dict[str, Any], keys: tuple[str, ...]) -> str:
    value: Any = content
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None else f"{value:.4g}"
