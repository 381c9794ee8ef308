"""Build a model from plain values (what JSON and YAML hold), and describe it in them; all systems by name.

    model = build_model({"system": "tm-spr", "size": "tiny", "image_shape": [48, 64, 48]})
    build_model(describe(model))                        the same, with every setting written out

Plain are nested dataclasses as mappings, enums by their names, tuples as lists.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from typing import Any

from ..declaration import checked_three, is_number, suggestion
from ..networks.transmorph_tvf import TransMorphTvfSettings
from ..networks.unet import ENLARGED, UNetSettings
from ..priors import PRIORS
from .base import RegistrationModel

SYSTEMS: dict[str, tuple[str, str, str]] = {
    "tm-spr": ("tm_spr", "TmSpr", "TmSprSettings"),
    "conditional-tm-spr": ("conditional_tm_spr", "ConditionalTmSpr", "ConditionalTmSprSettings"),
    "transmorph-tvf": ("uniform", "TransMorphTvfModel", "TransMorphTvfModelSettings"),
    "voxelmorph": ("uniform", "VoxelMorph", "VoxelMorphSettings"),
    "hyper-tm-spr": ("hyper_tm_spr", "HyperTmSpr", "HyperTmSprSettings"),
    "hyper-transmorph": ("hyper_uniform", "HyperTransMorph", "HyperTransMorphSettings"),
    "hypermorph": ("hyper_uniform", "HyperMorph", "HyperMorphSettings"),
}
"""System → its file in `models/`, its class, and the dataclass of its settings; loaded when first asked for."""

KINDS = {"transmorph-tvf": TransMorphTvfSettings, "unet": UNetSettings} | {prior.name: prior for prior in PRIORS}
"""Names of the dataclasses between which a setting chooses; given as its entry `kind`."""

SIZES: dict[str, dict[str, TransMorphTvfSettings | UNetSettings]] = {
    "transmorph-tvf": {
        "paper": TransMorphTvfSettings(),
        "small": TransMorphTvfSettings(channels=48, depths=(2, 2, 2), heads=(4, 4, 4), time_steps=5, drop_path=0.1),
        "tiny": TransMorphTvfSettings(
            channels=24, patch=2, depths=(2, 2, 2), heads=(2, 4, 4), window=(3, 4, 3), time_steps=4, drop_path=0.1
        ),
    },
    "unet": {
        "paper": ENLARGED,
        "small": UNetSettings(),
        "tiny": UNetSettings(encoder=(8, 16, 16, 16), decoder=(16, 16, 16), final=(8,)),
    },
}
"""Backbone kind → size → settings; windows are fitted to `image_shape`."""


def build_model(description: Mapping[str, Any]) -> RegistrationModel:
    """A model with fresh parameters.

    Args:
        description: "system", and the settings of that system (what is missing takes its default). Beside a full `backbone`
            one may give `size` ("paper", "small", "tiny"), `image_shape` (three voxel counts, for the windows), and in
            `backbone` only what differs.

    Raises:
        ValueError: an unknown system, size or setting (the nearest is suggested), or a value that does not fit.
    """
    entries = dict(description)
    if "system" not in entries:
        raise ValueError(f"A model description needs its system, {suggestion('', SYSTEMS)}")
    cls, settings_class = _classes(entries.pop("system"))
    size, shape = entries.pop("size", None), entries.pop("image_shape", None)
    if size is not None or shape is not None:
        given = entries.get("backbone") or {}
        if not isinstance(given, Mapping):
            raise ValueError(f"model.backbone must be a mapping of settings, got {given!r}.")
        default = settings_class().backbone if "kind" not in given else None
        entries["backbone"] = _sized(given, size, shape, default)
    return cls(from_plain(settings_class, entries, "model"))


def describe(model: RegistrationModel) -> dict[str, Any]:
    """Everything that `build_model` needs to make the same network; only strings, numbers, lists and dictionaries."""
    return json.loads(json.dumps({"system": model.system, **to_plain(model.settings)}))


def to_plain(value: Any) -> Any:
    """A settings dataclass (or a part of one) as dictionaries, lists, strings and numbers."""
    if is_dataclass(value):
        plain = {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
        kind = next((name for name, cls in KINDS.items() if type(value) is cls), None)
        return plain if kind is None else {"kind": kind, **plain}
    if isinstance(value, Enum):
        return value.name.lower()
    return [to_plain(item) for item in value] if isinstance(value, list | tuple) else value


def from_plain(cls: type, plain: Mapping[str, Any], where: str) -> Any:
    """A settings dataclass from plain values; entries that are missing take their defaults.

    Args:
        cls: the dataclass.
        plain: what `to_plain` gives, or a part of it.
        where: name of this part for messages.

    Raises:
        ValueError: an unknown entry (the nearest is suggested), or a value of another type or outside of its range.
    """
    if not isinstance(plain, Mapping):
        raise ValueError(f"{where} must be a mapping of settings, got {plain!r}.")
    entries = {name: value for name, value in plain.items() if name != "kind"}
    hints = typing.get_type_hints(cls)
    for name in entries:
        if name not in hints:
            raise ValueError(f"{where} has no setting {name!r}; {suggestion(name, hints)}")
    return cls(**{name: _value(hints[name], value, f"{where}.{name}") for name, value in entries.items()})


def _classes(system: Any) -> tuple[type[RegistrationModel], type]:
    if not isinstance(system, str) or system not in SYSTEMS:
        raise ValueError(f"Unknown system {system!r}; {suggestion(system, SYSTEMS)}")
    file, name, settings = SYSTEMS[system]
    module = import_module(f".{file}", __package__)
    return getattr(module, name), getattr(module, settings)


def _sized(given: Mapping[str, Any], size: Any, shape: Any, default: Any) -> dict[str, Any]:
    """The backbone's plain settings: those of the size, windows for the shape, then what was given."""
    kind = given.get("kind", "unet" if isinstance(default, UNetSettings) else "transmorph-tvf")
    if not isinstance(kind, str) or kind not in SIZES:
        raise ValueError(f"model.backbone has no kind {kind!r}; {suggestion(kind, SIZES)}")
    sizes = SIZES[kind]
    if size is not None and (not isinstance(size, str) or size not in sizes):
        raise ValueError(f"Unknown model size {size!r}; {suggestion(size, sizes)}")
    start = sizes["paper" if size is None else size]
    settings = from_plain(type(start), {**to_plain(start), **given}, "model.backbone")
    if shape is not None:
        shape = checked_three("image_shape", shape, int, "voxels")
        if isinstance(settings, TransMorphTvfSettings) and "window" not in given:
            settings = settings.window_for(shape)
    return to_plain(settings)


