"""Parse requests of the worker, one JSON object per line, and check what they share; see protocol.md."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..commands.console import SHORTEST_PAUSE
from ..declaration import refuse_unknown
from ..geometry.transform import SpatialTransform
from ..io.transforms import read_transform
from ..registration.presets import preset_settings
from ..registration.progress import Progress
from ..registration.settings import RegistrationSettings, setting_names

PAIR = ("fixed", "moving", "initial", "preset", "settings", "folder")
MASKS = ("fixed_mask", "moving_mask")
MARKS = ("fixed_labels", "moving_labels", "fixed_points", "moving_points")
KEYS: dict[str, tuple[str, ...]] = {
    "load": ("model", *PAIR),
    "preview": (*PAIR, *MASKS),
    "predict": (),
    "save": ("out", "condition", "refine_steps", "force", *MARKS),
    "register": ("model", "condition", *PAIR, *MASKS, *MARKS, "out", "force", "title"),
    "report": ("out",),
    "models": ("action", "what", "choices"),
    "cancel": ("id",),
    "ping": (),
    "memory": (),
    "quit": (),
}
"""Requests and what each takes; `predict` takes the hyperparameters of the model."""
LONGEST = 1 << 20
"""Bytes of a line."""
EXAMPLE = '{"predict": {"alpha_prime": 0.1}, "id": 1}'


class MessageError(ValueError):
    """A line that is no request. `id` is that of the request where it could be read."""

    def __init__(self, message: str, id: Any = None) -> None:
        super().__init__(message)
        self.id = id


@dataclass(frozen=True)
class Request:
    """One thing asked for.

    Args:
        kind: a key of `KEYS`.
        values: what it takes.
        id: given back in every answer to it: a string, a number or None.
    """

    kind: str
    values: Mapping[str, Any]
    id: str | int | float | None = None


def parse_request(line: bytes) -> Request:
    """The request of a line.

    Raises:
        MessageError: no JSON, no object, no or several requests, an unknown key; one sentence.
    """
    if len(line) > LONGEST:
        raise MessageError(f"A message may have {LONGEST} bytes, got more; give paths of files instead of their content.")
    try:
        content = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise MessageError(
            f"The message {_beginning(line)} is not JSON; send one object per line, such as {EXAMPLE}."
        ) from None
    if not isinstance(content, dict):
        raise MessageError(f"The message {_beginning(line)} is no JSON object; send one per line, such as {EXAMPLE}.")
    return _request(content)


def _request(content: dict[str, Any]) -> Request:
    id = content.get("id")
    if isinstance(id, (bool, list, dict)) or (isinstance(id, float) and not math.isfinite(id)):
        raise MessageError(f"The id of a message is a string or a number, got {id!r:.60}; leave it out or choose another.")
    kinds = [key for key in content if key != "id"]
    if len(kinds) != 1:
        problem = f"names {len(kinds)} requests" if kinds else "names no request"
        raise MessageError(f"The message {problem}; send exactly one of {', '.join(KEYS)}, such as {EXAMPLE}.", id)
    kind = kinds[0]
    try:
        refuse_unknown(kinds, tuple(KEYS), "request")
        values = {} if content[kind] is None else content[kind]
        if not isinstance(values, dict):
            raise MessageError(f"What {kind} takes is an object, got {values!r:.60}; write {{}} where there is nothing to say.")
        if kind == "predict":
            check_condition(values)
        else:
            refuse_unknown(values, KEYS[kind] or ("nothing",), f"entry of {kind}")
    except ValueError as error:
        raise MessageError(str(error), id) from None
    return Request(kind, values, id)


def check_condition(values: Any) -> dict[str, float]:
    """Named numbers, as a model's hyperparameters are.

    Raises:
        ValueError: something else.
    """
    if not isinstance(values, dict):
        raise ValueError(f"A condition is an object of named numbers, got {values!r:.60}; write {{\"alpha_prime\": 0.1}}.")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{name} must be a number, got {value!r:.60}; hyperparameters of the model are numbers.")
    return dict(values)


def _beginning(line: bytes) -> str:
    text = line.decode("utf-8", errors="replace").strip()
    return repr(text if len(text) <= 40 else text[:40] + "…")


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
    return preset_settings(str(values.get("preset") or "auto")).changed(**given)


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
