"""Run `spatialreg apply`: carry an image, label map, points or mesh through a transform."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..io.apply import apply_transform_file
from ..io.atomic import followed
from ..io.claims import TakenError, claimed
from .console import Console, UsageError, silent_libraries


def run(options: argparse.Namespace, console: Console, arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code."""
    out = Path(options.out)
    with own_file(out, force=options.force):
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


@contextlib.contextmanager
def own_file(path: Path, *, force: bool) -> Iterator[None]:
    """The file belongs to this process inside the block; refused before any work where it may not be written.

    Raises:
        UsageError: it exists, or another process is writing it.
        FileNotFoundError: its folder does not exist.
    """
    place = followed(path)
    if not place.parent.is_dir():
        raise FileNotFoundError(f"{path} could not be written: the folder {place.parent} does not exist, create it first.")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(claimed(place))
        except TakenError as error:
            raise UsageError(str(error)) from error
        if place.exists() and not force:
            raise UsageError(f"{path} exists: choose another name, or allow to replace it (--force).")
        yield
