"""Registering one pair of files into its result folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from ..evaluation.summary import summary
from ..io.companions import read_companions
from ..io.result_folder import check_destination, claimed_folder
from ..io.results import write_result
from ..io.transforms import read_transform
from ..io.volumes import read_volume
from ..registration.choices import chosen_device
from ..registration.register import register
from .console import Console, UsageError, silent_libraries
from .job import Job


@contextlib.contextmanager
def folder_of(job: Job, *, force: bool) -> Iterator[None]:
    """The folder of the result belongs to this process inside the block; refused before any work where it may not be written.

    Raises:
        UsageError: it holds an earlier result or something else, or another process is writing there.
    """
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(claimed_folder(job.out))
            check_destination(job.out, overwrite=force)
            claim = stack.pop_all()
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(str(error)) from error
    with claim:
        yield


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
    model, condition = None, None
    if job.model is not None:
        console.step("Reading the model")
        model, condition = job.model.load(chosen_device(job.settings.device))
    console.step("Reading images")
    fixed, moving = read_volume(job.fixed), read_volume(job.moving)
    companions = read_companions(job.inputs, fixed, moving)
    initial = read_transform(job.inputs["initial"]) if "initial" in job.inputs else None
    registration = register(
        fixed, moving, job.settings, companions=companions, initial=initial, model=model, condition=condition,
        monitor=console.progress,
    )  # fmt: skip
    console.step("Writing the result")
    about = {"title": job.title, "job": job.identity()}
    with silent_libraries(debug=debug):
        write_result(job.out, registration, command, overwrite=force, companions=companions, about=about)
    return summary(registration, command) | about