def _value(hint: Any, value: Any, where: str) -> Any:
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    options = [option for option in options if option is not type(None)]
    if is_dataclass(options[0]):
        return from_plain(_chosen(options, value, where), value, where)
    kind = options[0]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind, value, where)
    if typing.get_origin(kind) is tuple:
        return _tuple(typing.get_args(kind), value, where)
    return _scalar(kind, value, where)


def _chosen(options: list[type], value: Any, where: str) -> type:
    """The dataclass named by `kind`, where there is a choice."""
    kind = value.get("kind") if isinstance(value, Mapping) else None
    names = {name: cls for name, cls in KINDS.items() if cls in options}
    if kind is None or not names:
        return options[0]
    if not isinstance(kind, str) or kind not in names:
        raise ValueError(f"{where} has no kind {kind!r}; {suggestion(kind, names)}")
    return names[kind]


def _enum(kind: type[Enum], value: Any, where: str) -> Enum:
    names = {member.name.lower(): member for member in kind}
    key = str(value).lower().replace("-", "_")
    if key not in names:
        raise ValueError(f"{where} cannot be {value!r}; {suggestion(key, names)}")
    return names[key]


def _tuple(items: tuple, value: Any, where: str) -> tuple:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where} must be a list, got {value!r}.")
    return tuple(_value(items[0], item, where) for item in value)


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and is_number(value):
        return float(value)
    if kind is not float and isinstance(value, kind) and (kind is not int or is_number(value)):
        return value
    raise ValueError(f"{where} must be of type {kind.__name__}, got {value!r}.")
