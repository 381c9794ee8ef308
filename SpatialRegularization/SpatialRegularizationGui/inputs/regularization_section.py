"""Run the Regularization section: show the sliders that have an effect, with the ranges of the model or preset."""

from __future__ import annotations

from typing import Any

import slicer

from SpatialRegularizationLib.registration.presets import preset_settings
from SpatialRegularizationLib.registration.settings import RULES, live_settings

from ..parameters import LIVE, OF_MODELS, PARAMETER_OF, SETTINGS, PanelParameters, remember_asked, write_settings
from .controls import SettingControls, say, tool_tip
from .model_cards import MIDDLE, TUNED, Card
from .steps import decimals_of, step_of

BELOW, ABOVE = 20.0, 5.0
"""A slider of the per-pair mode reaches from a 20th of the preset's value (0 where that is allowed) to five times of it."""


def slider_range(setting: str, value: float) -> tuple[float, float]:
    """Range of a slider around a preset's value, inside that of the setting."""
    low, high = RULES[setting]["range"]
    return (0.0 if low == 0 else max(low, value / BELOW)), min(high, value * ABOVE if value > 0 else 1.0)


STIFF = "The result is a linear transform: nothing deforms, so there is no regularization and no weight map."


class RegularizationSection:
    """Controls of the section.

    Args:
        ui: the controls of the form by name.
        controls: of the settings.
    """

    def __init__(self, ui: Any, controls: SettingControls) -> None:
        self._ui, self._controls = ui, controls
        ui.refineStepsSpinBox.toolTip = tool_tip("refine_steps")

    def show(self, parameters: PanelParameters, card: Card | None) -> None:
        """The sliders that have an effect, with their ranges."""
        ui, ranges, deforms = self._ui, _ranges(parameters, card), parameters.deformable == "on"
        of_the_pair = live_settings(parameters.prior) if deforms and not parameters.model else ()
        shown = tuple(ranges) if card is not None else of_the_pair
        for name in (*LIVE, *OF_MODELS):
            self._controls[name].show(name in shown)
        self._controls["prior"].show(card is None and deforms)
        for name, (low, high) in ranges.items():
            _set_range(self._controls[name].editor, low, high, getattr(parameters, PARAMETER_OF[name]))
        say(ui.regularizationLabel, _fixed(card) if deforms else STIFF)
        ui.updateLiveCheckBox.enabled = ui.resetButton.enabled = bool(shown)
        ui.resetButton.text, ui.resetButton.toolTip = _reset_words(parameters, card)
        ui.refineButton.enabled = ui.refineStepsSpinBox.enabled = card is not None and not card.problem

    def reset(self, parameters: PanelParameters, card: Card | None) -> None:
        """Back to the values that the model's card gives, or to the preset's; `_reset_words` says which these are."""
        with slicer.util.NodeModify(parameters.parameterNode):
            if card is None:
                write_settings(parameters, preset_settings(parameters.preset), ("prior", *LIVE))
                remember_asked(parameters, forget=("prior", *LIVE))
            for r in card.ranges if card is not None else ():
                setattr(parameters, PARAMETER_OF[r.name], r.default)

    def choose_preset(self, parameters: PanelParameters, card: Card | None) -> None:
        """Every setting as in the preset; the sliders of a model stay where they are."""
        kept = {r.name for r in card.ranges} if card is not None else set()
        with slicer.util.NodeModify(parameters.parameterNode):
            write_settings(parameters, preset_settings(parameters.preset), (name for name in SETTINGS if name not in kept))
            remember_asked(parameters, forget=SETTINGS)


def _ranges(parameters: PanelParameters, card: Card | None) -> dict[str, tuple[float, float]]:
    """Setting or hyperparameter → range of its slider."""
    if card is not None:
        return {r.name: (r.low, r.high) for r in card.ranges}
    settings = preset_settings(parameters.preset)
    return {name: slider_range(name, getattr(settings, name)) for name in LIVE}


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
