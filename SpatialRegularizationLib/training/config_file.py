"""Read configuration files: YAML or JSON, one mapping of names to values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..io.text import DEEPEST, check_depth, parse_json, read_text

MOST_BYTES = 1_000_000
"""Of a configuration in YAML, which is read slowly."""
MOST_VALUES = 100_000
"""Of a configuration, those that stand for others counted as often as they do."""
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
        text = read_text(path)
        values = parse_json(text) if path.suffix.lower() == ".json" else _parse_yaml(text)
    except ValueError as error:
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
    """The value of a YAML text, made of what JSON knows: dates are words, and numbers like 1e-4, words in YAML 1.1, numbers.

    Raises:
        ValueError: it is not YAML, too large or too deep, or holds something else.
        RuntimeError: the PyYAML package is missing.
    """
    try:
        import yaml
    except ImportError as error:
        raise RuntimeError(
            "YAML files need the PyYAML package: install it with pip install 'spatial-regularization[training]', or write "
            "the configuration as JSON."
        ) from error
    if len(text) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES / 1e6:g} MB")
    kinds = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map", "timestamp", "merge")}
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _check_nodes(node, kinds)
        return _with_numbers(loader.construct_document(node)) if node is not None else None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from error
    except (LookupError, AttributeError, TypeError, OverflowError) as error:
        raise ValueError(f"a value is not of the kind that its tag names ({type(error).__name__}: {error})") from error


def _check_nodes(root: Any, kinds: set[str]) -> None:
    """Refuses YAML nodes that hold themselves, are too many or too deep, or of other kinds; dates become words."""
    counts: dict[int, int] = {}
    open_: set[int] = set()
    pending = [(root, False)]
    while pending:
        node, done = pending.pop()
        inner = [] if node is None or isinstance(node.value, str) else node.value
        inner = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
        if done:
            open_.discard(id(node))
            counts[id(node)] = 1 + sum(counts[id(part)] for part in inner)
            if counts[id(node)] > MOST_VALUES:
                raise ValueError(f"it holds more than {MOST_VALUES} values, each alias (*name) counted in full")
        elif id(node) in open_:
            raise ValueError("a value holds itself: an alias (*name) stands inside of what it names")
        elif node is not None and id(node) not in counts:
            if node.tag not in kinds:
                raise ValueError(f"line {node.start_mark.line + 1} holds a {node.tag}: write a text or a number")
            if node.tag.endswith(":timestamp"):
                node.tag = "tag:yaml.org,2002:str"
            open_.add(id(node))
            pending += [(node, True), *((part, False) for part in inner)]


def _with_numbers(value: Any) -> Any:
    check_depth(value)
    return _numbered(value)


def _numbered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbered(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_numbered(item) for item in value]
    if isinstance(value, str) and value[:1] in "+-.0123456789" and "e" in value.lower():
        try:
            return float(value)
        except ValueError:
            return value
    return value
