"""Import, fetch and remove models on request of the worker's client, and keep loaded ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ..commands.console import SHORTEST_PAUSE
from ..declaration import refuse_unknown, suggestion
from ..zoo.fetch import fetch_model
from ..zoo.importing import ImportChoices, import_file, remove_model
from ..zoo.manifest import entry_of, read_manifest
from .protocol import Check, Tell, needed

CHOICES = tuple(field.name for field in fields(ImportChoices))


def manage_models(values: Mapping[str, Any], check: Check, tell: Tell) -> dict[str, Any]:
    """Import a file, fetch a model of the manifest, or remove one.

    Args:
        values: `action`, `what`, and `choices` (of an import, see `ImportChoices`; `replace` and `manifest` of a fetch).
        check: called while bytes arrive.
        tell: told how many have arrived.

    Raises:
        ValueError, OSError: as importing, fetching and removing do.
    """
    actions = {"import": _import, "fetch": _fetch, "remove": _remove}
    if values.get("action") not in actions:
        action = values.get("action")
        raise ValueError(f"models has no action {action!r:.60}; {suggestion(action, actions)}")
    needed(values, "models", "what")
    choices = values.get("choices") or {}
    if not isinstance(choices, dict):
        raise ValueError(f"choices is an object such as {{\"replace\": true}}, got {choices!r:.60}.")
    return actions[values["action"]](values["what"], choices, _teller(values["what"], check, tell))


def _import(what: str, choices: dict[str, Any], tell: Callable[[int, int], None]) -> dict[str, Any]:
    refuse_unknown(choices, CHOICES, "choice of an import")
    if isinstance(choices.get("spacing_mm"), list):
        choices = choices | {"spacing_mm": tuple(choices["spacing_mm"])}
    tell(0, 1)
    return import_file(what, ImportChoices(**choices)).to_dict()


def _fetch(what: str, choices: dict[str, Any], tell: Callable[[int, int], None]) -> dict[str, Any]:
    refuse_unknown(choices, ("replace", "manifest"), "choice of a fetch")
    manifest = read_manifest(choices.get("manifest"))
    size = entry_of(what, manifest).size_bytes
    replaced = choices.get("replace", False) is True
    return fetch_model(what, manifest, replace_existing=replaced, tell=lambda received: tell(received, size)).to_dict()


def _remove(what: str, choices: dict[str, Any], tell: Callable[[int, int], None]) -> dict[str, Any]:
    refuse_unknown(choices, ("nothing",), "choice of a removal")
    return {"removed": what, "path": str(remove_model(what))}


def _teller(what: str, check: Check, tell: Tell) -> Callable[[int, int], None]:
    start, told = time.monotonic(), [-SHORTEST_PAUSE]

    def arrived(received: int, size: int) -> None:
        check()
        seconds = time.monotonic() - start
        if seconds - told[0] >= SHORTEST_PAUSE:
            told[0] = seconds
            tell({"stage": f"getting {what}", "fraction": min(1.0, received / max(1, size)), "seconds": seconds})

    return arrived
