"""Bind a combo box of texts that are found out while the program runs to a `str` parameter.

Slicer's own connector for texts needs the choices at the time of writing the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slicer.parameterNodeWrapper import GuiConnector


class TextConnector(GuiConnector):
    """Keeps the parameter in the data of the items, and what people read in their texts."""

    def __init__(self, combo: Any) -> None:
        super().__init__()
        self._combo = combo

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        """Never chosen by Slicer itself: given to `connectParametersToGui` for one widget."""
        return False

    @staticmethod
    def create(widget: Any, datatype: Any) -> TextConnector:
        """As the base asks."""
        return TextConnector(widget)

    def fill(self, texts: Mapping[str, str]) -> None:
        """Offer these values (value → text), keeping the one that is chosen; nobody is told."""
        chosen = self.read()
        before = self._combo.blockSignals(True)
        self._combo.clear()
        for value, text in texts.items():
            self._combo.addItem(text, value)
        self.write(chosen)
        self._combo.blockSignals(before)

    def widget(self) -> Any:
        """The combo box."""
        return self._combo

    def read(self) -> str:
        """The chosen value; "" where nothing is chosen."""
        return str(self._combo.itemData(self._combo.currentIndex) or "")

    def write(self, value: str) -> None:
        """Choose a value; one that is not offered is added and says so."""
        index = self._combo.findData(value)
        if index < 0:
            self._combo.addItem(f"{value} (not on this computer)", value)
            index = self._combo.findData(value)
        self._combo.currentIndex = index

    def _connect(self) -> None:
        self._combo.connect("currentIndexChanged(int)", self._tell)

    def _disconnect(self) -> None:
        self._combo.disconnect("currentIndexChanged(int)", self._tell)

    def _tell(self, index: int) -> None:
        self.changed()
