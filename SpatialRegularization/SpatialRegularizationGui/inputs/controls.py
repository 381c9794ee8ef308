"""Make the controls of settings from their declarations: kind of widget, label, tool tip, step and unit.

    live (of a prior) ─▶ slider in Regularization      choices ─▶ list      whole number, number ─▶ spin box
    all others ─▶ Advanced, in the order of the declarations                share from 0 to 1 ─▶ slider
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ctk
import qt
import slicer

from SpatialRegularizationLib.registration.presets import PRESETS
from SpatialRegularizationLib.registration.settings import RULES, effect_of, obstacle_of

from ..parameters import AUTOMATIC, DECLARED, LIVE, OF_MODELS, PARAMETER_OF, SETTINGS, PanelParameters
from .steps import decimals_of, round_step, step_of

LABELS = {
    "prior": "Prior of λ",
    "affine": "Affine start",
    "levels": "Steps per level",
    "lambda_pooling": "λ blocks",
    "learning_rate": "Step size",
    "max_voxels": "Largest lattice",
    "intensity": "Intensities",
    "precision": "Optimizer precision",
    "network_precision": "Model precision",
}
"""Where the panel says it otherwise than the symbol or the name of the setting."""
DECIMALS = 4
"""A slider has at least these before its range is known, so that a value of a scene is not rounded."""
WORDS_AT_ZERO = {"working_spacing_mm": "as the fixed volume", "threads": "all"}
"""What a control shows that leaves its setting to the program."""


@dataclass(frozen=True)
class Control:
    """A widget of the panel and its label."""

    editor: Any
    label: Any

    def show(self, visible: bool) -> None:
        """Both, or none of them."""
        self.editor.visible = self.label.visible = visible


class SettingControls:
    """The controls of all settings and of models' hyperparameters, by name of the setting.

    Args:
        form: the widget of SpatialRegularization.ui, which gets them.
    """

    def __init__(self, form: Any) -> None:
        ui = slicer.util.childWidgetVariables(form)
        above = ("prior", *LIVE, *OF_MODELS)
        beside = [name for name in SETTINGS if name not in above]
        frames = (ui.regularizationFrame, above), (ui.advancedFrame, beside)
        self._all = {name: _inserted(frame, row, name) for frame, names in frames for row, name in enumerate(names)}

    def __getitem__(self, name: str) -> Control:
        return self._all[name]

    def show(self, parameters: PanelParameters) -> None:
        """Those that have an effect beside what is chosen; the sliders are shown by their section."""
        chosen = {name: getattr(parameters, PARAMETER_OF[name]) for name in SETTINGS}
        for name in SETTINGS:
            if effect_of(name) is not None and name not in LIVE:
                self[name].show(obstacle_of(name, chosen) is None)


def say(label: Any, text: str) -> None:
    """The text of a label, which takes no room without one."""
    label.text = text
    label.visible = bool(text)


def tool_tip(name: str) -> str:
    """What a setting means, its range and unit, or its choices."""
    rules = DECLARED[name].metadata if name in DECLARED else RULES[name]
    text = f"{rules['help'][0].upper()}{rules['help'][1:]}."
    if "range" in rules:
        low, high = rules["range"]
        unit = f" {rules['unit']}" if rules["unit"] else ", no unit"
        automatic = "; 0 leaves it to the program" if name in AUTOMATIC else ""
        return f"{text} Range: {low:g} to {high:g}{unit}{automatic}."
    return f"{text} One of: {', '.join(rules['choices'])}." if "choices" in rules else text


def _inserted(frame: Any, row: int, name: str) -> Control:
    """The control of a setting, made in a row of a form."""
    editor, kind = _editor(name)
    editor.objectName = f"{PARAMETER_OF[name]}{kind}"
    editor.setProperty("SlicerParameterName", PARAMETER_OF[name])
    editor.toolTip = tool_tip(name)
    label, form_layout = qt.QLabel(f"{_label(name)}:"), frame.layout()
    label.objectName = f"{editor.objectName}Label"
    form_layout.insertRow(row, label, editor)
    return Control(editor, label)


def _label(name: str) -> str:
    effect = effect_of(name) if name in SETTINGS else None  # a parameter of a method is called as in the method
    words = name.removeprefix(f"{effect[1][0]}_" if effect else "").removesuffix("_mm").replace("_", " ")
    return LABELS.get(name) or DECLARED[name].metadata.get("symbol") or f"{words[0].upper()}{words[1:]}"


def _editor(name: str) -> tuple[Any, str]:
    """The widget of a setting, and how its kind ends its name."""
    rules = DECLARED[name].metadata
    if "choices" in rules:
        return qt.QComboBox(), "Selector"
    if "range" not in rules:
        edit = qt.QLineEdit()
        edit.placeholderText = "as in the preset"
        return edit, "Edit"
    low, high = rules["range"]
    share = rules["kind"] is float and (low, high) == (0, 1)
    if share or name in LIVE or name in OF_MODELS:
        slider = ctk.ctkSliderWidget()
        slider.decimals = max(DECIMALS, decimals_of(_step(name)))
        slider.singleStep = _step(name)
        return slider, "Slider"
    if rules["kind"] is int:
        box = qt.QSpinBox()
    else:
        box = number = qt.QDoubleSpinBox()
        number.decimals = decimals_of(_step(name))
    box.singleStep = _step(name)
    box.suffix = f" {rules['unit']}" if rules["unit"] else ""
    box.specialValueText = WORDS_AT_ZERO.get(name, "")
    return box, "SpinBox"


def _step(name: str) -> float:
    """As declared; else a tenth of the smallest value that a preset has; at least 1 for whole numbers."""
    rules = DECLARED[name].metadata
    if "step" in rules:
        return rules["step"]
    values = [value for value in (getattr(preset, name, None) for preset in PRESETS.values()) if value]
    if rules["kind"] is int:
        return max(1, int(round_step(min(values, default=1) / 10)))
    return round_step(min(values) / 10) if values else step_of(*rules["range"])
