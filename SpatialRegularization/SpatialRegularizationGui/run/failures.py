"""Turn errors into sentences for the panel with what may help, and a request into one that may work after a failure."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from SpatialRegularizationLib.registration.settings import RegistrationSettings

from ..inputs.request import RegistrationRequest
from .events import Failure


def failure_of(event: Mapping[str, Any], device: str) -> Failure:
    """Of an error of the worker."""
    kind, sentence = event.get("kind", "internal"), str(event.get("message", ""))
    on_gpu = not device.startswith("cpu")
    remedies = {"memory": ("half-resolution", *(("cpu",) if on_gpu else ())), "install": ("install",)}.get(kind, ())
    if kind == "crash" and on_gpu:
        remedies = ("cpu",)
    if kind == "memory" and sentence.startswith("Not enough memory"):
        other = "compute on the CPU" if on_gpu else "close other programs"
        sentence = f"There is not enough memory for this pair: work at half resolution, or {other}."
    return Failure(sentence, str(event.get("details", "")), remedies)


def failure_of_error(error: Exception) -> Failure:
    """Of something that went wrong in this process."""
    details = "".join(traceback.format_exception(error))
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        words = "There is not enough memory beside the scene: every node is as it was; close other volumes or programs, or work"
        return Failure(f"{words} at half resolution.", details, ("half-resolution",))
    if isinstance(error, OSError) and error.errno is not None:  # of the system: a number and three words
        about = f" ({error.filename})" if error.filename else ""
        reason = (error.strerror or said).lower()
        return Failure(
            f"A file could not be written or read{about}: {reason}. Every node is as it was; make room or give access there, "
            "then try again.",
            details,
        )
    if isinstance(error, (ValueError, OSError)) and said:
        return Failure(said, details)
    if type(error) is RuntimeError and said.endswith("."):  # a sentence of ours
        return Failure(said, details)
    words = f"{type(error).__name__}: {said}"
    return Failure(f"The result could not be shown ({words:.200}): every node is as it was; the log says more.", details)


def with_remedy(
    request: RegistrationRequest, remedy: str, shape: Sequence[int], spacing_mm: Sequence[float]
) -> RegistrationRequest:
    """The same request as it may work after a failure.

    Args:
        request: that failed.
        remedy: "half-resolution" or "cpu".
        shape, spacing_mm: of the fixed volume.

    Raises:
        ValueError: another remedy.
    """
    if remedy == "half-resolution":
        volume = math.prod(n * mm for n, mm in zip(shape, spacing_mm, strict=True))
        asked = request.settings.get("working_spacing_mm")
        voxels = volume / asked**3 if asked else math.prod(shape)
        most = request.settings.get("max_voxels") or RegistrationSettings().max_voxels
        present = (volume / min(voxels, most)) ** (1 / 3)  # of the lattice that was too large
        return replace(request, settings={**request.settings, "working_spacing_mm": round(2 * present, 3)})
    if remedy == "cpu":
        return replace(request, settings={**request.settings, "device": "cpu"})
    raise ValueError(f"A remedy is half-resolution or cpu, got {remedy!r}: choose one of these.")
