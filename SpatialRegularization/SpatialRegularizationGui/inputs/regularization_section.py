"""The section Regularization: sliders with the ranges of the model or preset, and which of them have an effect."""

from __future__ import annotations

from typing import Any

import slicer

from SpatialRegularizationLib.registration.presets import preset_settings

from .cards import MIDDLE, TUNED, Card
from .parameters import CONDITIONS, RULES, PanelParameters, write_preset
from .steps import decimals_of, step_of

SLIDERS = ("lambdaMax", "alphaPrime", "lambdaMean", "sigmaPrime", "eta", "uniformLambda")
OF_PRIOR = {
    "beta": ("lambdaMax", "alphaPrime"),
    "gaussian": ("lambdaMean", "sigmaPrime"),
    "uniform": ("lambdaMax",),
}
"""Prior → its sliders."""
PER_PAIR = {
    "lambdaMax": "lambda_max", "alphaPrime": "alpha_prime", "lambdaMean": "lambda_mean", "sigmaPrime": "sigma_prime"
}  # fmt: skip
"""Slider → its setting."""
BELOW, ABOVE = 20.0, 5.0
"""A slider of the per-pair mode reaches from a 20th of the preset's value (0 where that is allowed) to five times of it."""


def slider_range(setting: str, value: float) -> tuple[float, float]:
    """Range of a slider around a preset's value, inside that of the setting."""
    low, high = RULES[setting]["range"]
    return (0.0 if low == 0 else max(low, value / BELOW)), min(high, value * ABOVE if value > 0 else 1.0)


class RegularizationSection:
    """Controls of the section."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui

    def show(self, parameters: PanelParameters, card: Card | None) -> None:
        """The sliders that have an effect, with their ranges."""
        ui = self._ui
        active = self._active(parameters, card)
        for name in SLIDERS:
            getattr(ui, f"{name}Slider").visible = getattr(ui, f"{name}Label").visible = name in active
        ui.priorSelector.visible = ui.priorLabel.visible = card is None
        for name, (low, high) in self._ranges(parameters, card).items():
            _set_range(getattr(ui, f"{name}Slider"), low, high, getattr(parameters, name))
        ui.regularizationLabel.text = _fixed(card)
        ui.regularizationLabel.visible = bool(ui.regularizationLabel.text)
        ui.updateLiveCheckBox.enabled = bool(active)
        ui.resetButton.enabled = bool(active)
        ui.resetButton.text, ui.resetButton.toolTip = _reset_words(parameters, card)
        ui.refineButton.enabled = ui.refineStepsSpinBox.enabled = card is not None and not card.problem

    def reset(self, parameters: PanelParameters, card: Card | None) -> None:
        """Back to the values that the model's card gives, or to the preset's; `_reset_words` says which these are."""
        with slicer.util.NodeModify(parameters.parameterNode):
            if card is not None:
                for r in card.ranges:
                    setattr(parameters, CONDITIONS[r.name], r.default)
                return
            settings = preset_settings(parameters.preset)
            parameters.prior = settings.prior
            for name, setting in PER_PAIR.items():
                setattr(parameters, name, getattr(settings, setting))

    def choose_preset(self, parameters: PanelParameters, card: Card | None) -> None:
        """Every setting as in the preset; the sliders of a model stay where they are."""
        kept = {CONDITIONS[r.name]: getattr(parameters, CONDITIONS[r.name]) for r in (card.ranges if card else ())}
        with slicer.util.NodeModify(parameters.parameterNode):
            write_preset(parameters, parameters.preset)
            for name, value in kept.items():
                setattr(parameters, name, value)

    def _active(self, parameters: PanelParameters, card: Card | None) -> tuple[str, ...]:
        if card is not None:
            return tuple(CONDITIONS[r.name] for r in card.ranges)
        return () if parameters.model else OF_PRIOR[parameters.prior]

    def _ranges(self, parameters: PanelParameters, card: Card | None) -> dict[str, tuple[float, float]]:
        if card is not None:
            return {CONDITIONS[r.name]: (r.low, r.high) for r in card.ranges}
        settings = preset_settings(parameters.preset)
        return {name: slider_range(setting, getattr(settings, setting)) for name, setting in PER_PAIR.items()}


def _set_range(slider: Any, low: float, high: float, value: float) -> None:
    """Range, step and decimals of a slider, without a signal; a value of a scene is never changed by showing it."""
    step, decimals = step_of(low, high), decimals_of(step_of(low, high), low, high)
    low, high = min(low, value), max(high, value)
    if (slider.minimum, slider.maximum, slider.singleStep, slider.decimals) == (low, high, step, decimals):
        return
    before = slider.blockSignals(True)
    slider.decimals = decimals  # first: ends and value are rounded to them
    # As properties, PythonQt does not see ctkSliderWidget.setRange; in the order in which no end passes the other.
    ends = ("maximum", high), ("minimum", low)
    for side, end in ends if low > slider.maximum else reversed(ends):
        setattr(slider, side, end)
    slider.singleStep = step  # after the range: a step beyond it is refused
    slider.value = value
    slider.blockSignals(before)


def _reset_words(parameters: PanelParameters, card: Card | None) -> tuple[str, str]:
    """Text and tool tip of the button that resets the sliders: what its values are, and are not."""
    if card is None:
        return "Reset to the preset's values", f"Back to the values of the preset {parameters.preset}."
    tips = {
        TUNED: f"Back to the values that were found best for {card.name}.",
        MIDDLE: f"Back to the middle of the range of each slider: {card.name} was not tuned, other values may be better.",
    }
    return f"Reset to {card.start}", tips.get(card.start, f"Back to the values that the card of {card.name} gives.")


def _fixed(card: Card | None) -> str:
    """What is said of a model without sliders."""
    if card is None or card.ranges or card.problem:
        return ""
    values = ", ".join(f"{name} {value:g}" for name, value in card.regularization.items())
    return f"{card.name} was trained with one regularization{f' ({values})' if values else ''}: it has no sliders."
