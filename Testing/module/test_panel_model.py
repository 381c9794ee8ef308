"""The panel with a model: its sliders, live updates by a real worker, refinement, import and removal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import qt_needed

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytest.importorskip("PySide6.QtWidgets", reason=qt_needed.REASON, exc_type=ImportError)

import qt_layer
from panel_host import ENDLESS, QUICK, SECONDS, choose, files, shown, until, widget

pytestmark = pytest.mark.slicer
__all__ = ["files", "widget"]  # fixtures


def test_refine_asks_for_the_models_answer_and_that_many_steps(widget) -> None:
    ui = choose(widget, QUICK, "tiny-hyper")
    finished: list[Any] = []
    widget.logic.finished.connect(finished.append)
    ui.refineStepsSpinBox.value = 2
    ui.refineButton.click()
    until(widget, "Apply")
    assert finished, ui.errorLabel.text
    request = finished[0].request
    assert (request.model, request.settings["refine_steps"]) == ("tiny-hyper", 2)
    assert request.condition == pytest.approx({"alpha_prime": 0.1, "lambda_max": 2.525})
    ui.modelSelector.currentIndex = 0
    assert not ui.refineButton.enabled


def test_images_that_a_model_was_not_made_for_are_warned_about(widget, scene) -> None:
    ui = choose(widget, QUICK, "tiny-hyper")
    assert ui.fitLabel.isHidden()
    widget.moving.SetSpacing(9.0, 9.0, 9.0)
    widget.panel.enter()
    assert "The moving volume covers 288 × 288 × 288 mm" in ui.fitLabel.text


def test_the_sliders_are_those_of_the_model_with_its_ranges_and_go_back_to_its_tuned_values(widget) -> None:
    ui = choose(widget, QUICK, "tiny-hyper")
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


def test_under_auto_a_control_that_was_touched_is_asked_for_until_a_preset_is_chosen(widget) -> None:
    from SpatialRegularizationGui.parameters import settings_of

    ui = widget.panel.ui
    assert ui.presetSelector.currentText == "auto"
    assert settings_of(widget.panel.parameters) == {}
    for similarity in ("mind", "lncc"):
        ui.similaritySelector.currentIndex = ui.similaritySelector.findText(similarity)
        assert settings_of(widget.panel.parameters) == {"similarity": similarity}
    for preset in ("generic", "auto"):
        ui.presetSelector.currentIndex = ui.presetSelector.findText(preset)
        assert settings_of(widget.panel.parameters) == {}


def test_a_preset_sets_every_control_and_says_what_it_is_for(widget) -> None:
    from SpatialRegularizationGui.parameters import SETTINGS, value_of

    from SpatialRegularizationLib.registration.presets import DETAILS

    ui, seen = widget.panel.ui, {name: set() for name in SETTINGS}
    for preset in [*DETAILS, next(iter(DETAILS))]:
        ui.presetSelector.currentIndex = ui.presetSelector.findText(preset)
        values = shown(widget)
        for name in SETTINGS:
            assert values[name] == pytest.approx(value_of(DETAILS[preset].settings, name)), (preset, name)
            seen[name].add(values[name])
        assert ui.presetLabel.text.lower() == f"{DETAILS[preset].purpose}.".lower()
    assert len([name for name, values in seen.items() if len(values) > 1]) > 6, "presets differ in many settings"


@pytest.mark.parametrize("model", ["tiny-hyper", ""], ids=["model", "per-pair"])
def test_update_live_shows_the_newest_position_and_drops_the_others(widget, scene, model: str) -> None:
    ui = choose(widget, QUICK, model)
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
    ui = choose(widget, QUICK, "tiny-hyper")
    previews: list[Any] = []
    widget.logic.previewed.connect(previews.append)
    ui.updateLiveCheckBox.checked = True
    qt_layer.wait_until(lambda: previews, SECONDS, ui.errorLabel.text)
    count = len(previews)
    ui.applyHardenCheckBox.checked = True
    ui.refineStepsSpinBox.value = 77
    with pytest.raises(AssertionError, match="Not within 1 s"):
        qt_layer.wait_until(lambda: len(previews) > count, 1.0)
    ui.lambdaMaxSlider.value = 3.0
    qt_layer.wait_until(lambda: len(previews) > count, SECONDS, "one that it depends on does")


def test_a_model_is_imported_and_removed_by_its_buttons(widget, files: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SPATIALREG_ZOO", str(tmp_path / "zoo"))
    widget.enter()
    ui = widget.panel.ui
    assert ui.modelSelector.findData("tiny-hyper") == -1
    qt_layer.FileDialog.answer = str(files / "zoo" / "tiny-hyper.safetensors")
    ui.importModelButton.click()
    qt_layer.wait_until(lambda: ui.modelSelector.findData("tiny-hyper") >= 0, SECONDS, ui.errorLabel.text)
    ui.modelSelector.currentIndex = ui.modelSelector.findData("tiny-hyper")
    asked, answers = [], [False, True]
    monkeypatch.setattr("slicer.util.confirmOkCancelDisplay", lambda question: asked.append(question) or answers.pop(0))
    until(widget, "Select a fixed volume")
    ui.removeModelButton.click()
    assert widget.logic.state.value == "idle", "the user thought better of it"
    ui.removeModelButton.click()
    assert asked == ["Delete the model tiny-hyper from this computer?"] * 2
    qt_layer.wait_until(lambda: "not on this computer" in ui.modelSelector.currentText, SECONDS, ui.errorLabel.text)
    assert not (tmp_path / "zoo" / "tiny-hyper.safetensors").exists()


def test_the_device_is_remembered_by_the_application_and_not_by_the_scene(widget) -> None:
    from SpatialRegularizationGui.inputs.model_section import DEVICE_KEY

    ui = widget.panel.ui
    ui.deviceSelector.currentIndex = ui.deviceSelector.findData("cpu")
    assert sys.modules["qt"].QSettings().value(DEVICE_KEY) == "cpu"
    node = widget.logic.getParameterNode().parameterNode
    assert not [name for name in node.GetParameterNames() if "device" in name.lower()]


def test_a_chosen_gpu_stays_chosen_whatever_the_worker_sees(widget, monkeypatch) -> None:
    """"cuda" is the first GPU; a worker that was given the second one alone calls it cuda:0."""
    found = [{"device": "cpu", "name": "CPU"}, {"device": "cuda:0", "name": "A"}, {"device": "cuda:1", "name": "B"}]
    model, logic, shown = widget.panel.model, widget.logic, widget.panel.ui.deviceSelector
    model.choose_device("cuda")
    monkeypatch.setattr(logic.worker, "ready", {"devices": found})
    model.offer_devices(logic.devices)
    assert (model.device, shown.currentText) == ("cuda", "CUDA (first NVIDIA GPU)")
    model.choose_device("cuda:1")
    logic.worker.use({"CUDA_VISIBLE_DEVICES": "1"})
    monkeypatch.setattr(logic.worker, "ready", {"devices": found[:2]})
    model.offer_devices(logic.devices)
    assert (model.device, shown.currentText) == ("cuda:1", "CUDA 1 (B)")


def test_while_something_runs_nothing_else_can_be_started(widget) -> None:
    ui = choose(widget, ENDLESS, "tiny-hyper")
    buttons = [ui.refineButton, ui.importModelButton, ui.removeModelButton]
    assert [button.enabled for button in buttons] == [True, True, True]
    ui.modelSelector.currentIndex = 0
    ui.applyButton.click()
    assert ui.applyButton.text == "Cancel"
    ui.modelSelector.currentIndex = ui.modelSelector.findData("tiny-hyper")
    assert [button.enabled for button in buttons] == [False, False, False]
    widget.panel._refine()
    widget.panel._manage("remove", "tiny-hyper")
    assert ui.applyButton.text == "Cancel"
    ui.applyButton.click()
    until(widget, "Apply")
    assert [button.enabled for button in buttons] == [True, True, True]
