"""The module opened, left, loaded again and closed, also twice and half-way: nothing old stays, nothing gone is touched."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import qt_needed

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytest.importorskip("PySide6.QtWidgets", reason=qt_needed.REASON, exc_type=ImportError)

import qt_layer
import reviewed
from panel_host import QUICK, SECONDS, choose, files, until, widget

pytestmark = pytest.mark.slicer
__all__ = ["files", "widget"]  # fixtures
MODULE = Path(__file__).resolve().parents[2] / "SpatialRegularization" / "SpatialRegularization.py"


@pytest.fixture
def imported() -> Iterator[dict[str, Any]]:
    """Modules of this process, put back at the end: other tests hold classes of the present ones."""
    before = dict(sys.modules)
    yield before
    sys.modules.clear()
    sys.modules.update(before)


def reload() -> Any:
    """What slicer.util.reloadScriptedModule does with the file: a new module of the same name executes it."""
    spec = importlib.util.spec_from_file_location("SpatialRegularization", MODULE)
    made = sys.modules["SpatialRegularization"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def parts() -> dict[str, Any]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "SpatialRegularizationGui"}


def test_reload_takes_the_source_of_every_part_as_it_is_now(widget, imported) -> None:
    old = parts()
    new = reload()
    widget.cleanup()
    made = new.SpatialRegularizationWidget()
    try:
        kept = [name for name, module in parts().items() if old.get(name) is module]
        assert kept == []
        assert set(old) >= {"SpatialRegularizationGui.widget", "SpatialRegularizationGui.logic"}
        assert made.panel.ui.applyButton.text == "Select a fixed volume"
        assert type(made.panel) is sys.modules["SpatialRegularizationGui.widget"].Panel
    finally:
        made.cleanup()
        made.parent.deleteLater()


def test_a_first_start_leaves_modules_as_they_are(widget) -> None:
    from SpatialRegularizationGui.widget import Panel

    assert type(widget.panel) is Panel


def test_a_second_cleanup_does_nothing_even_where_the_form_is_gone(scene, widget, monkeypatch: pytest.MonkeyPatch) -> None:
    from SpatialRegularization import SpatialRegularizationWidget

    made = SpatialRegularizationWidget()
    closed: list[str] = []
    monkeypatch.setattr(made.logic, "close", lambda: closed.append("logic"))
    made.cleanup()
    delete(made.parent)
    with pytest.raises(RuntimeError, match="deleted"):
        made.panel.ui.applyButton.setText("a control that is touched now raises")
    made.cleanup()
    made.exit()
    assert closed == ["logic"]


def delete(form: Any) -> None:
    """Now, with everything in it: to touch a control of it afterwards raises."""
    import shiboken6

    shiboken6.delete(form)


def test_parts_of_a_closed_panel_can_be_closed_again_and_tell_their_controls_nothing(scene, widget) -> None:
    from SpatialRegularizationGui.run.events import Failure

    from SpatialRegularization import SpatialRegularizationWidget

    made = SpatialRegularizationWidget()
    panel, logic = made.panel, made.logic
    made.cleanup()
    delete(made.parent)
    review = panel.review
    for close in (panel.cleanup, review.cleanup, review.exit, panel.exit, logic.close, logic.close, logic.scene_closed):
        close()
    heard: list[Any] = []
    for signal in (logic.failed, logic.preview_said):
        signal.connect(heard.append)
    logic.failed.emit(Failure("too late"))
    logic.preview_said.emit("too late")
    scene.mrml.Clear(False)
    assert heard == [Failure("too late"), "too late"], "nobody else listens, and a control that is gone would have raised"
    assert (logic.pid, panel.parameters, panel._timer.active) == (None, None, False)


def test_a_widget_whose_setup_failed_can_be_left_and_cleaned_up(scene, widget, monkeypatch: pytest.MonkeyPatch) -> None:
    from SpatialRegularization import SpatialRegularizationWidget

    monkeypatch.setattr(SpatialRegularizationWidget, "setup", lambda self: None)
    made = SpatialRegularizationWidget()
    for call in (made.enter, made.exit, made.cleanup, made.cleanup):
        call()
    assert made.panel is None
    assert made.layout.count() == 0, "no half of a form stays"
    made.parent.deleteLater()


def test_parameters_that_could_not_be_shown_are_let_go_of(widget, monkeypatch: pytest.MonkeyPatch) -> None:
    panel, parameters = widget.panel, widget.logic.getParameterNode()
    with monkeypatch.context() as patched:
        patched.setattr(type(parameters), "connectParametersToGui", refuse)
        with pytest.raises(ValueError, match="no such choice"):
            panel.attach(parameters)
    panel.attach(widget.logic.getParameterNode())
    assert panel.ui.applyButton.text == "Select a fixed volume"


def refuse(self: Any, mapping: dict[str, Any]) -> int:
    raise ValueError("no such choice")


def test_the_worker_ends_even_where_cleaning_up_fails(widget, monkeypatch: pytest.MonkeyPatch) -> None:
    from SpatialRegularization import SpatialRegularizationWidget

    made = SpatialRegularizationWidget()
    closed: list[str] = []
    monkeypatch.setattr(made.logic, "close", lambda: closed.append("logic"))
    monkeypatch.setattr(made.panel.review, "cleanup", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made.cleanup()
    assert closed == ["logic"]
    made.parent.deleteLater()


def test_the_timer_rests_when_nothing_is_awaited_and_runs_for_the_next_run(widget) -> None:
    ui, timer = choose(widget, QUICK), widget.panel._timer
    assert not timer.active
    for _ in range(2):
        ui.applyButton.click()
        assert timer.active
        until(widget, "Apply")
        qt_layer.wait_until(lambda: not timer.active, SECONDS, "the timer rests")
        assert widget.panel.run._ui.stageLabel.text.startswith("Done in ")


def test_the_timer_rests_after_a_request_that_is_refused(widget) -> None:
    ui, timer = choose(widget, {**QUICK, "iterations": "1 2"}), widget.panel._timer
    ui.applyButton.click()
    qt_layer.wait_until(lambda: not timer.active, 5, "the timer rests")
    assert ui.errorLabel.text.startswith("Steps per level must be 4 whole numbers")
    assert (ui.applyButton.text, widget.logic.awaits) == ("Apply", False)


def test_the_timer_serves_a_live_update_to_its_end(widget) -> None:
    ui, timer = choose(widget, QUICK, "tiny-hyper"), widget.panel._timer
    ui.updateLiveCheckBox.checked = True
    assert timer.active
    qt_layer.wait_until(lambda: "per update" in ui.liveLabel.text, SECONDS, ui.errorLabel.text)
    qt_layer.wait_until(lambda: not timer.active, SECONDS, "the timer rests between the updates")
    said, ui.lambdaMaxSlider.value = ui.liveLabel.text, 1.5
    assert timer.active
    qt_layer.wait_until(lambda: not timer.active, SECONDS, said)
    ui.updateLiveCheckBox.checked = False
    assert not widget.logic.awaits


@pytest.fixture
def shown(scene, widget) -> Iterator[Any]:
    """A result in review, in two slice views of which the user has linked the second one."""
    for name, linked in (("Red", 0), ("Yellow", 1)):
        scene.add("vtkMRMLSliceNode", name)
        scene.add("vtkMRMLSliceCompositeNode", name).SetLinkedControl(linked)
    done = reviewed.put(scene)
    from SpatialRegularizationGui.inputs.request import Outputs, RegistrationRequest
    from SpatialRegularizationGui.run.events import Outcome

    outputs = Outputs(warped=done.warped, jacobian=done.jacobian)
    request = RegistrationRequest(done.fixed, done.warped)
    widget.panel.review.show(Outcome(outputs, {}, 1.0, "cpu", request, {"similarity": "lncc"}))
    yield widget
    widget.cleanup()


def links(scene: Any) -> list[tuple[int, int]]:
    return [(int(c.GetLinkedControl()), int(c.GetHotLinkedControl())) for c in scene.nodes("vtkMRMLSliceCompositeNode")]


LEAVE = {
    "another module": lambda shown, scene: shown.exit(),
    "the module is unloaded": lambda shown, scene: shown.cleanup(),
    "the scene is closed": lambda shown, scene: shown.panel.scene_closing(),
    "undo": lambda shown, scene: shown.panel._undo(),
    "the box is unchecked": lambda shown, scene: setattr(shown.panel.review._controls.boxes["linked"], "checked", False),
    "another scene is shown": lambda shown, scene: shown.panel.review.set_scene(scene.mrml),
}


@pytest.mark.parametrize("how", LEAVE)
def test_slice_views_are_linked_while_a_result_is_reviewed_and_then_as_the_user_had_them(shown, scene, how: str) -> None:
    assert links(scene) == [(1, 1), (1, 1)]
    LEAVE[how](shown, scene)
    assert links(scene) == [(0, 0), (1, 0)]


def test_coming_back_to_the_module_links_the_views_again_and_a_link_that_the_user_cut_stays_cut(shown, scene) -> None:
    shown.exit()
    shown.enter()
    assert links(scene) == [(1, 1), (1, 1)]
    red = scene.nodes("vtkMRMLSliceCompositeNode")[0]
    red.SetLinkedControl(0)
    shown.panel.review._apply()
    assert links(scene) == [(0, 1), (1, 1)], "a slider moves: no link of the user's is undone"
    shown.exit()
    assert links(scene) == [(0, 1), (1, 0)]


def test_a_result_that_comes_while_another_module_is_shown_links_no_view(shown, scene) -> None:
    shown.exit()
    shown.panel.review._apply()
    assert links(scene) == [(0, 0), (1, 0)]
