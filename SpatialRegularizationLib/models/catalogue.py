"""All systems by name, and how a model is described so that it can be built again.

    model = build_model({"system": "tm-spr", "size": "tiny", "image_shape": [48, 64, 48]})
    build_model(describe(model))                        the same, with every setting written out
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ..networks.transmorph_tvf import TransMorphTvfSettings
from ..networks.unet import ENLARGED, UNetSettings
from .base import RegistrationModel
from .description import from_plain, suggestion, to_plain

SYSTEMS: dict[str, tuple[str, str, str]] = {
    "tm-spr": ("tm_spr", "TmSpr", "TmSprSettings"),
    "conditional-tm-spr": ("conditional_tm_spr", "ConditionalTmSpr", "ConditionalTmSprSettings"),
    "transmorph-tvf": ("transmorph_tvf", "TransMorphTvfModel", "TransMorphTvfModelSettings"),
    "voxelmorph": ("voxelmorph", "VoxelMorph", "VoxelMorphSettings"),
    "hyper-tm-spr": ("hyper_tm_spr", "HyperTmSpr", "HyperTmSprSettings"),
    "hyper-transmorph": ("hyper_transmorph", "HyperTransMorph", "HyperTransMorphSettings"),
    "hypermorph": ("hypermorph", "HyperMorph", "HyperMorphSettings"),
}
"""System → its file in `models/`, its class, and the dataclass of its settings; loaded when first asked for."""

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
        if not isinstance(shape, list | tuple) or len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
            raise ValueError(f"image_shape must be three positive voxel counts, got {shape!r}.")
        if isinstance(settings, TransMorphTvfSettings) and "window" not in given:
            settings = settings.window_for(tuple(shape))
    return to_plain(settings)
