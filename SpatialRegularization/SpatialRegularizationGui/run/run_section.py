"""Show the Apply button with what is missing, the progress with the time left, and failures with what may help."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..inputs.controls import say
from .events import Failure, Outcome, RunState, Step

BUTTONS = {"half-resolution": "halfResolutionButton", "cpu": "cpuButton", "install": "installButton"}
"""Remedy → its button."""


class RunSection:
    """Controls between Outputs and Review.

    Args:
        ui: the controls of the form by name.
        apply: called when Apply is clicked.
        try_remedy: called with the remedy that was clicked.
    """

    def __init__(self, ui: Any, apply: Callable[[], None], try_remedy: Callable[[str], None]) -> None:
        self._ui = ui
        ui.applyButton.connect("clicked()", lambda: apply())
        for remedy, name in BUTTONS.items():
            getattr(ui, name).connect("clicked()", lambda remedy=remedy: try_remedy(remedy))
        self.show_state(RunState.IDLE, "")
        self.forget()

    def show_state(self, state: RunState, missing: str) -> None:
        """What the button says, and whether it can be pressed."""
        button = self._ui.applyButton
        texts = {RunState.IDLE: missing or "Apply", RunState.RUNNING: "Cancel", RunState.CANCELLING: "Cancelling…"}
        button.text = texts[state]
        button.enabled = state is RunState.RUNNING or (state is RunState.IDLE and not missing)
        self._ui.progressBar.visible = state is not RunState.IDLE

    def forget(self) -> None:
        """A new run begins: no message of an earlier one."""
        self._ui.progressBar.value = 0
        self._say("", "")
        self._offer(())

    def show_step(self, step: Step) -> None:
        """Progress."""
        self._ui.progressBar.value = round(1000 * min(max(step.fraction, 0.0), 1.0))
        left = "" if step.seconds_left is None else f", {duration(step.seconds_left)} left"
        self._say(f"{step.stage}{left}", "")

    def show_outcome(self, outcome: Outcome) -> None:
        """The run is done."""
        folds = outcome.figures.get("folding_percent")
        found = "" if folds is None else f"; {folds:.3g} % of the voxels fold" if folds else "; no folds"
        notes = "".join(f"<br>{note}" for note in outcome.notes)
        self._say(f"Done in {duration(outcome.seconds)} on {outcome.device}{found}.{notes}", "")

    def show_failure(self, failure: Failure) -> None:
        """The sentence in the panel, the details in the log."""
        if failure.details:
            logging.error("SpatialRegularization: %s\n%s", failure.sentence, failure.details)
        self._say("", failure.sentence)
        self._offer(failure.remedies)

    def show_cancelled(self) -> None:
        """The run was stopped."""
        self._say("Cancelled; the outputs are as they were.", "")

    def show_words(self, text: str) -> None:
        """Something that is neither progress nor a failure."""
        self._say(text, "")

    def _say(self, stage: str, error: str) -> None:
        say(self._ui.stageLabel, stage)
        say(self._ui.errorLabel, error)

    def _offer(self, remedies: tuple[str, ...]) -> None:
        for remedy, name in BUTTONS.items():
            getattr(self._ui, name).visible = remedy in remedies


def duration(seconds: float) -> str:
    """In words: "0.4 s", "12 s", "2 min 5 s"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
