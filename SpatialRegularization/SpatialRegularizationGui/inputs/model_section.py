"""The section Model: the catalogue with its cards, whether a pair fits, import and removal, preset, device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from SpatialRegularizationLib.registration.presets import DETAILS
from SpatialRegularizationLib.zoo.folder import zoo_folder

from .cards import OFFERED, Card, catalogue, misfit
from .connectors import TextConnector
from .dialogs import Dialogs
from .parameters import PanelParameters
from .preferences import DEVICES, device, remember_device
from .signals import Signal

WITHOUT_MODEL = "Optimize this pair (no model)"
FILES = "Models (*.safetensors *.tar *.pth *.pt);;All files (*)"


class ModelSection:
    """Controls of the section.

    Attributes:
        cards: the catalogue as it was read last.
        connector: between the list of models and its parameter.
        asked: Signal(action, what) where the user wants a model imported, fetched or removed.
        device_changed: Signal().
    """

    def __init__(self, ui: Any, dialogs: Dialogs) -> None:
        self._ui, self._dialogs = ui, dialogs
        self.asked, self.device_changed = Signal(), Signal()
        self.cards: dict[str, Card] = {}
        self.connector = TextConnector(ui.modelSelector)
        self._chosen = ""
        self._device = TextConnector(ui.deviceSelector)
        self._device.fill(DEVICES)
        self._device.write(device())
        self.show_device("")
        ui.deviceSelector.connect("currentIndexChanged(int)", self._device_chosen)
        ui.importModelButton.connect("clicked()", self._import)
        ui.downloadModelButton.connect("clicked()", lambda: self.asked.emit("fetch", self._chosen))
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
        _say(ui.modelCardLabel, card.html() if card is not None else "")
        _say(ui.fitLabel, misfit(card, _facts(parameters)) if card is not None else "")
        _say(ui.presetLabel, _sentence(DETAILS[parameters.preset].purpose) if parameters is not None else "")
        ui.downloadModelButton.enabled = card is not None and card.state == OFFERED
        ui.removeModelButton.enabled = card is not None and card.removable

    def show_device(self, used: str) -> None:
        """What the last run really used."""
        _say(self._ui.deviceLabel, f"Used: {used}" if used else "")

    def _device_chosen(self, index: int) -> None:
        remember_device(self.device)
        self.device_changed.emit()

    def _import(self) -> None:
        path = self._dialogs.choose_file("Import a model", FILES)
        if path:
            self.asked.emit("import", path)

    def _remove(self) -> None:
        if self._dialogs.confirm(f"Delete the model {self._chosen} from this computer?"):
            self.asked.emit("remove", self._chosen)

    def _show_folder(self) -> None:
        folder = zoo_folder()
        folder.mkdir(parents=True, exist_ok=True)
        self._dialogs.open_folder(folder)


def _say(label: Any, text: str) -> None:
    """A label without text takes no room."""
    label.text = text
    label.visible = bool(text)


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
