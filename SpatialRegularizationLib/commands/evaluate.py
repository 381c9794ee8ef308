"""Run `spatialreg evaluate`: measure any transform, or compare several methods on many pairs."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..geometry.volume import Volume
from ..images.usable import check_companions, usable_pair
from ..io.atomic import write_text
from ..io.companions import read_companions
from ..io.transforms import read_transform
from ..io.volumes import read_volume
from ..measures.figures import measure
from ..measures.memory import peak_memory_mb
from ..report.summary import plain, versions
from ..report.verdicts import figures_of
from .apply import own_file, transform_file
from .console import Console, UsageError
from .pair import check_pairs
from .study import run_study_file

DEFAULT_WINDOW = 9
STUDY_OPTIONS = ("methods", "set", "fresh")


def run(options: argparse.Namespace, console: Console, arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code."""
    if options.study:
        return run_study_file(_of_a_study(options), console, arguments)
    stray = next((name for name in STUDY_OPTIONS if getattr(options, name)), None)
    if stray:
        raise UsageError(f"--{stray} belongs to a study: name its file, or leave it out.")
    for name in ("transform", "fixed", "moving"):
        if not getattr(options, name):
            raise UsageError(f"--{name} is needed: see 'spatialreg evaluate --help'.")
    inputs = {name: Path(path) for name in COMPANIONS if (path := getattr(options, name))}
    check_pairs(inputs)
    with own_file(Path(options.out), force=options.force) if options.out else contextlib.nullcontext():
        content, fixed = _measured(options, inputs, console)
        if options.out:
            write_text(options.out, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
    console.result(content, _text(content, fixed), only_here=not options.out)
    return 0


def _measured(options: argparse.Namespace, inputs: dict[str, Path], console: Console) -> tuple[dict[str, Any], Volume]:
    """The figures, and the fixed image."""
    start = time.monotonic()
    console.step("Reading")
    transform = read_transform(transform_file(options.transform))
    fixed, moving = read_volume(options.fixed), read_volume(options.moving)
    companions = read_companions(inputs, fixed, moving)
    check_companions(companions, fixed.grid, moving.grid)
    usable = usable_pair(fixed, moving, companions)
    console.step("Measuring")
    companions = replace(usable.companions, notes=(*usable.notes, *companions.notes))
    content = measure(transform, usable.fixed, usable.moving, companions, window=options.lncc_window or DEFAULT_WINDOW)
    content |= {"seconds": time.monotonic() - start, "peak_memory_mb": peak_memory_mb(torch.device("cpu"))}
    return plain(content | {"transform": str(options.transform), "versions": versions()}), fixed


COMPANIONS = ("fixed_mask", "fixed_labels", "moving_labels", "fixed_points", "moving_points")


def _of_a_study(options: argparse.Namespace) -> argparse.Namespace:
    """The options of a study, when there are no others."""
    stray = next((n for n in ("transform", "fixed", "moving", *COMPANIONS, "lncc_window", "force") if getattr(options, n)), None)
    if stray:
        raise UsageError(f"--{stray.replace('_', '-')} belongs to a single transform, and a study names its files: leave it out.")
    return options


def _text(content: dict[str, Any], fixed: Volume) -> str:
    lines = []
    for figure in figures_of(content, min(fixed.grid.spacing)):
        if figure.name not in ("Time", "Peak memory"):
            lines.append(f"{figure.name:<34}{figure.before + ' -> ' if figure.before else ''}{figure.after}")
    return "\n".join([*lines, f"Regularity over: {content['mask']}, border: {content['boundary']}.", *content["notes"]])
