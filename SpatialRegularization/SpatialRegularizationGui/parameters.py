"""What the scene remembers of the panel: nodes, model, settings. Ranges and defaults are those of `RegistrationSettings`.

In the scene: inputs, outputs, λ, model and settings. In the application's settings (`preferences.py`): the device, since scenes
travel between machines. In neither: progress, the device really used, what is installed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, Optional, Union

from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTransformNode,
)
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper

from SpatialRegularizationLib.registration.presets import PRESETS, preset_settings
from SpatialRegularizationLib.registration.settings import RegistrationSettings

RULES: dict[str, Mapping[str, Any]] = {f.name: f.metadata for f in fields(RegistrationSettings)}
"""Setting → help, unit, range, choices."""
AUTOMATIC = {"working_spacing_mm": 0.0, "threads": 0}
"""Settings that may be left to the program, and what their control holds then."""
CONDITIONS = {"lambda_max": "lambdaMax", "alpha_prime": "alphaPrime", "eta": "eta", "lambda": "uniformLambda"}
"""Hyperparameter of a model → its parameter here."""
PREFERENCES = ("device",)
"""Settings that are no parameters: the application remembers them."""
_DEFAULTS = RegistrationSettings()


def _low(setting: str) -> float:
    return min(AUTOMATIC.get(setting, RULES[setting]["range"][0]), RULES[setting]["range"][0])


def _number(setting: str) -> Any:
    """A bounded number with the range and default of a setting; decimals and steps are those of the form."""
    value = getattr(_DEFAULTS, setting)
    default = Default(float(AUTOMATIC[setting] if value is None else value))
    span = WithinRange(float(_low(setting)), float(RULES[setting]["range"][1]))
    return Annotated[float, span, default]


def _whole(setting: str) -> Any:
    value = getattr(_DEFAULTS, setting)
    default = Default(int(AUTOMATIC[setting] if value is None else value))
    return Annotated[int, WithinRange(int(_low(setting)), int(RULES[setting]["range"][1])), default]


def _word(setting: str) -> Any:
    return Annotated[str, Choice(list(RULES[setting]["choices"])), Default(getattr(_DEFAULTS, setting))]


# Optional and Union in the old form: Slicer's wrapper does not take `A | None` for nodes.
_Mask = Union[vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, None]  # noqa: UP007
_Labels = Union[vtkMRMLLabelMapVolumeNode, vtkMRMLSegmentationNode, None]  # noqa: UP007
_Points = Optional[vtkMRMLMarkupsFiducialNode]  # noqa: UP045
_Transform = Optional[vtkMRMLTransformNode]  # noqa: UP045
_Volume = Optional[vtkMRMLScalarVolumeNode]  # noqa: UP045


@parameterNodeWrapper
class PanelParameters:
    """One parameter for each control of the panel; units and meaning as in `RegistrationSettings`."""

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
    preset: Annotated[str, Choice(list(PRESETS)), Default("generic")]

    prior: _word("prior")
    lambdaMax: _number("lambda_max")
    alphaPrime: _number("alpha_prime")
    lambdaMean: _number("lambda_mean")
    sigmaPrime: _number("sigma_prime")
    eta: Annotated[float, WithinRange(0.0, 100.0), Default(0.45)]
    uniformLambda: Annotated[float, WithinRange(0.0, 1.0), Default(0.5)]
    updateLive: bool
    refineSteps: Annotated[int, WithinRange(1, int(RULES["refine_steps"]["range"][1])), Default(30)]

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

    similarity: _word("similarity")
    lnccWindow: _whole("lncc_window")
    affine: _word("affine")
    globalSearch: _word("global_search")
    iterations: str
    lambdaFloor: _number("lambda_floor")
    lambdaPooling: _whole("lambda_pooling")
    learningRate: _number("learning_rate")
    tolerance: _number("tolerance")
    workingSpacing: _number("working_spacing_mm")
    maxVoxels: _whole("max_voxels")
    intensity: _word("intensity")
    seed: _whole("seed")
    threads: _whole("threads")
    precision: _word("precision")
    networkPrecision: _word("network_precision")


def _camel(setting: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), setting.removesuffix("_mm"))


PARAMETER_OF: dict[str, str] = {
    name: {"levels": "iterations"}.get(name, _camel(name)) for name in RULES if name not in (*PREFERENCES, "refine_steps")
}
"""Setting → parameter. `refine_steps` is what the refine button asks for; preferences are kept elsewhere."""


def write_preset(parameters: PanelParameters, name: str) -> None:
    """Every setting as the preset has it.

    Raises:
        ValueError: no such preset.
    """
    settings = preset_settings(name)
    for setting, parameter in PARAMETER_OF.items():
        value = "" if setting == "levels" else getattr(settings, setting)
        setattr(parameters, parameter, AUTOMATIC[setting] if value is None else value)


def settings_of(parameters: PanelParameters) -> dict[str, Any]:
    """The settings that differ from the preset.

    Raises:
        ValueError: a value that cannot be, or the wrong number of steps; one sentence.
    """
    base = preset_settings(parameters.preset)
    values: dict[str, Any] = {}
    for setting, parameter in PARAMETER_OF.items():
        value = getattr(parameters, parameter)
        if setting == "levels":
            values[setting] = _levels(base, value)
        else:
            values[setting] = None if AUTOMATIC.get(setting) == value else _rounded(value)
    checked = replace(base, **values)
    return {name: getattr(checked, name) for name in values if getattr(checked, name) != getattr(base, name)}


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
