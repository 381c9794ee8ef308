"""Tool tips of the controls that stand for a setting: help, range and unit from `RegistrationSettings`, one source of truth."""

from __future__ import annotations

from typing import Any

from .parameters import AUTOMATIC, PARAMETER_OF, RULES

SETTING_OF = {parameter: setting for setting, parameter in PARAMETER_OF.items()} | {"refineSteps": "refine_steps"}
OTHERS = {
    "eta": "Strength of the prior of this model, no unit: larger keeps λ more uniform.",
    "uniformLambda": "Share of the regularization against the likeness, no unit, 0 to 1.",
}
"""Tips of what only models have."""


def tool_tip(parameter: str) -> str:
    """What a control means, its range and unit; "" for one that is no setting."""
    if parameter not in SETTING_OF:
        return OTHERS.get(parameter, "")
    setting = SETTING_OF[parameter]
    rules = RULES[setting]
    text = f"{rules['help'][0].upper()}{rules['help'][1:]}."
    if "range" in rules:
        low, high = rules["range"]
        unit = f" {rules['unit']}" if rules["unit"] else ", no unit"
        automatic = "; 0 leaves it to the program" if setting in AUTOMATIC else ""
        text += f" Range: {low:g} to {high:g}{unit}{automatic}."
    elif "choices" in rules:
        text += f" One of: {', '.join(rules['choices'])}."
    return text


def set_tool_tips(widgets: list[Any]) -> None:
    """For every widget that stands for a setting and has no tool tip yet."""
    for widget in widgets:
        tip = tool_tip(str(widget.property("SlicerParameterName") or ""))
        if tip and not widget.toolTip:
            widget.toolTip = tip
