"""What is typed in the console becomes a request: nodes and choices by name, with the nearest name where one is unknown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from SpatialRegularizationLib.registration.presets import preset_settings
from SpatialRegularizationLib.registration.settings import setting_names

from .request import RegistrationRequest

REQUESTED = tuple(field.name for field in fields(RegistrationRequest))[2:]


def options_of(fixed: Any, moving: Any, options: Mapping[str, Any]) -> RegistrationRequest:
    """The request of `register(fixedNode, movingNode, **options)`.

    Args:
        fixed, moving: volume nodes.
        options: fields of a request, in Slicer's spelling (fixedMask, movingPointsNode) or Python's (fixed_mask), and settings.

    Raises:
        ValueError: a name that is neither, an unknown preset, or a setting out of its range.
    """
    chosen: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for name, value in options.items():
        plain = re.sub(r"([A-Z])", lambda letter: "_" + letter.group(1).lower(), name).removesuffix("_node")
        if plain in REQUESTED:
            chosen[plain] = value
        elif plain in setting_names():
            settings[plain] = value
        else:
            near = difflib.get_close_matches(plain, (*REQUESTED, *setting_names()), n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join((*REQUESTED, *setting_names()))}."
            raise ValueError(f"register takes no {name}: {hint}")
    settings = {**chosen.pop("settings", {}), **settings}
    preset = preset_settings(chosen.get("preset", "generic"))
    checked = {name: value for name, value in settings.items() if not str(value).startswith("cuda:")}
    type(preset).from_dict(preset.to_dict() | checked)
    return RegistrationRequest(fixed, moving, settings=settings, **chosen)
