"""The terms that requests of the worker share: settings, starts, progress, and when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ..commands.console import SHORTEST_PAUSE
from ..geometry.transform import SpatialTransform
from ..io.transforms import read_transform
from ..registration.presets import preset_settings
from ..registration.progress import Progress
from ..registration.settings import RegistrationSettings, setting_names

Check = Callable[[], None]
"""Raises `Cancelled` when the request is no longer wanted."""
Tell = Callable[[dict[str, Any]], None]
"""Takes the progress of a request."""
WHAT = {
    "model": "the name or path of a model",
    "fixed": "the path of the fixed image",
    "moving": "the path of the moving image",
    "out": "where to write",
    "what": "the name or path of a model",
}


def needed(values: Mapping[str, Any], request: str, *names: str) -> None:
    """Refuse a request without these texts.

    Raises:
        ValueError: one is missing.
    """
    for name in names:
        if not isinstance(values.get(name), str):
            raise ValueError(f"{request} needs {name}: {WHAT[name]}.")


def settings_of(values: Mapping[str, Any]) -> RegistrationSettings:
    """The preset with the settings that were given.

    Raises:
        ValueError: unknown names, values out of range.
    """
    given = values.get("settings") or {}
    if not isinstance(given, dict):
        raise ValueError(f"settings is an object of settings ({', '.join(setting_names()[:3])}, ...), got {given!r:.60}.")
    base = preset_settings(str(values.get("preset") or "generic"))
    return RegistrationSettings.from_dict(base.to_dict() | given)


def initial_of(values: Mapping[str, Any]) -> SpatialTransform | None:
    """The transform to start from, where one was given."""
    return read_transform(values["initial"]) if values.get("initial") else None


def monitor_of(check: Check, tell: Tell) -> Callable[[Progress], None]:
    """Passes progress on, but not more often than people can read, and stops when nobody wants the result."""
    told = {"stage": "", "time": 0.0}

    def monitor(progress: Progress) -> None:
        check()
        now = time.monotonic()
        if progress.stage == told["stage"] and now - told["time"] < SHORTEST_PAUSE:
            return
        told.update(stage=progress.stage, time=now)
        tell({"stage": progress.stage, "fraction": progress.fraction, "seconds": progress.seconds})

    return monitor
