"""Translate a request into the worker's `register` message, and its answer into provenance that goes with the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..inputs.request import RegistrationRequest

FIGURES = (
    "seconds", "start_seconds", "peak_memory_mb", "device", "similarity_before", "similarity_after", "dice_before", "dice_after",
    "tre_before_mm", "tre_after_mm", "folding_percent", "folding_one_sided_percent", "smoothed_percent", "ndv_percent",
    "sd_log_j", "inverse_residual_p99_mm", "inverse_residual_mm", "hd95_before_mm", "hd95_after_mm",
    "affine_part", "verdict",
)  # fmt: skip
"""Of the worker's answer, what `Outcome.figures` holds."""


def device_of(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """(settings, environment of the worker): a numbered GPU, "cuda:1", is the only one that the worker then sees."""
    device = str(settings.get("device", "auto"))
    if not device.startswith("cuda:"):
        return dict(settings), {}
    return {**settings, "device": "cuda"}, {"CUDA_VISIBLE_DEVICES": device.split(":")[1]}


def message_of(
    request: RegistrationRequest, files: Mapping[str, Path], folder: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """(what the worker's `register` takes, its environment)."""
    settings, environment = device_of(request.settings)
    values: dict[str, Any] = {name: str(path) for name, path in files.items()}
    values |= {"preset": request.preset, "settings": settings, "folder": str(folder / "arrays")}
    values["title"] = f"{request.moving.GetName()} to {request.fixed.GetName()}"
    if request.model:
        values |= {"model": request.model, "condition": dict(request.condition)}
    return values, environment


def facts_of(request: RegistrationRequest, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance that goes with the nodes."""
    number = str(request.settings.get("device", "")).partition("cuda:")[2]
    return {
        "Model": (answer.get("model") or {}).get("name", ""),
        "Condition": (answer.get("model") or {}).get("condition", {}),
        "Preset": request.preset,
        "ChosenPreset": answer["chosen_preset"] or "",
        "Settings": answer["settings"],
        "Device": f"cuda:{number}" if number else str(answer["device"]),
        "Seconds": f"{answer['seconds']:.1f}",
        "Version": answer["versions"]["SpatialRegularizationLib"],
    }
