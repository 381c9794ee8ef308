"""Run the Model section: the catalogue with its cards, whether a pair fits, import and removal, preset, device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt
import slicer

from SpatialRegularizationLib.registration.presets import DETAILS
from SpatialRegularizationLib.zoo.folder import zoo_folder

from ..parameters import PanelParameters
from .connectors import TextConnector
from .controls import say
from .model_cards import OFFERED, Card, catalogue, misfit

WITHOUT_MODEL = "Optimize this pair (no model)"
DEVICE_KEY = "SpatialRegularization/device"
"""Of the application's settings, which remember the device; scenes do not, because they travel."""
DEVICES = {
    "auto": "Automatic (a GPU where there is one)",
    "cpu": "CPU",
    "cuda": "CUDA (first NVIDIA GPU)",
    "mps": "MPS (Apple GPU)",
}
"""Value of the setting `device` → what the panel calls it."""
FILES = "Models (*.safetensors *.tar *.pth *.pt);;All files (*)"


class ModelSection:
    """Controls of the section.

    Args:
        ui: the controls of the form by name.
        manage: called with (action, what) where the user wants a model imported, fetched or removed.
        device_changed: called when another device was chosen.

    Attributes:
        cards: the catalogue as it was read last.
        connector: between the list of models and its parameter.
    """

    def __init__(self, ui: Any, manage: Callable[[str, str], None], device_changed: Callable[[], None]) -> None:
        self._ui, self._manage, self._device_changed = ui, manage, device_changed
        self.cards: dict[str, Card] = {}
        self.connector = TextConnector(ui.modelSelector)
        self._chosen = ""
        self._device = TextConnector(ui.deviceSelector)
        self._device.fill(DEVICES)
        self._device.write(str(qt.QSettings().value(DEVICE_KEY, "auto")))
        self.show_device("")
        ui.deviceSelector.connect("currentIndexChanged(int)", self._device_chosen)
        ui.importModelButton.connect("clicked()", self._import)
        ui.downloadModelButton.connect("clicked()", lambda: self._manage("fetch", self._chosen))
        ui.removeModelButton.connect("clicked()", self._remove)
        ui.modelFolderButton.connect("clicked()", self._show_folder)
        self.read_catalogue()

    @property
    def device(self) -> str:
        """Value of the setting `device`."""
        return self._device.read()

    def choose_device(self, name: str) -> None:
        """As if the user had chosen it."""
        self._device.write(name)

    def offer_devices(self, found: Sequence[Mapping[str, str]]) -> None:
        """What the worker has found on this computer, instead of what might be there."""
        if found:
            names = {entry["device"]: f"{entry['device'].upper().replace(':', ' ')} ({entry['name']})" for entry in found}
            first = {"cuda": DEVICES["cuda"]} if any(name.startswith("cuda") for name in names) else {}
            self._device.fill({"auto": DEVICES["auto"]} | first | names)

    def read_catalogue(self) -> None:
        """Look again at what models there are."""
        self.cards = catalogue()
        texts = {name: f"{name} ({card.state})" for name, card in self.cards.items()}
        self.connector.fill({"": WITHOUT_MODEL} | texts)

    def card(self, parameters: PanelParameters | None) -> Card | None:
        """Of the chosen model; None for the per-pair mode and for a model that is not here."""
        return None if parameters is None else self.cards.get(parameters.model)

    def show(self, parameters: PanelParameters | None) -> None:
        """Card, warning and buttons for what is chosen."""
        ui, card = self._ui, self.card(parameters)
        self._chosen = "" if parameters is None else parameters.model
        say(ui.modelCardLabel, card.html() if card is not None else "")
        say(ui.fitLabel, misfit(card, _facts(parameters)) if card is not None else "")
        say(ui.presetLabel, _sentence(DETAILS[parameters.preset].purpose) if parameters is not None else "")
        ui.downloadModelButton.enabled = card is not None and card.state == OFFERED
        ui.removeModelButton.enabled = card is not None and card.removable

    def show_device(self, used: str) -> None:
        """What the last run really used."""
        say(self._ui.deviceLabel, f"Used: {used}" if used else "")

    def _device_chosen(self, index: int) -> None:
        qt.QSettings().setValue(DEVICE_KEY, self.device)
        self._device_changed()

    def _import(self) -> None:
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), "Import a model", "", FILES)
        if path:
            self._manage("import", str(path))

    def _remove(self) -> None:
        if slicer.util.confirmOkCancelDisplay(f"Delete the model {self._chosen} from this computer?"):
            self._manage("remove", self._chosen)

    def _show_folder(self) -> None:
        folder = zoo_folder()
        folder.mkdir(parents=True, exist_ok=True)
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _facts(parameters: PanelParameters) -> dict[str, Any]:
    """Voxels, spacing and range of values of both volumes, as far as they are chosen."""
    found = {}
    for name, volume in (("fixed volume", parameters.fixedVolume), ("moving volume", parameters.movingVolume)):
        image = volume.GetImageData() if volume is not None else None
        if image is not None and image.GetNumberOfPoints() > 0:
            found[name] = (image.GetDimensions(), volume.GetSpacing(), image.GetScalarRange())
    return found
