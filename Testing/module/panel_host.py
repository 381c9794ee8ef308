"""The panel in a fresh scene with a tiny model and a pair of volumes: fixtures of its tests, and what a user does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bending
import physical
import pytest
import qt_layer
import slicer_module
import torch
from known_model import card_of

from SpatialRegularizationLib.io.volumes import write_volume
from SpatialRegularizationLib.models.catalogue import build_model, describe
from SpatialRegularizationLib.zoo.card import save_model

GRID = physical.grid("LIA", shape=(32, 32, 32), spacing=(3.0, 3.0, 3.0))
QUICK = {"affine": "none", "globalSearch": "off", "iterations": "1 1 1 1", "threads": 1}
"""Settings of the panel for a run of a second."""
ENDLESS = {**QUICK, "iterations": "1 1 1 10000", "tolerance": 0.0}
"""And for one that only ends when it is stopped."""
SECONDS = 90


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """zoo/tiny-hyper.safetensors (random parameters) and a pair of volumes."""
    folder = tmp_path_factory.mktemp("panel")
    torch.manual_seed(1)
    model = build_model({"system": "hyper-tm-spr", "size": "tiny", "image_shape": list(GRID.shape)})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    (folder / "zoo").mkdir()
    save_model(model, card_of(GRID, "tiny-hyper", description=describe(model)), folder / "zoo" / "tiny-hyper.safetensors")
    write_volume(folder / "fixed.nii.gz", bending.image(GRID, bending.Bend()))
    write_volume(folder / "moving.nii.gz", bending.image(GRID))
    return folder


@pytest.fixture
def widget(scene: Any, files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's widget in a fresh scene with both volumes; nothing is chosen."""
    monkeypatch.setenv("SPATIALREG_ZOO", str(files / "zoo"))
    slicer_module.install(scene.slicer)
    sys.modules["qt"].QSettings().clear()
    from SpatialRegularization import SpatialRegularizationWidget

    made = SpatialRegularizationWidget()
    made.enter()
    made.fixed = scene.read("vtkMRMLScalarVolumeNode", files / "fixed.nii.gz")
    made.moving = scene.read("vtkMRMLScalarVolumeNode", files / "moving.nii.gz")
    made.fixed.SetName("Fixed"), made.moving.SetName("Moving")
    yield made
    made.cleanup()
    assert qt_layer.misspelt() == []
    made.parent.deleteLater()


def choose(widget: Any, settings: dict[str, Any], model: str = "") -> Any:
    """As a user would: both volumes in their selectors, the model in its list, settings in the panel; returns the controls."""
    ui = widget.panel.ui
    ui.fixedSelector.setCurrentNode(widget.fixed)
    ui.movingSelector.setCurrentNode(widget.moving)
    ui.modelSelector.currentIndex = ui.modelSelector.findData(model)
    for name, value in settings.items():
        setattr(widget.logic.getParameterNode(), name, value)
    return ui


def shown(widget: Any) -> dict[str, Any]:
    """Setting (or hyperparameter of a model) → what its control shows: a number, or a text."""
    from SpatialRegularizationGui.parameters import DECLARED

    editors = {name: widget.panel.controls[name].editor for name in DECLARED}
    how = {"QComboBox": "currentText", "QLineEdit": "text"}
    return {name: getattr(editor, how.get(type(editor).__name__, "value")) for name, editor in editors.items()}


def until(widget: Any, text: str, seconds: float = SECONDS) -> None:
    ui = widget.panel.ui
    qt_layer.wait_until(lambda: ui.applyButton.text == text, seconds, f"Apply says {text!r}, not {ui.applyButton.text!r}")


def ends_of(widget: Any) -> list[str]:
    """What the logic tells from now on, in words."""
    told: list[str] = []
    for name in ("finished", "failed", "cancelled"):
        getattr(widget.logic, name).connect(lambda *_, name=name: told.append(name))
    return told
