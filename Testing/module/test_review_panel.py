"""The review section on a Qt of its own: controls move what the views show, sentences, table and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import reviewed

pytest.importorskip("slicer", reason="needs the slicer-core package")
qt_layer = pytest.importorskip("qt_layer", reason="needs the PySide6-Essentials package")
pytestmark = pytest.mark.slicer

FIGURES = {
    "similarity_before": 0.41,
    "similarity_after": 0.83,
    "dice_before": {"1": 0.5, "2": 0.25, "mean": 0.375},
    "dice_after": {"1": 0.9, "2": 0.7, "mean": 0.8},
    "tre_before_mm": {"mean": 9.5, "max": 20.0},
    "tre_after_mm": {"mean": 1.25, "max": 3.5},
    "folding_percent": 0.0,
    "ndv_percent": 0.0,
    "sd_log_j": 0.123,
    "peak_memory_mb": 812.0,
}


@pytest.fixture
def section(scene: Any) -> Any:
    """The section in an empty frame, for a scene with two views."""
    qt_layer.install(scene.slicer)
    import qt
    from SpatialRegularizationGui.review.review_section import ReviewSection

    for name in ("Red", "Yellow"):
        scene.add("vtkMRMLSliceNode", name)
        scene.add("vtkMRMLSliceCompositeNode", name)
    frame = qt.QWidget()
    qt.QVBoxLayout(frame)
    saved: list[str] = []

    def save(path: str) -> None:
        if not Path(path).parent.is_dir():
            raise FileNotFoundError(f"The folder {Path(path).parent} does not exist: choose another one.")
        saved.append(path)

    made = ReviewSection(frame, save)
    made.saved = saved
    made.set_scene(scene.mrml)
    made.frame = frame
    yield made
    made.cleanup()


def outcome(nodes: reviewed.Reviewed, report: str = "", similarity: str = "lncc", **figures: Any) -> Any:
    from SpatialRegularizationGui.inputs.request import Outputs, RegistrationRequest
    from SpatialRegularizationGui.run.events import Outcome

    names = ("transform", "warped", "lambda_map", "jacobian")
    request = RegistrationRequest(nodes.fixed, nodes.warped, preset="auto")
    outputs = Outputs(**{name: getattr(nodes, name) for name in names})
    return Outcome(outputs, {**FIGURES, **figures}, 3.21, "cpu", request, {"similarity": similarity}, report=report)


def preview(nodes: reviewed.Reviewed) -> Any:
    from SpatialRegularizationGui.run.events import Preview

    done = outcome(nodes)
    return Preview(done.outputs, {"folding_percent": 0.0, "sd_log_j": 0.05}, 0.2, "cpu", done.request, done.settings, 7)


def control(section: Any, name: str) -> Any:
    import qt

    found = [w for w in section.frame.findChildren(qt.QWidget) if w.objectName == name]
    assert len(found) == 1, f"{name}: {len(found)} widgets"
    return found[0]


def table(section: Any) -> dict[str, tuple[str, str]]:
    widget = control(section, "reviewFiguresTable")
    lines = [[widget.item(row, column).text() for column in range(3)] for row in range(widget.rowCount)]
    return {name: (before, after) for name, before, after in lines}


def foreground(scene: Any) -> Any:
    composite = scene.nodes("vtkMRMLSliceCompositeNode")[0]
    return scene.mrml.GetNodeByID(composite.GetForegroundVolumeID())


def choose(section: Any, name: str, text: str) -> None:
    combo = control(section, name)
    combo.setCurrentIndex(combo.findText(text))


def test_before_a_result_only_nothing_can_be_done(section: Any) -> None:
    for name in ("reviewOverlayCombo", "reviewOpacitySlider", "reviewThresholdRange", "reviewJumpButton", "reviewSaveButton"):
        assert not control(section, name).enabled, name
    assert table(section) == {}


def test_the_verdict_is_a_word_with_its_reasons_and_goes_with_the_result(section: Any, scene: Any) -> None:
    nodes = reviewed.put(scene)
    label = control(section, "reviewVerdictLabel")
    assert label.text == ""
    section.show(outcome(nodes, verdict={"level": "look here", "reasons": ["The fields share 12 %: crop both."], "evidence": {}}))
    assert label.text.splitlines() == ["Look here", "• The fields share 12 %: crop both."]
    assert "#9a6700" in label.styleSheet
    section.show(outcome(nodes, verdict={"level": "good", "reasons": [], "evidence": {}}))
    assert label.text == "Good"
    section.show(preview(nodes))
    assert label.text == ""
    section.show(outcome(nodes))  # of an earlier version: without a verdict
    assert label.text == ""


def test_every_control_has_a_name_and_a_tool_tip(section: Any) -> None:
    import qt

    controls = [w for w in section.frame.findChildren(qt.QWidget) if w.objectName.startswith("review")]
    assert len(controls) == 16
    silent = [w.objectName for w in controls if not w.toolTip and w.objectName != "reviewStatusLabel"]
    assert silent == []


def test_the_figures_stand_in_the_table_before_and_after(section: Any, scene: Any) -> None:
    section.show(outcome(reviewed.put(scene)))
    lines = table(section)
    assert lines["Local correlation (LNCC)"] == ("0.410", "0.830")
    assert lines["Dice, mean of labels"] == ("0.375", "0.800")
    assert lines["Dice, label 2"] == ("0.250", "0.700")
    assert lines["Landmark error, mean"] == ("9.50", "1.25 mm")
    assert lines["Folded voxels"] == ("", "0 %")
    assert lines["Non-diffeomorphic volume"] == ("", "0.00 %")
    assert lines["Roughness (SDlogJ)"] == ("", "0.123")
    assert lines["Time"] == ("", "3.2 s")


def test_the_table_names_the_similarity_that_was_used_whatever_the_preset_says(section: Any, scene: Any) -> None:
    nodes = reviewed.put(scene)
    for similarity, name in (("lncc", "Local correlation (LNCC)"), ("mind", "Self-similarity context (MIND-SSC)")):
        section.show(outcome(nodes, similarity=similarity))
        assert any(line.startswith(name) for line in table(section)), similarity


def test_dice_has_the_names_of_the_segments(section: Any, scene: Any) -> None:
    from SpatialRegularizationGui.review.table import rows_of

    names = [row.name for row in rows_of(FIGURES, "lncc", 1.0, {1: "left lung", 2: "right lung"})]
    assert {"Dice, left lung", "Dice, right lung"} < set(names)


def test_choosing_an_overlay_changes_the_views(section: Any, scene: Any) -> None:
    nodes = reviewed.put(scene)
    done = outcome(nodes)
    section.show(done)
    assert foreground(scene) is nodes.warped
    choose(section, "reviewOverlayCombo", "Regularization weight λ")
    assert foreground(scene) is nodes.lambda_map
    control(section, "reviewOpacitySlider").value = 0.25
    assert scene.nodes("vtkMRMLSliceCompositeNode")[0].GetForegroundOpacity() == pytest.approx(0.25)
    control(section, "reviewLegendCheck").checked = False
    assert scene.nodes("vtkMRMLColorLegendDisplayNode") == []


def test_the_threshold_has_the_range_of_the_overlay_and_starts_anew_with_another(section: Any, scene: Any) -> None:
    nodes = reviewed.put(scene)
    done = outcome(nodes)
    section.show(done)
    choose(section, "reviewOverlayCombo", "Regularization weight λ")
    threshold = control(section, "reviewThresholdRange")
    assert (threshold.minimum, threshold.maximum) == pytest.approx((0, 1.2))
    display = nodes.lambda_map.GetDisplayNode()
    assert not display.GetApplyThreshold()
    threshold.setValues(0.3, 0.9)
    assert (display.GetLowerThreshold(), display.GetUpperThreshold()) == pytest.approx((0.3, 0.9))
    section.show(preview(nodes))
    assert display.GetApplyThreshold(), "a live update keeps what was chosen"
    choose(section, "reviewOverlayCombo", "Volume change (log-Jacobian)")
    assert threshold.minimum == -threshold.maximum
    assert not foreground(scene).GetDisplayNode().GetApplyThreshold()


def test_what_is_missing_is_a_sentence(section: Any, scene: Any) -> None:
    from dataclasses import replace

    nodes = reviewed.put(scene)
    done = outcome(nodes)
    section.show(replace(done, outputs=replace(done.outputs, lambda_map=None)))
    choose(section, "reviewOverlayCombo", "Regularization weight λ")
    assert "weight map was not among the outputs" in control(section, "reviewStatusLabel").text
    choose(section, "reviewOverlayCombo", "Folds")
    assert control(section, "reviewStatusLabel").text == ""


def test_the_button_jumps_to_the_fold_or_says_that_there_is_none(section: Any, scene: Any) -> None:
    from SpatialRegularizationGui.scene.images import Image
    from SpatialRegularizationGui.scene.nodes import set_image

    nodes = reviewed.put(scene)
    done = outcome(nodes)
    section.show(done)
    control(section, "reviewJumpButton").click()
    assert "worst fold" in control(section, "reviewStatusLabel").text
    set_image(nodes.jacobian, Image(0 * reviewed.arrays()["jacobian"] + 1, nodes.grid))
    section.show(done)
    control(section, "reviewJumpButton").click()
    assert "no fold" in control(section, "reviewStatusLabel").text


def test_blinking_goes_on_by_itself_and_stops_when_the_module_is_left(section: Any, scene: Any) -> None:
    nodes = reviewed.put(scene)
    done = outcome(nodes)
    section.show(done)
    choose(section, "reviewCompareCombo", "Blink")
    composite = scene.nodes("vtkMRMLSliceCompositeNode")[0]
    seen = set()

    def both() -> bool:
        seen.add(composite.GetBackgroundVolumeID())
        return seen == {nodes.fixed.GetID(), nodes.warped.GetID()}

    qt_layer.wait_until(both, seconds=10)
    section.exit()
    assert not section._timer.active
    section.enter()
    assert section._timer.active
    choose(section, "reviewCompareCombo", "Fade")
    assert not section._timer.active


def test_the_save_button_asks_where_and_says_what_it_did(
    section: Any, scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt

    done = outcome(reviewed.put(scene), str(tmp_path / "report.html"))
    section.show(done)
    answers = {"mine": "Saved", "named.htm": "Saved", "no/report.html": "does not exist", "": "does not exist"}
    for answer, words in answers.items():
        path = str(tmp_path / answer) if answer else ""
        monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_, path=path: path)
        control(section, "reviewSaveButton").click()
        assert words in control(section, "reviewStatusLabel").text
    assert section.saved == [str(tmp_path / "mine.html"), str(tmp_path / "named.htm")]


def test_a_preview_shows_its_quick_figures_and_offers_no_report(section: Any, scene: Any) -> None:
    nodes = reviewed.put(scene)
    section.show(preview(nodes))
    assert set(table(section)) == {"Folded voxels", "Roughness (SDlogJ)", "Time"}
    assert not control(section, "reviewSaveButton").enabled


def test_closing_the_scene_while_something_is_shown_leaves_nothing_behind(section: Any, scene: Any) -> None:
    nodes = reviewed.put(scene)
    done = outcome(nodes)
    section.show(done)
    choose(section, "reviewOverlayCombo", "Difference warped − fixed")
    scene.mrml.Clear(False)
    section.clear()
    assert table(section) == {}
    assert not control(section, "reviewJumpButton").enabled
    control(section, "reviewOpacitySlider").value = 0.9
    again = outcome(reviewed.put(scene))
    section.show(again)
    assert control(section, "reviewJumpButton").enabled
    assert table(section)


def test_nothing_is_set_that_no_widget_has(section: Any, scene: Any) -> None:
    import qt

    done = outcome(reviewed.put(scene))
    section.show(done)
    own = ("connect", "disconnect")
    for widget in section.frame.findChildren(qt.QWidget):
        unknown = [n for n in vars(widget) if not n.startswith("_") and n not in own and not hasattr(type(widget), n)]
        assert unknown == [], f"{widget.objectName}: {unknown}"


def test_lengths_of_tiny_voxels_keep_their_digits() -> None:
    from SpatialRegularizationGui.review.table import rows_of

    figures = {
        "tre_before_mm": {"mean": 0.0095, "max": 0.02}, "tre_after_mm": {"mean": 0.00125, "max": 0.003},
        "inverse_residual_p99_mm": 1e-6, "inverse_residual_mm": 1e-5,
    }  # fmt: skip
    rows = {row.name: (row.before, row.after) for row in rows_of(figures, "lncc", 0.002)}
    assert rows["Landmark error, mean"] == ("9.50", "1.25 µm")
    assert rows["Landmark error, largest"] == ("20.00", "3.00 µm")
    assert rows["Inverse, error at 99 % / largest"] == ("", "0.001 / 0.01 µm")
