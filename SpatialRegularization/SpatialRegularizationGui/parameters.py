"""Declare what the scene remembers of the panel: nodes, model and settings, with the ranges and defaults of their declarations.

In the scene: inputs, outputs, λ, model and settings. In the application's settings (`inputs/model_section.py`): the device, since
scenes travel between machines. In neither: progress, the device really used, what is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import Field, fields, replace
from typing import Annotated, Any, Optional, Union

from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTransformNode,
)
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper

from SpatialRegularizationLib.declaration import number
from SpatialRegularizationLib.registration.presets import PRESETS, preset_settings
from SpatialRegularizationLib.registration.settings import RULES, RegistrationSettings

WITHOUT = ("device", "refine_steps", "automatic", "kept")
"""Settings without a parameter: the application remembers the first, a button asks for the second, the preset has the others."""
SETTINGS: dict[str, Field] = {f.name: f for f in fields(RegistrationSettings) if f.name not in WITHOUT}
OF_MODELS: dict[str, Field] = {
    "eta": number(0.45, 0.0, 100.0, "", "strength of the prior of this model; larger keeps lambda more uniform", symbol="η"),
    "lambda": number(0.5, 0.0, 1.0, "", "share of the regularization against the likeness", symbol="λ"),
}
"""Hyperparameters that only models have, declared like settings."""
DECLARED = SETTINGS | OF_MODELS
LIVE = tuple(name for name in SETTINGS if RULES[name].get("live"))
"""The settings that have a slider in the section Regularization."""
AUTOMATIC = tuple(name for name, f in SETTINGS.items() if f.default is None)
"""Settings that may be left to the program; their control holds 0 then."""


NAMED_OTHERWISE = {
    "fixed": "fixedVolume", "moving": "movingVolume", "initial": "initialTransform", "levels": "iterations",
    "lambda": "uniformLambda",
}  # fmt: skip


def parameter_of(name: str) -> str:
    """The parameter of a setting or of a field of a request: `lambdaMax` of lambda_max; scenes hold these names."""
    return NAMED_OTHERWISE.get(name) or re.sub(r"_([a-z])", lambda match: match[1].upper(), name.removesuffix("_mm"))


PARAMETER_OF: dict[str, str] = {name: parameter_of(name) for name in DECLARED}
"""Setting, or hyperparameter of a model → its parameter."""


def _annotation(declared: Field) -> Any:
    """The type of a parameter, with range or choices and default; decimals and steps are those of the control."""
    rules, default = declared.metadata, declared.default
    if "choices" in rules:
        return Annotated[str, Choice(list(rules["choices"])), Default(default)]
    if "range" not in rules:
        return str
    kind, (low, high) = rules["kind"], rules["range"]
    if default is None:
        low = default = 0
    return Annotated[kind, WithinRange(kind(low), kind(high)), Default(kind(default))]


def _with_declared(kind: type) -> type:
    """Adds the parameters of settings and of models' hyperparameters."""
    kind.__annotations__ |= {PARAMETER_OF[name]: _annotation(declared) for name, declared in DECLARED.items()}
    return kind


# Optional and Union in the old form: Slicer's wrapper does not take `A | None` for nodes.
_Mask = Union[vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, None]  # noqa: UP007
_Labels = Union[vtkMRMLLabelMapVolumeNode, vtkMRMLSegmentationNode, None]  # noqa: UP007
_Points = Optional[vtkMRMLMarkupsFiducialNode]  # noqa: UP045
_Transform = Optional[vtkMRMLTransformNode]  # noqa: UP045
_Volume = Optional[vtkMRMLScalarVolumeNode]  # noqa: UP045


@parameterNodeWrapper
@_with_declared
class PanelParameters:
    """One parameter for each control of the panel; `_with_declared` adds those of settings, such as `lambdaMax`.

    Attributes:
        asked: names of the settings that were changed since the preset was chosen, where the pair decides all others (auto).
    """

    fixedVolume: _Volume
    movingVolume: _Volume
    fixedMask: _Mask
    movingMask: _Mask
    fixedLabels: _Labels
    movingLabels: _Labels
    fixedPoints: _Points
    movingPoints: _Points
    initialTransform: _Transform

    model: str
    preset: Annotated[str, Choice(list(PRESETS)), Default("auto")]
    asked: str
    updateLive: bool
    refineSteps: Annotated[int, WithinRange(1, RULES["refine_steps"]["range"][1]), Default(30)]

    outputTransform: _Transform
    outputVolume: _Volume
    outputLambda: _Volume
    outputJacobian: _Volume
    outputMagnitude: _Volume
    wantVolume: Annotated[bool, Default(True)]
    wantLambda: Annotated[bool, Default(True)]
    wantJacobian: Annotated[bool, Default(True)]
    wantMagnitude: bool
    composite: Annotated[bool, Default(True)]

    applyTransform: _Transform
    applyReference: _Volume
    applyInverse: bool
    applyHarden: bool


def value_of(settings: RegistrationSettings, name: str) -> Any:
    """What the parameter of a setting holds for it."""
    value = getattr(settings, name)
    return "" if name == "levels" else RULES[name]["kind"](0) if value is None else value


def write_settings(parameters: PanelParameters, settings: RegistrationSettings, names: Iterable[str]) -> None:
    """These settings into the parameters."""
    for name in names:
        setattr(parameters, PARAMETER_OF[name], value_of(settings, name))


def remember_asked(parameters: PanelParameters, *, forget: Iterable[str] = ()) -> None:
    """Where the pair decides the settings, those that were changed count from then on, also back at the value they had."""
    base, asked = preset_settings(parameters.preset), set()
    if base.automatic == "on":
        asked = {n for n in SETTINGS if _rounded(getattr(parameters, PARAMETER_OF[n])) != value_of(base, n)}
        asked |= {*parameters.asked.split()} - {*forget, *(() if parameters.iterations.strip() else ("levels",))}
    text = " ".join(sorted(asked))
    if parameters.asked != text:
        parameters.asked = text


def settings_of(parameters: PanelParameters) -> dict[str, Any]:
    """The settings that differ from the preset, or were changed where the pair decides it.

    Raises:
        ValueError: a value that cannot be, or the wrong number of steps; one sentence.
    """
    base = preset_settings(parameters.preset)
    values: dict[str, Any] = {}
    for name in SETTINGS:
        value = getattr(parameters, PARAMETER_OF[name])
        if name == "levels":
            values[name] = _levels(base, value)
        else:
            values[name] = None if name in AUTOMATIC and value == 0 else _rounded(value)
    checked = replace(base, **values)
    asked = parameters.asked.split()
    return {n: getattr(checked, n) for n in values if n in asked or getattr(checked, n) != getattr(base, n)}


def _levels(base: RegistrationSettings, text: str) -> Any:
    """The levels of the preset with the steps of the text; "" leaves them."""
    if not text.strip():
        return base.levels
    steps = re.split(r"[\s,;]+", text.strip())
    if len(steps) != len(base.levels) or not all(step.isdigit() for step in steps):
        raise ValueError(
            f"Steps per level must be {len(base.levels)} whole numbers for this preset, coarse to fine, got {text!r}; write for "
            f"example {' '.join(str(level[2]) for level in base.levels)}, or nothing."
        )
    return tuple((image, velocity, int(n)) for (image, velocity, _), n in zip(base.levels, steps, strict=True))


def _rounded(value: Any) -> Any:
    """Spin boxes give 0.30000000000000004 for 0.3."""
    return float(f"{value:.10g}") if isinstance(value, float) else value
