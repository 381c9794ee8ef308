"""The panel as a user meets it: clicks on real controls, a real worker process, real nodes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import qt_needed

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytest.importorskip("PySide6.QtWidgets", reason=qt_needed.REASON, exc_type=ImportError)

import bending
import physical
import qt_layer
import slicer_module
import torch
from known_model import card_of

from SpatialRegularizationLib.io.volumes import write_volume
from SpatialRegularizationLib.models.catalogue import build_model, describe
from SpatialRegularizationLib.zoo.card import save_model

pytestmark = pytest.mark.slicer
GRID = physical.grid("LIA", shape=(32, 32, 32), spacing=(3.0, 3.0, 3.0))
QUICK = {"affine": "none", "globalSearch": "off", "iterations": "1 1 1 1", "threads": 1}
ENDLESS = {**QUICK, "iterations": "1 1 1 10000", "tolerance": 0.0}
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


def _choose(widget: Any, settings: dict[str, Any], model: str = "") -> Any:
    """As a user would: both volumes in their selectors, the model in its list, settings in the panel; returns the controls."""
    ui = widget.panel.ui
    ui.fixedSelector.setCurrentNode(widget.fixed)
    ui.movingSelector.setCurrentNode(widget.moving)
    ui.modelSelector.currentIndex = ui.modelSelector.findData(model)
    for name, value in settings.items():
        setattr(widget.logic.getParameterNode(), name, value)
    return ui


def _until(widget: Any, text: str, seconds: float = SECONDS) -> None:
    ui = widget.panel.ui
    qt_layer.wait_until(lambda: ui.applyButton.text == text, seconds, f"Apply says {text!r}, not {ui.applyButton.text!r}")


def _ends(widget: Any) -> list[str]:
    """What the logic tells from now on, in words."""
    told: list[str] = []
    for name in ("finished", "failed", "cancelled"):
        getattr(widget.logic, name).connect(lambda *_, name=name: told.append(name))
    return told


def test_the_button_says_what_is_missing_until_it_says_apply(widget) -> None:
    ui = widget.panel.ui
    said = [ui.applyButton.text]
    ui.fixedSelector.setCurrentNode(widget.fixed)
    said.append(ui.applyButton.text)
    ui.movingSelector.setCurrentNode(widget.fixed)
    said.append(ui.applyButton.text)
    assert not ui.applyButton.enabled
    ui.movingSelector.setCurrentNode(widget.moving)
    assert [*said, ui.applyButton.text] == [
        "Select a fixed volume", "Select a moving volume", "Select two different volumes", "Apply"
    ]  # fmt: skip
    assert ui.applyButton.enabled


def test_a_click_on_apply_leads_to_nodes_and_a_second_one_updates_the_same(widget, scene) -> None:
    ui = _choose(widget, QUICK)
    ui.applyButton.click()
    assert ui.applyButton.text == "Cancel"
    assert ui.progressBar.visible or not widget.parent.visible
    _until(widget, "Apply")
    assert ui.errorLabel.text == ""
    assert ui.stageLabel.text.startswith("Done in ")
    parameters = widget.logic.getParameterNode()
    first = [parameters.outputTransform, parameters.outputVolume, parameters.outputLambda, parameters.outputJacobian]
    assert all(first)
    assert parameters.outputMagnitude is None
    assert ui.outputTransformSelector.currentNode() is first[0]
    assert ui.deviceLabel.text == "Used: cpu"
    nodes = len(scene.nodes())
    ui.applyButton.click()
    _until(widget, "Apply")
    assert [parameters.outputTransform, parameters.outputVolume, parameters.outputLambda, parameters.outputJacobian] == first
    assert len(scene.nodes()) == nodes


def test_undo_takes_the_nodes_of_the_run_away(widget, scene) -> None:
    ui = _choose(widget, QUICK)
    before = _nodes(scene)
    ui.applyButton.click()
    _until(widget, "Apply")
    assert ui.undoButton.enabled
    assert _nodes(scene) != before
    ui.undoButton.click()
    assert widget.logic.getParameterNode().outputTransform is None
    assert scene.nodes("vtkMRMLTransformNode") == []
    assert not ui.undoButton.enabled
    assert _nodes(scene) == before


def _nodes(scene: Any) -> list[str]:
    """Names of all nodes but the color tables that overlays are shown with."""
    return [node.GetID() for node in scene.nodes() if not node.IsA("vtkMRMLColorNode")]


def test_cancel_stops_the_run_and_leaves_every_node_as_it_was(widget, scene) -> None:
    ui = _choose(widget, ENDLESS)
    before, told = scene.fingerprint(), _ends(widget)
    ui.applyButton.click()
    qt_layer.wait_until(lambda: "level" in ui.stageLabel.text, SECONDS, f"{ui.stageLabel.text} {ui.errorLabel.text}")
    ui.applyButton.click()
    assert (ui.applyButton.text, ui.applyButton.enabled) == ("Cancelling…", False)
    _until(widget, "Apply")
    assert told == ["cancelled"]
    assert "Cancelled" in ui.stageLabel.text
    assert scene.fingerprint() == before


@pytest.mark.skipif(os.name != "posix", reason="sends a signal of POSIX")
def test_a_worker_killed_from_outside_is_a_sentence_and_the_next_run_works(widget, scene) -> None:
    ui = _choose(widget, ENDLESS)
    before, told = scene.fingerprint(), _ends(widget)
    ui.applyButton.click()
    qt_layer.wait_until(lambda: "level" in ui.stageLabel.text, SECONDS)
    os.kill(widget.logic.pid, signal.SIGKILL)
    _until(widget, "Apply")
    assert told == ["failed"]
    assert "worker process" in ui.errorLabel.text
    assert scene.fingerprint() == before
    _choose(widget, QUICK)
    widget.logic.getParameterNode().tolerance = 1e-4
    ui.applyButton.click()
    _until(widget, "Apply")
    assert told == ["failed", "finished"]
    assert ui.errorLabel.text == ""


def test_a_wrong_setting_is_said_in_the_panel_and_nothing_starts(widget) -> None:
    ui = _choose(widget, {**QUICK, "iterations": "1 2"})
    ui.applyButton.click()
    assert ui.applyButton.text == "Apply"
    assert ui.errorLabel.text.startswith("Steps per level must be 4 whole numbers")
    assert widget.logic.pid is None


def test_an_installation_that_is_declined_is_said_in_words_and_can_be_asked_for_again(widget) -> None:
    from SpatialRegularizationGui.install import Installed, Readiness

    class Declining:
        asked = 0

        def ensure(self) -> Installed:
            self.asked += 1
            return Installed(Readiness.DECLINED)

    widget.logic._installer = declining = Declining()
    ui = _choose(widget, QUICK)
    ui.applyButton.click()
    assert (ui.applyButton.text, declining.asked) == ("Apply", 1)
    assert "Nothing was installed" in ui.errorLabel.text
    assert not ui.installButton.isHidden()
    ui.installButton.click()
    assert declining.asked == 2
    ui.updateLiveCheckBox.checked = True
    ui.lambdaMaxSlider.value = 3.0
    assert widget.logic.pid is None


@pytest.mark.parametrize(
    ("remedy", "parameter", "value"), [("halfResolutionButton", "workingSpacing", 6.0), ("cpuButton", "", "cpu")]
)
def test_after_running_out_of_memory_the_panel_offers_what_may_help_and_does_it(widget, remedy, parameter, value) -> None:
    from SpatialRegularizationGui.request import Failure

    ui = _choose(widget, QUICK)
    finished: list[Any] = []
    widget.logic.finished.connect(finished.append)
    widget.logic.failed.emit(Failure("There is not enough memory.", "a trace", ("half-resolution", "cpu")))
    assert ui.errorLabel.text == "There is not enough memory."
    assert (ui.halfResolutionButton.isHidden(), ui.cpuButton.isHidden(), ui.installButton.isHidden()) == (False, False, True)
    getattr(ui, remedy).click()
    assert ui.cpuButton.isHidden()
    _until(widget, "Apply")
    assert finished, ui.errorLabel.text
    settings = finished[0].request.settings
    assert settings["working_spacing_mm" if parameter else "device"] == value
    assert widget.logic.getParameterNode().workingSpacing == (value if parameter else 0.0)
    assert widget.panel.model.device == ("auto" if parameter else "cpu")


def test_refine_asks_for_the_models_answer_and_that_many_steps(widget) -> None:
    ui = _choose(widget, QUICK, "tiny-hyper")
    finished: list[Any] = []
    widget.logic.finished.connect(finished.append)
    ui.refineStepsSpinBox.value = 2
    ui.refineButton.click()
    _until(widget, "Apply")
    assert finished, ui.errorLabel.text
    request = finished[0].request
    assert (request.model, request.settings["refine_steps"]) == ("tiny-hyper", 2)
    assert request.condition == pytest.approx({"alpha_prime": 0.1, "lambda_max": 2.525})
    ui.modelSelector.currentIndex = 0
    assert not ui.refineButton.enabled


def test_images_that_a_model_was_not_made_for_are_warned_about(widget, scene) -> None:
    ui = _choose(widget, QUICK, "tiny-hyper")
    assert ui.fitLabel.isHidden()
    widget.moving.SetSpacing(9.0, 9.0, 9.0)
    widget.panel.enter()
    assert "The moving volume covers 288 × 288 × 288 mm" in ui.fitLabel.text


def test_two_panels_of_one_scene_share_what_is_chosen_and_not_what_runs(widget) -> None:
    from SpatialRegularization import SpatialRegularizationWidget

    other = SpatialRegularizationWidget()
    try:
        ui = _choose(widget, QUICK)
        assert other.panel.ui.fixedSelector.currentNode() is widget.fixed
        ui.applyButton.click()
        assert (ui.applyButton.text, other.panel.ui.applyButton.text) == ("Cancel", "Apply")
        _until(widget, "Apply")
        assert other.panel.ui.stageLabel.text == ""
        assert other.logic.pid is None
        assert other.panel.ui.outputTransformSelector.currentNode() is ui.outputTransformSelector.currentNode()
    finally:
        other.cleanup()
        other.parent.deleteLater()


def test_the_sliders_are_those_of_the_model_with_its_ranges_and_go_back_to_its_tuned_values(widget) -> None:
    ui = _choose(widget, QUICK, "tiny-hyper")
    shown = {name for name in ("lambdaMax", "alphaPrime", "lambdaMean", "sigmaPrime", "eta") if not _hidden(ui, f"{name}Slider")}
    assert shown == {"lambdaMax", "alphaPrime"}
    assert (ui.lambdaMaxSlider.minimum, ui.lambdaMaxSlider.maximum) == (0.05, 5.0)
    assert ui.lambdaMaxSlider.value == pytest.approx(2.525)
    ui.lambdaMaxSlider.value = 1.0
    assert widget.logic.getParameterNode().lambdaMax == 1.0
    ui.resetButton.click()
    assert widget.logic.getParameterNode().lambdaMax == pytest.approx(2.525)
    assert "tiny-hyper" in ui.modelCardLabel.text
    assert ui.removeModelButton.enabled
    assert not ui.downloadModelButton.enabled
    ui.modelSelector.currentIndex = 0
    assert not _hidden(ui, "priorSelector")
    ui.priorSelector.currentIndex = ui.priorSelector.findText("gaussian")
    assert (_hidden(ui, "lambdaMaxSlider"), _hidden(ui, "sigmaPrimeSlider")) == (True, False)


def _hidden(ui: Any, name: str) -> bool:
    return getattr(ui, name).isHidden()


def test_a_preset_sets_every_control(widget) -> None:
    ui = widget.panel.ui
    ui.presetSelector.currentIndex = ui.presetSelector.findText("brain-mri")
    assert (ui.lnccWindowSpinBox.value, ui.lambdaMaxSlider.value, ui.globalSearchSelector.currentText) == (9, 1.2, "off")
    assert "brain MRI" in ui.presetLabel.text or "Brain MRI" in ui.presetLabel.text


@pytest.mark.parametrize("model", ["tiny-hyper", ""], ids=["model", "per-pair"])
def test_update_live_shows_the_newest_position_and_drops_the_others(widget, scene, model: str) -> None:
    ui = _choose(widget, QUICK, model)
    previews: list[Any] = []
    widget.logic.previewed.connect(previews.append)
    ui.updateLiveCheckBox.checked = True
    qt_layer.wait_until(lambda: previews, SECONDS, f"{ui.errorLabel.text} {ui.liveLabel.text}")
    for n in range(25):
        ui.lambdaMaxSlider.value = 1.0 + 0.1 * n
        qt_layer.wait(0.01)

    def newest() -> Any:
        request = previews[-1].request
        return request.condition.get("lambda_max") if model else request.settings.get("lambda_max")

    qt_layer.wait_until(lambda: newest() == pytest.approx(3.4), SECONDS)
    assert not model or len({repr(sorted(p.request.settings.items())) for p in previews}) == 1  # the pair is loaded once
    assert len(previews) + widget.logic.dropped <= 26
    assert len(previews) < 20  # most positions of a dragged slider are never computed
    assert "per update" in ui.liveLabel.text
    assert widget.logic.getParameterNode().outputLambda is not None
    ui.updateLiveCheckBox.checked = False
    assert scene.nodes("vtkMRMLTransformNode") == []
    ui.lambdaMaxSlider.value, parameters = 2.0, widget.logic.getParameterNode()
    assert parameters.outputLambda is None


def test_moving_a_control_that_a_preview_does_not_depend_on_asks_for_none(widget) -> None:
    ui = _choose(widget, QUICK, "tiny-hyper")
    previews: list[Any] = []
    widget.logic.previewed.connect(previews.append)
    ui.updateLiveCheckBox.checked = True
    qt_layer.wait_until(lambda: previews, SECONDS, ui.errorLabel.text)
    count = len(previews)
    ui.applyHardenCheckBox.checked = True
    ui.refineStepsSpinBox.value = 77
    with pytest.raises(AssertionError):
        qt_layer.wait_until(lambda: len(previews) > count, 1.0)


def test_closing_the_scene_during_a_run_ends_it_and_leaves_an_empty_panel(widget, scene) -> None:
    ui = _choose(widget, ENDLESS)
    told = _ends(widget)
    ui.applyButton.click()
    qt_layer.wait_until(lambda: "level" in ui.stageLabel.text, SECONDS)
    pid = widget.logic.pid
    scene.mrml.Clear(False)
    qt_layer.wait_until(lambda: not _runs(pid), 10)
    assert told == []
    assert (ui.applyButton.text, ui.stageLabel.text) == ("Select a fixed volume", "")
    assert widget.logic.getParameterNode().fixedVolume is None
    assert widget.logic.getParameterNode().lambdaMax == 2.0


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def test_a_scene_that_is_saved_and_loaded_brings_inputs_outputs_and_settings_back(widget, scene, tmp_path: Path) -> None:
    ui = _choose(widget, {**QUICK, "lambdaMax": 3.25, "preset": "brain-mri"})
    widget.logic.getParameterNode().lambdaMax = 3.25
    widget.logic.getParameterNode().outputLambda = scene.add("vtkMRMLScalarVolumeNode", "Mine")
    for node in (widget.fixed, widget.moving, widget.logic.getParameterNode().outputLambda):
        if node.GetImageData() is None:
            node.SetAndObserveImageData(widget.fixed.GetImageData())
    scene.save(tmp_path / "scene.mrb")
    scene.load(tmp_path / "scene.mrb")
    parameters = widget.logic.getParameterNode()
    assert parameters.fixedVolume.GetName() == ui.fixedSelector.currentNode().GetName() == "Fixed"
    assert parameters.movingVolume.GetName() == "Moving"
    assert parameters.outputLambda.GetName() == "Mine"
    assert (parameters.preset, parameters.lambdaMax, ui.lambdaMaxSlider.value) == ("brain-mri", 3.25, 3.25)
    assert ui.applyButton.text == "Apply"


def test_apply_to_places_several_nodes_under_the_transform_and_takes_them_out_again(widget, scene) -> None:
    ui = widget.panel.ui
    transform = scene.add("vtkMRMLTransformNode", "T")
    points = scene.add("vtkMRMLMarkupsFiducialNode", "P")
    points.AddControlPoint(1.0, 2.0, 3.0)
    assert not ui.applyToButton.enabled
    ui.outputTransformSelector.setCurrentNode(transform)
    for node in (points, widget.moving):
        ui.applyNodesSelector.check(node)
    assert ui.applyToButton.enabled
    ui.applyToButton.click()
    assert points.GetParentTransformNode() is widget.moving.GetParentTransformNode() is transform
    assert "P" in ui.applyToLabel.text
    ui.undoApplyToButton.click()
    assert points.GetParentTransformNode() is None


def test_a_model_is_imported_and_removed_by_its_buttons(widget, files: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SPATIALREG_ZOO", str(tmp_path / "zoo"))
    widget.enter()
    ui = widget.panel.ui
    assert ui.modelSelector.findData("tiny-hyper") == -1
    qt_layer.FileDialog.answer = str(files / "zoo" / "tiny-hyper.safetensors")
    ui.importModelButton.click()
    qt_layer.wait_until(lambda: ui.modelSelector.findData("tiny-hyper") >= 0, SECONDS, ui.errorLabel.text)
    ui.modelSelector.currentIndex = ui.modelSelector.findData("tiny-hyper")
    monkeypatch.setattr(widget.panel.model._dialogs, "confirm", lambda question: True)
    _until(widget, "Select a fixed volume")
    ui.removeModelButton.click()
    qt_layer.wait_until(lambda: "not on this computer" in ui.modelSelector.currentText, SECONDS, ui.errorLabel.text)
    assert not (tmp_path / "zoo" / "tiny-hyper.safetensors").exists()


def test_the_device_is_remembered_by_the_application_and_not_by_the_scene(widget) -> None:
    from SpatialRegularizationGui import preferences

    ui = widget.panel.ui
    ui.deviceSelector.currentIndex = ui.deviceSelector.findData("cpu")
    assert preferences.device() == "cpu"
    node = widget.logic.getParameterNode().parameterNode
    assert not [name for name in node.GetParameterNames() if "device" in name.lower()]


def test_leaving_and_coming_back_keeps_what_was_chosen(widget) -> None:
    ui = _choose(widget, QUICK, "tiny-hyper")
    widget.exit()
    widget.enter()
    assert (ui.fixedSelector.currentNode(), widget.logic.getParameterNode().model) == (widget.fixed, "tiny-hyper")


def test_the_modules_own_test_passes(widget) -> None:
    from SpatialRegularization import SpatialRegularizationTest

    SpatialRegularizationTest().runTest()
