"""The presets rigid and affine in the panel: one list, no control without effect, a run that ends in a linear transform."""

from __future__ import annotations

from typing import Any

import pytest
import qt_needed

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytest.importorskip("PySide6.QtWidgets", reason=qt_needed.REASON, exc_type=ImportError)

from panel_host import choose, files, until, widget

pytestmark = pytest.mark.slicer
__all__ = ["files", "widget"]  # fixtures


def prefer(ui: Any, preset: str) -> None:
    """As a user chooses it in the list."""
    ui.presetSelector.currentIndex = ui.presetSelector.findText(preset)


def visible(widget: Any) -> set[str]:
    """Settings whose controls are shown."""
    from SpatialRegularizationGui.parameters import DECLARED

    return {name for name in DECLARED if not widget.panel.controls[name].editor.isHidden()}


def test_rigid_and_affine_stand_in_the_list_of_presets_and_show_only_what_has_an_effect(widget) -> None:
    ui = choose(widget, {})
    prefer(ui, "generic")
    usual = visible(widget)
    for preset in ("rigid", "affine"):
        prefer(ui, preset)
        assert ui.deformableSelector.currentText == "none"
        assert ui.affineSelector.currentText == preset
        shown = visible(widget)
        assert {"affine", "deformable", "similarity", "intensity", "seed", "threads"} <= shown
        hidden = {"prior", "alpha_prime", "lambda_max", "lambda_floor", "lambda_pooling", "levels", "global_search", "max_voxels"}
        assert not hidden & shown
        assert hidden <= usual
        assert "nothing deforms" in ui.regularizationLabel.text
        assert (ui.updateLiveCheckBox.enabled, ui.resetButton.enabled) == (False, False)
    prefer(ui, "generic")
    assert visible(widget) == usual
    assert ui.updateLiveCheckBox.enabled
    assert ui.regularizationLabel.text == ""


def test_what_contradicts_a_linear_result_is_said_by_the_button(widget) -> None:
    ui = choose(widget, {}, "tiny-hyper")
    prefer(ui, "rigid")
    assert ui.applyButton.text == "Choose no model, or a preset that deforms"
    assert not ui.applyButton.enabled
    ui.modelSelector.currentIndex = ui.modelSelector.findData("")
    assert ui.applyButton.text == "Apply"
    ui.affineSelector.currentIndex = ui.affineSelector.findText("none")
    assert ui.applyButton.text == "Choose an affine start, or a preset that deforms"
    prefer(ui, "affine")
    assert ui.applyButton.text == "Apply"


def test_a_run_ends_in_a_linear_transform_and_the_next_one_deforms_the_same_node(widget, scene) -> None:
    ui, parameters = choose(widget, {}), widget.logic.getParameterNode()
    prefer(ui, "rigid")
    parameters.threads = 1
    ui.applyButton.click()
    until(widget, "Apply")
    assert ui.stageLabel.text.startswith("Done in "), ui.errorLabel.text
    assert "fold" not in ui.stageLabel.text
    transform = parameters.outputTransform
    assert transform.IsLinear()
    assert parameters.outputVolume is not None
    assert parameters.outputLambda is parameters.outputJacobian is None
    table = widget.panel.review._controls.table
    names = [table.item(row, 0).text() for row in range(table.rowCount)]
    assert {"Rotation", "Shift"} <= set(names)
    assert "Folded voxels" not in names
    prefer(ui, "generic")
    parameters.threads, parameters.affine, parameters.iterations, parameters.globalSearch = 1, "none", "1 1 1 1", "off"
    ui.applyButton.click()
    until(widget, "Apply")
    assert parameters.outputTransform is transform
    assert not transform.IsLinear()
    assert parameters.outputLambda is not None
    ui.undoButton.click()
    assert transform.IsLinear()
    assert parameters.outputLambda is None
