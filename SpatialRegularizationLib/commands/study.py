"""Run `spatialreg evaluate STUDY`: compare several methods on the same pairs, measured the same way."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..io.atomic import write_text
from ..io.lists import ListedPair, read_images
from ..registration.choices import chosen_device
from ..registration.verdict import LEVELS
from ..report.page import Section
from ..studies.lines import Lines
from ..studies.methods import START
from ..studies.pairs import random_pairs
from ..studies.report import study_html
from ..studies.results import StudyResults
from ..studies.run import Observer, run_study
from ..studies.settings import FILES, StudySettings
from ..studies.tables import COLUMNS, digits_of, measurements_csv, plain_values, summary_csv
from ..training.config_file import read_config
from ..tuning.sweep import read_sweep
from ..tuning.sweep_report import sweep_section
from ..zoo.folder import PARAMETERS
from .batch import listed_pairs
from .console import Console, UsageError, one_sentence
from .train import changes_of

REPORT, MEASUREMENTS, SUMMARY, VALUES = "study.html", "study.csv", "summary.csv", "study.json"
PYTHON = "SPATIALREG_BENCH_PYTHON"
"""Environment variable with the interpreter of the baselines."""


def run_study_file(options: argparse.Namespace, console: Console, arguments: Sequence[str]) -> int:
    """Do what the command line says; returns 1 when a measurement failed.

    Raises:
        UsageError: the study cannot be understood; nothing was measured then.
        FileNotFoundError: a file that it names is not there.
    """
    settings = settings_of(options)
    chosen_device(settings.device)
    pairs = pairs_of(settings)
    sections = [_sweep_section(Path(folder)) for folder in settings.sweeps]
    out, command = Path(settings.out), shlex.join(["spatialreg", *arguments])
    observer = Observer(
        one_sentence, console.step, lambda results, lines: write_results(out, results, lines, (command, sections))
    )
    results = run_study(settings, pairs, out, observer=observer, fresh=options.fresh)
    console.result(_values(results, out), _text(results, out))
    return 1 if results.failures else 0


def settings_of(options: argparse.Namespace) -> StudySettings:
    """The study of the command line.

    Raises:
        UsageError: an unknown setting or method, or a value out of range.
    """
    path = Path(options.study)
    values = read_config(path, FILES) | changes_of(options)
    if isinstance(values.get("sweeps"), list):
        values["sweeps"] = [str(path.parent / Path(str(folder)).expanduser()) for folder in values["sweeps"]]
    if isinstance(values.get("methods"), list):
        values["methods"] = [_with_path(method, path.parent) for method in values["methods"]]
    python = values.get("baseline_python") or os.environ.get(PYTHON)
    only = [name.strip() for name in (options.methods or "").split(",") if name.strip()]
    try:
        settings = StudySettings.from_dict(values | {"baseline_python": python}, only)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    if settings.out is None:
        raise UsageError(f"{path} names no folder for the results: give out, or --out DIR.")
    return settings


def _with_path(method: Any, folder: Path) -> Any:
    """A method whose model is a file, found from the folder of the study."""
    if isinstance(method, str) and method.endswith(PARAMETERS):
        return str(folder / Path(method).expanduser())
    if isinstance(method, Mapping) and str(method.get("model", "")).endswith(PARAMETERS):
        return {**method, "model": str(folder / Path(str(method["model"])).expanduser())}
    return method


def pairs_of(settings: StudySettings) -> tuple[ListedPair, ...]:
    """The pairs of the study's list, or random ones of its images.

    Raises:
        FileNotFoundError: no such list.
        UsageError, ValueError: it cannot be understood, or makes too few pairs.
    """
    if settings.pairs is not None:
        return listed_pairs(Path(settings.pairs))
    return random_pairs(read_images(settings.images), settings.random_pairs, settings.seed)


def write_results(out: Path, results: StudyResults, lines: Lines, about: tuple[str, Sequence[Section]]) -> None:
    """study.html, study.csv, summary.csv and study.json, as far as the study has come."""
    command, sections = about
    write_text(out / REPORT, study_html(results, command=command, pictures=lines.pictures, more=sections))
    write_text(out / MEASUREMENTS, measurements_csv(results))
    write_text(out / SUMMARY, summary_csv(results))
    write_text(out / VALUES, json.dumps(plain_values(results, command), indent=1, ensure_ascii=False, allow_nan=False))


def _sweep_section(folder: Path) -> Section:
    return sweep_section(read_sweep(folder), folder.name)


def _values(results: StudyResults, out: Path) -> dict[str, Any]:
    means = {
        method: {name: s.mean for name in COLUMNS if (s := results.spread(method, name))} for method in results.methods
    }
    aims = [{"aim": f"{v.aim.figure} of {v.aim.method}", "reached": v.reached, "found": v.words} for v in results.aim_results()]
    failures = [{"pair": m.pair, "method": m.method, "error": m.error} for m in results.failures]
    return {"report": str(out / REPORT), "pairs": len(results.pairs), "methods": means, "aims": aims, "failures": failures}


def _text(results: StudyResults, out: Path) -> str:
    """Means of the methods, aims and failures in a few lines for people."""
    columns = [name for name in COLUMNS if any(results.spread(m, name) for m in results.methods)]
    judged = any(results.verdict_counts(m) for m in results.methods)
    rows = [["method", *(COLUMNS[name][0] for name in columns), "pairs", *(["/".join(LEVELS)] if judged else [])]]
    for method in results.methods:
        spreads = [results.spread(method, name) for name in columns]
        typical = [s and (name, s.typical(name)) for name, s in zip(columns, spreads, strict=True)]
        cells = ["" if known is None else f"{known[1]:.{digits_of(*known)}f}" for known in typical]
        verdicts = "/".join(map(str, results.verdict_counts(method).values()))
        rows.append([method, *cells, str(results.count(method, failed=False)), *([verdicts] if judged else [])])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    words = {True: "reached", False: "MISSED", None: "not known"}
    text += [f"{words[v.reached]}: {v.aim.figure} of {v.aim.method}: {v.words}" for v in results.aim_results()]
    text += [f"failed: {m.method} on {m.pair}: {m.error}" for m in results.failures if m.method != START][:10]
    return "\n".join([*text, f"Report: {out / REPORT}"])
