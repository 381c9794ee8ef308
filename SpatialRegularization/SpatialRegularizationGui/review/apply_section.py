"""Run the Apply to section: carry further nodes along, forward or inverse, hardened or not."""

from __future__ import annotations

from typing import Any

from ..inputs.controls import say
from ..parameters import PanelParameters
from ..scene.apply_to import Applied, apply_to


class ApplySection:
    """Controls of the section."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: PanelParameters | None = None
        self._last: Applied | None = None
        ui.applyToButton.connect("clicked()", self.apply)
        ui.undoApplyToButton.connect("clicked()", self.undo)
        ui.applyNodesSelector.connect("checkedNodesChanged()", self._show_buttons)

    def show(self, parameters: PanelParameters | None) -> None:
        """What the panel's parameters mean for the buttons."""
        self._parameters = parameters
        self._ui.applyReferenceSelector.enabled = parameters is not None and parameters.applyHarden
        self._show_buttons()

    def apply(self) -> None:
        """Carry the checked nodes along; a failure changes nothing and is said in a sentence."""
        parameters = self._parameters
        nodes = list(self._ui.applyNodesSelector.checkedNodes())
        try:
            reference = (parameters.applyReference or parameters.fixedVolume) if parameters.applyHarden else None
            self._last = apply_to(
                self._transform(), nodes, inverse=parameters.applyInverse, harden=parameters.applyHarden,
                reference=reference if self._fits(reference) else None,
            )  # fmt: skip
        except (ValueError, RuntimeError) as error:
            self._say(str(error))
            return
        what = "Hardened" if parameters.applyHarden else "Placed under the transform"
        self._say("<br>".join([f"{what}: {', '.join(node.GetName() for node in nodes)}.", *self._last.notes]))
        self._show_buttons()

    def undo(self) -> None:
        """The nodes as they were before the last `apply`."""
        if self._last is not None:
            self._last.undo.restore()
            self._last = None
            self._say("The nodes are as they were.")
        self._show_buttons()

    def forget(self) -> None:
        """The scene is closed: there is nothing left to undo."""
        self._last = None
        self._say("")
        self.show(None)

    def _transform(self) -> Any:
        return self._parameters.applyTransform or self._parameters.outputTransform

    def _fits(self, reference: Any) -> bool:
        """The fixed volume is the grid of what is brought onto it; what leaves it keeps its own, unless a grid was chosen."""
        return reference is not None and (self._parameters.applyReference is not None or not self._parameters.applyInverse)

    def _show_buttons(self) -> None:
        ready = self._parameters is not None and self._transform() is not None
        self._ui.applyToButton.enabled = ready and len(self._ui.applyNodesSelector.checkedNodes()) > 0
        self._ui.undoApplyToButton.enabled = self._last is not None

    def _say(self, text: str) -> None:
        say(self._ui.applyToLabel, text)
