"""Configuration files: YAML or JSON, one mapping of names to values."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ENDINGS = (".yaml", ".yml", ".json")


def read_config(path: str | os.PathLike, files: Sequence[str] = ()) -> dict[str, Any]:
    """The mapping that a file holds.

    Args:
        path: ends in .yaml, .yml or .json.
        files: names of values that are paths, parts of a value with a dot; relative ones start at the folder of the file.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: another ending, not readable, or not a mapping.
        RuntimeError: YAML without the PyYAML package.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the path of the configuration.")
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{path} is no configuration: expected one of the endings {', '.join(ENDINGS)}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = json.loads(text) if path.suffix.lower() == ".json" else _parse_yaml(text)
    except (UnicodeDecodeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not a readable configuration ({reason}): repair that place.") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{path} must hold names with values, such as 'epochs: 100', got {type(values).__name__}.")
    for name in files:
        values = _from_folder(values, name.split("."), path.parent)
    return values


def _from_folder(values: dict[str, Any], place: list[str], folder: Path) -> dict[str, Any]:
    """The mapping with the path at a place, where there is one, taken from a folder."""
    value = values.get(place[0])
    if len(place) > 1:
        return values | {place[0]: _from_folder(value, place[1:], folder)} if isinstance(value, dict) else values
    return values | {place[0]: str(folder / Path(value).expanduser())} if isinstance(value, str) else values


def _parse_yaml(text: str) -> Any:
    """The value of a YAML text; numbers like 1e-4, which YAML 1.1 takes for words, are numbers.

    Raises:
        ValueError: it is not YAML.
        RuntimeError: the PyYAML package is missing.
    """
    try:
        import yaml
    except ImportError as error:
        raise RuntimeError(
            "YAML files need the PyYAML package: install it with pip install 'spatial-regularization[training]', or write "
            "the configuration as JSON."
        ) from error
    try:
        return _with_numbers(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _with_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_numbers(item) for item in value]
    if isinstance(value, str) and value[:1] in "+-.0123456789" and "e" in value.lower():
        try:
            return float(value)
        except ValueError:
            return value
    return value
