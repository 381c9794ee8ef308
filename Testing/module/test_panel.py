"""The panel as a user meets it: clicks on real controls, a real worker process, real nodes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import qt_needed

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytest.importorskip("PySide6.QtWidgets", reason=qt_needed.REASON, exc_type=ImportError)

import qt_layer
from panel_host import ENDLESS, QUICK, SECONDS, choose, ends_of, files, shown, until, widget

pytestmark = pytest.mark.slicer
__all__ = ["files", "widget"]  # fixtures


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


def test_the_worker_starts_once_nothing_is_missing_and_the_run_uses_it(widget) -> None:
    ui = widget.panel.ui
    ui.fixedSelector.setCurrentNode(widget.fixed)
    assert widget.logic.worker.generation == 0
    choose(widget, QUICK)
    assert widget.logic.worker.generation == 1
    qt_layer.wait_until(lambda: widget.logic.poll() or widget.logic.pid, SECONDS, "the worker says that it is ready")
    ready = widget.logic.pid
    ui.applyButton.click()
    until(widget, "Apply")
    assert ui.stageLabel.text.startswith("Done in ")
    assert (widget.logic.pid, widget.logic.worker.generation) == (ready, 1)


def test_nothing_starts_before_what_it_needs_is_installed(widget) -> None:
    class Lacking:
        def check(self) -> bool:
            return False

    widget.logic._installer = Lacking()
    choose(widget, QUICK)
    assert widget.logic.worker.generation == 0


def test_a_click_on_apply_leads_to_nodes_and_a_second_one_updates_the_same(widget, scene) -> None:
    ui = choose(widget, QUICK)
    ui.applyButton.click()
    assert ui.applyButton.text == "Cancel"
    assert ui.progressBar.visible or not widget.parent.visible
    until(widget, "Apply")
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
    until(widget, "Apply")
    assert [parameters.outputTransform, parameters.outputVolume, parameters.outputLambda, parameters.outputJacobian] == first
    assert len(scene.nodes()) == nodes


def test_undo_takes_the_nodes_of_the_run_away(widget, scene) -> None:
    ui = choose(widget, QUICK)
    before = _nodes(scene)
    ui.applyButton.click()
    until(widget, "Apply")
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
    ui = choose(widget, ENDLESS)
    before, told = scene.fingerprint(), ends_of(widget)
    ui.applyButton.click()
    qt_layer.wait_until(lambda: "level" in ui.stageLabel.text, SECONDS, f"{ui.stageLabel.text} {ui.errorLabel.text}")
    ui.applyButton.click()
    assert (ui.applyButton.text, ui.applyButton.enabled) == ("Cancelling…", False)
    until(widget, "Apply")
    assert told == ["cancelled"]
    assert "Cancelled" in ui.stageLabel.text
    assert scene.fingerprint() == before


@pytest.mark.skipif(os.name != "posix", reason="sends a signal of POSIX")
def test_a_worker_killed_from_outside_is_a_sentence_and_the_next_run_works(widget, scene) -> None:
    ui = choose(widget, ENDLESS)
    before, told = scene.fingerprint(), ends_of(widget)
    ui.applyButton.click()
    qt_layer.wait_until(lambda: "level" in ui.stageLabel.text, SECONDS)
    os.kill(widget.logic.pid, signal.SIGKILL)
    until(widget, "Apply")
    assert told == ["failed"]
    assert "worker process" in ui.errorLabel.text
    assert scene.fingerprint() == before
    choose(widget, QUICK)
    widget.logic.getParameterNode().tolerance = 1e-4
    ui.applyButton.click()
    until(widget, "Apply")
    assert told == ["failed", "finished"]
    assert ui.errorLabel.text == ""


def test_a_wrong_setting_is_said_in_the_panel_and_nothing_starts(widget) -> None:
    ui = choose(widget, {**QUICK, "iterations": "1 2"})
    ui.applyButton.click()
    assert ui.applyButton.text == "Apply"
    assert ui.errorLabel.text.startswith("Steps per level must be 4 whole numbers")
    assert widget.logic.pid is None


def test_an_installation_that_is_declined_is_said_in_words_and_can_be_asked_for_again(widget) -> None:
    from SpatialRegularizationGui.run.install import Installed, Readiness

    class Declining:
        asked = 0

        def check(self) -> bool:
            return False

        def ensure(self) -> Installed:
            self.asked += 1
            return Installed(Readiness.DECLINED)

    widget.logic._installer = declining = Declining()
    ui = choose(widget, QUICK)
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
    from SpatialRegularizationGui.run.events import Failure

    ui = choose(widget, QUICK)
    finished: list[Any] = []
    widget.logic.finished.connect(finished.append)
    widget.logic.failed.emit(Failure("There is not enough memory.", "a trace", ("half-resolution", "cpu")))
    assert ui.errorLabel.text == "There is not enough memory."
    assert (ui.halfResolutionButton.isHidden(), ui.cpuButton.isHidden(), ui.installButton.isHidden()) == (False, False, True)
    getattr(ui, remedy).click()
    assert ui.cpuButton.isHidden()
    until(widget, "Apply")
    assert finished, ui.errorLabel.text
    settings = finished[0].request.settings
    assert settings["working_spacing_mm" if parameter else "device"] == value
    assert widget.logic.getParameterNode().workingSpacing == (value if parameter else 0.0)
    assert widget.panel.model.device == ("auto" if parameter else "cpu")


def test_two_panels_of_one_scene_share_what_is_chosen_and_not_what_runs(widget) -> None:
    from SpatialRegularization import SpatialRegularizationWidget

    other = SpatialRegularizationWidget()
    try:
        ui = choose(widget, QUICK)
        assert other.panel.ui.fixedSelector.currentNode() is widget.fixed
        ui.applyButton.click()
        assert (ui.applyButton.text, other.panel.ui.applyButton.text) == ("Cancel", "Apply")
        until(widget, "Apply")
        assert other.panel.ui.stageLabel.text == ""
        assert other.logic.pid is None
        assert other.panel.ui.outputTransformSelector.currentNode() is ui.outputTransformSelector.currentNode()
    finally:
        other.cleanup()
        other.parent.deleteLater()


def test_closing_the_scene_during_a_run_ends_it_and_leaves_an_empty_panel(widget, scene) -> None:
    ui = choose(widget, ENDLESS)
    told = ends_of(widget)
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
    ui = choose(widget, {**QUICK, "lambdaMax": 3.25, "preset": "brain-mri"})
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


NODES = {
    "fixedVolume": "vtkMRMLScalarVolumeNode", "movingVolume": "vtkMRMLScalarVolumeNode", "fixedMask": "vtkMRMLSegmentationNode",
    "movingMask": "vtkMRMLScalarVolumeNode", "fixedLabels": "vtkMRMLSegmentationNode",
    "movingLabels": "vtkMRMLLabelMapVolumeNode", "fixedPoints": "vtkMRMLMarkupsFiducialNode",
    "movingPoints": "vtkMRMLMarkupsFiducialNode", "initialTransform": "vtkMRMLTransformNode",
    "outputTransform": "vtkMRMLTransformNode", "outputVolume": "vtkMRMLScalarVolumeNode",
    "outputLambda": "vtkMRMLScalarVolumeNode", "outputJacobian": "vtkMRMLScalarVolumeNode",
    "outputMagnitude": "vtkMRMLScalarVolumeNode", "applyTransform": "vtkMRMLTransformNode",
    "applyReference": "vtkMRMLScalarVolumeNode",
}  # fmt: skip
"""Parameter → class of a node that it takes."""


@pytest.mark.parametrize("clear", [True, False], ids=["opened", "added to an empty scene"])
def test_every_node_that_was_chosen_is_chosen_again_in_a_scene_that_is_loaded(widget, scene, tmp_path: Path, clear: bool) -> None:
    from SpatialRegularization import SpatialRegularizationLogic

    console, parameters = SpatialRegularizationLogic(), widget.logic.getParameterNode()
    assert {name for name in parameters.allParameters if parameters.default(name).value is None} == set(NODES)
    for name, kind in NODES.items():
        node = scene.add(kind, name)
        if node.IsA("vtkMRMLVolumeNode"):
            node.SetAndObserveImageData(widget.fixed.GetImageData())
        setattr(parameters, name, node)
    scene.save(tmp_path / "scene.mrb")
    scene.mrml.Clear(False)
    assert [name for name in NODES if getattr(widget.panel.parameters, name) is not None] == []
    assert scene.mrml.ReadFromMRB(str(tmp_path / "scene.mrb"), clear)
    for found in (widget.panel.parameters, widget.logic.getParameterNode(), console.getParameterNode()):
        names = {name: getattr(found, name) and getattr(found, name).GetName() for name in NODES}
        assert names == {name: name for name in NODES}
    ui = widget.panel.ui
    selectors = {w.property("SlicerParameterName"): w for w in vars(ui).values() if w.className() == "qMRMLNodeComboBox"}
    assert {name: selectors[name].currentNode().GetName() for name in NODES} == {name: name for name in NODES}
    console.close()


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


def test_leaving_and_coming_back_keeps_what_was_chosen(widget) -> None:
    choose(widget, {**QUICK, "lambdaFloor": 0.25, "seed": 7}, "tiny-hyper")
    parameters = widget.logic.getParameterNode()
    before = {name: getattr(parameters, name) for name in parameters.allParameters}
    values = shown(widget)
    assert (values["lambda_floor"], values["seed"]) == (0.25, 7)
    widget.exit()
    widget.enter()
    assert {name: getattr(parameters, name) for name in parameters.allParameters} == before
    assert shown(widget) == values


def test_the_modules_own_test_passes_and_notices_a_preset_that_is_not_written(widget, monkeypatch: pytest.MonkeyPatch) -> None:
    from SpatialRegularization import SpatialRegularizationTest

    SpatialRegularizationTest().runTest()
    monkeypatch.setattr("SpatialRegularizationGui.inputs.regularization_section.write_settings", lambda *values: None)
    with pytest.raises(AssertionError):
        SpatialRegularizationTest().runTest()
