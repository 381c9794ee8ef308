"""Run `spatialreg register`: register one pair, or all pairs of a table."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import Any

from ..registration.choices import chosen_device
from ..report.verdicts import figures_of, judgment_of
from .batch import FAILED, run_table
from .console import Console, UsageError
from .pair import Job, folder_of, job_from, perform


def run(options: argparse.Namespace, console: Console, arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code."""
    if not options.out:
        raise UsageError("A folder for the result is needed: --out DIR.")
    command = shlex.join(["spatialreg", *arguments])
    if options.batch:
        return run_table(options, console, command)
    job = job_from(options)
    with folder_of(job, force=options.force):
        chosen_device(job.settings.device)
        content = perform(job, console, command, force=options.force, debug=options.debug)
    console.result({"folder": str(job.out)} | content, _text(content, job))
    judgment = judgment_of(content)
    return FAILED if options.strict and judgment and judgment.level == "bad" else 0


def _text(content: dict[str, Any], job: Job) -> str:
    """The result in a few lines for people."""
    voxel = min(content["fixed"]["spacing_mm"])
    lines = [f"Registered in {content['seconds']:.1f} s on {content['device']}, {content['peak_memory_mb']:.0f} MB."]
    for figure in figures_of(content, voxel):
        if figure.name not in ("Time", "Peak memory"):
            before = f"{figure.before} -> " if figure.before else ""
            lines.append(f"  {figure.name:<34}{before}{figure.after}")
    if judgment := judgment_of(content):
        lines += [f"Verdict: {judgment.word.lower()}", *(f"  {reason}" for reason in judgment.reasons)]
    lines += [f"  Note: {note}" for note in content["notes"]]
    return "\n".join([*lines, f"Report: {job.out / 'report.html'}"])
