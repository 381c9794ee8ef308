"""Run `spatialreg train`: train a network on lists of images."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from ..training.checkpoints import LAST
from ..training.loop import train
from ..training.outcome import TrainingOutcome
from ..training.settings import TrainingSettings
from .console import Console, UsageError


def run(options: argparse.Namespace, console: Console, arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code.

    Args:
        options: of the command line.
        console: what is told goes there; only the leading process of several tells anything.
        arguments: the command line itself.
    """
    if options.settings:
        lines = [f"{name:<27} {text}" for name, text in settings_help().items()]
        console.result({"settings": settings_help()}, "\n".join(lines), only_here=True)
        return 0
    if options.config is None:
        raise UsageError("CONFIG is missing. See 'spatialreg train --help'.")
    settings = TrainingSettings.from_file(options.config, changes_of(options))
    if os.environ.get("RANK", "0") != "0":
        console = Console(quiet=True)
    try:
        outcome = train(settings, monitor=console.progress, resume=not options.fresh)
    except KeyboardInterrupt:
        console.step(
            f"Interrupted; the same command goes on from {os.path.join(settings.out, LAST)} if the first save was reached"
        )
        raise
    console.result(values_of(outcome), text_of(outcome))
    return 0


def changes_of(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that the options replace.

    Raises:
        UsageError: a --set without a name and a value.
    """
    changes: dict[str, Any] = {}
    for text in options.set:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"--set needs NAME=VALUE, such as --set epochs=100, got {text!r}.")
        changes[name.strip().replace("-", "_")] = _value(value)
    return changes | ({"out": options.out} if options.out else {})


def _value(text: str) -> Any:
    """A value as JSON writes it (3, 1e-4, true, null, [16, 16, 8]); anything else is a word."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def settings_help(cls: type = TrainingSettings, prefix: str = "") -> dict[str, str]:
    """Each setting with its help, range or choices, and default; parts of a setting after it, with a dot.

    Args:
        cls: the dataclass of settings.
        prefix: of the names.
    """
    found = {}
    for f in fields(cls):
        rules, unit = f.metadata, f" {f.metadata['unit']}" if f.metadata["unit"] else ""
        parts = [rules["help"]]
        if "choices" in rules:
            parts.append(" | ".join(rules["choices"]))
        if "range" in rules:
            parts.append(f"{rules['range'][0]:g} to {rules['range'][1]:g}{unit}")
        if f.default is not MISSING and f.default not in (None, ()):
            parts.append(f"default {json.dumps(f.default)}")
        found[prefix + f.name] = "; ".join(parts)
        if "parts" in rules:
            found |= settings_help(rules["parts"], f"{prefix}{f.name}.")
    return found


def values_of(outcome: TrainingOutcome) -> dict[str, Any]:
    """The outcome for programs."""
    return {
        "checkpoint": str(outcome.checkpoint),
        "best_score": outcome.best_score,
        "epochs": outcome.epochs,
        "history": list(outcome.history),
    }


def text_of(outcome: TrainingOutcome) -> str:
    """The outcome in a few lines for people."""
    last = outcome.history[-1]
    lines = [f"Trained {outcome.epochs} epochs in {last['seconds'] / 60:.1f} min, last energy {last['train_total']:.4f}."]
    if outcome.best_score is not None:
        best = max((row for row in outcome.history if row.get("score") is not None), key=lambda row: row["score"])
        names = ("dice", "tre_mm", "ndv_percent", "folding_percent", "sd_log_j", "energy")
        figures = ", ".join(f"{name} {best[name]:.4g}" for name in names if name in best)
        lines.append(f"Best of the validations in epoch {best['epoch']}: {figures}.")
    return "\n".join([*lines, f"Model: {outcome.checkpoint}"])
