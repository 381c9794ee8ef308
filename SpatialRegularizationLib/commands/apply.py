"""spatialreg apply: carry a file through a transform."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..registration.apply import apply_transform_file
from .console import Console, UsageError, silent_libraries


def run(options: argparse.Namespace, console: Console, arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code."""
    out = Path(options.out)
    check_file(out, force=options.force)
    console.step("Applying the transform")
    with silent_libraries(debug=options.debug):
        applied = apply_transform_file(
            transform_file(options.transform),
            options.input,
            out,
            reference=options.reference,
            inverse=options.inverse,
            labels=options.labels,
        )
    values = {"kind": applied.kind, "path": str(applied.path), "residual_mm": applied.residual_mm}
    notes = [f"Note: {note}" for note in applied.notes]
    console.result(
        values | {"notes": list(applied.notes)}, "\n".join([f"Wrote the {applied.kind} {applied.path}", *notes])
    )
    return 0


def transform_file(path: str) -> Path:
    """The transform of a result folder, or the file itself."""
    return Path(path) / "transform.h5" if Path(path).is_dir() else Path(path)


def check_file(path: Path, *, force: bool) -> None:
    """Refuse to replace a file that was not meant to be.

    Raises:
        UsageError: it exists.
    """
    if path.exists() and not force:
        raise UsageError(f"{path} exists: choose another name, or allow to replace it (--force).")
