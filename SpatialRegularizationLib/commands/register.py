"""spatialreg register: one pair into one result folder, or a table of pairs."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import Any

import torch

from ..evaluation.summary import summary
from ..evaluation.verdicts import figures_of
from ..geometry.volume import Volume
from ..io.points import read_points
from ..io.results import check_destination, write_result
from ..io.transforms import read_transform
from ..io.volumes import read_volume
from ..registration.register import register
from ..registration.result import Companions
from .console import Console, UsageError, silent_libraries
from .job import Job, job_from
from .options import INPUTS


def run(options: argparse.Namespace, console: Console, arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code."""
    if not options.out:
        raise UsageError("A folder for the result is needed: --out DIR.")
    command = shlex.join(["spatialreg", *arguments])
    if options.batch:
        from .batch import run_table

        return run_table(options, console, command)
    job = job_from(options)
    check_folder(job, force=options.force)
    check_device(job.settings.device)
    content = perform(job, console, command, force=options.force, debug=options.debug)
    console.result({"folder": str(job.out)} | content, _text(content, job))
    return 0


def check_folder(job: Job, *, force: bool) -> None:
    """Refuse a folder that may not be written to, before any work.

    Raises:
        UsageError: it holds an earlier result, or something else.
    """
    try:
        check_destination(job.out, overwrite=force)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(str(error)) from error


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        RuntimeError: no such device, and what to do.
    """
    present = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if device in present and not present[device]():
        name = {"cuda": "CUDA device", "mps": "Apple GPU (MPS)"}[device]
        raise RuntimeError(
            f"--device {device} was asked for, but PyTorch finds no {name} here: use --device cpu or auto, or install "
            "a PyTorch build and a driver for it."
        )


def perform(job: Job, console: Console, command: str, *, force: bool, debug: bool) -> dict[str, Any]:
    """Read, register and write one pair; returns the content of its report.json."""
    console.step("Reading images")
    fixed, moving = read_volume(job.fixed), read_volume(job.moving)
    companions = _companions(job, fixed, moving)
    initial = read_transform(job.inputs["initial"]) if "initial" in job.inputs else None
    registration = register(
        fixed, moving, job.settings, companions=companions, initial=initial, monitor=console.progress
    )
    console.step("Writing the result")
    about = {"title": job.title, "job": job.identity()}
    with silent_libraries(debug=debug):
        write_result(job.out, registration, command, overwrite=force, companions=companions, about=about)
    return summary(registration, command) | about


def _companions(job: Job, fixed: Volume, moving: Volume) -> Companions:
    found = {}
    for name in INPUTS:
        if name not in job.inputs:
            continue
        if name.endswith("points"):
            grid = fixed.grid if name.startswith("fixed") else moving.grid
            found[name] = read_points(job.inputs[name], grid=grid).positions
        else:
            found[name] = read_volume(job.inputs[name], labels=name.endswith("labels"))
    return Companions(**found)


def _text(content: dict[str, Any], job: Job) -> str:
    """The result in a few lines for people."""
    voxel = min(content["fixed"]["spacing_mm"])
    lines = [f"Registered in {content['seconds']:.1f} s on {content['device']}, {content['peak_memory_mb']:.0f} MB."]
    for figure in figures_of(content, voxel):
        if figure.name not in ("Time", "Peak memory"):
            before = f"{figure.before} -> " if figure.before else ""
            lines.append(f"  {figure.name:<34}{before}{figure.after}")
    lines += [f"  Note: {note}" for note in content["notes"]]
    return "\n".join([*lines, f"Report: {job.out / 'report.html'}"])
