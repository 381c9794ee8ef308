"""The Qt layer and the doubles of the module classes refuse what the application would refuse, or only print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import pytest
import qt_needed

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytest.importorskip("PySide6.QtWidgets", reason=qt_needed.REASON, exc_type=ImportError)

import qt_layer
import slicer_module
from parameter_wrapper import Default, WithinRange, parameterNodeWrapper

pytestmark = pytest.mark.slicer
FORM = """<ui version="4.0"><widget class="qMRMLWidget" name="root"><layout class="QVBoxLayout" name="box">
<item><widget class="{kind}" name="one"><property name="{name}"><bool>true</bool></property></widget></item></layout></widget>
<connections><connection><sender>root</sender><signal>{signal}</signal><receiver>one</receiver><slot>{slot}</slot></connection>
</connections></ui>"""
GOOD = {
    "kind": "qMRMLNodeComboBox", "name": "noneEnabled", "signal": "mrmlSceneChanged(vtkMRMLScene*)",
    "slot": "setMRMLScene(vtkMRMLScene*)",
}  # fmt: skip


@pytest.fixture
def qt(scene: Any) -> Any:
    """The layer, in a fresh scene."""
    slicer_module.install(scene.slicer)
    return qt_layer.install(scene.slicer)[0]


def _load(scene: Any, folder: Path, **changes: str) -> Any:
    path = folder / "form.ui"
    path.write_text(FORM.format(**{**GOOD, **changes}), encoding="utf-8")
    return scene.slicer.util.loadUI(str(path))


def test_a_form_is_loaded_and_the_scene_reaches_its_selectors(qt, scene, tmp_path: Path) -> None:
    form = _load(scene, tmp_path)
    form.setMRMLScene(scene.mrml)
    assert scene.slicer.util.childWidgetVariables(form).one.mrmlScene() is scene.mrml


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "qMRMLNodeComboBocks"}, "unknown widget classes"),
        ({"name": "noneEnabeld"}, "noneEnabeld of qMRMLNodeComboBox is no property"),
        ({"signal": "mrmlSceneChagned(vtkMRMLScene*)"}, "no signal"),
        ({"slot": "setMRMLSzene(vtkMRMLScene*)"}, "setMRMLSzene"),
    ],
)
def test_what_is_misspelt_in_a_form_is_an_error(qt, scene, tmp_path: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises((ValueError, AttributeError), match=said):
        _load(scene, tmp_path, **changes)


def test_unknown_signals_and_attributes_are_found(qt) -> None:
    button = qt.QPushButton("a")
    with pytest.raises(ValueError, match="has no signal clikced"):
        button.connect("clikced()", print)
    assert qt_layer.misspelt() == []
    button.enabeld = False
    assert qt_layer.misspelt() == ["QPushButton '': enabeld"]
    del button.enabeld


def test_properties_are_attributes_and_surplus_values_of_signals_are_left_out(qt) -> None:
    button, heard = qt.QPushButton("a"), []
    button.connect("clicked()", lambda: heard.append("click"))
    button.connect("clicked(bool)", lambda checked: heard.append(checked))
    button.click()
    assert heard == ["click", False]
    button.text = "b"
    assert (button.text, button.enabled) == ("b", True)
    with pytest.raises(TypeError, match="takes no"):
        button.enabled = object()
    with pytest.raises(AttributeError, match="cannot be set"):
        button.width = 3


def test_a_node_selector_takes_nodes_of_its_types_only_and_follows_the_scene(qt, scene, tmp_path: Path) -> None:
    selector = scene.slicer.util.childWidgetVariables(_load(scene, tmp_path)).one
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(scene.mrml)
    volume, model = scene.add("vtkMRMLScalarVolumeNode"), scene.add("vtkMRMLModelNode")
    selector.setCurrentNode(model)
    assert selector.currentNode() is None
    selector.setCurrentNode(volume)
    scene.mrml.RemoveNode(volume)
    assert selector.currentNode() is None
    selector.noneEnabled = False
    other = scene.add("vtkMRMLScalarVolumeNode")
    assert selector.currentNode() is other


def test_properties_can_be_set_any_number_of_times(qt) -> None:
    """Each time PySide6 loses a reference to None; there are some ten thousand of them at first."""
    import ctk

    slider = ctk.ctkSliderWidget()
    for _ in range(200):
        slider.decimals = 4
    assert sys.getrefcount(None) > 1_000_000_000


def test_parameters_are_read_when_the_node_is_modified_and_at_no_other_time(qt, scene) -> None:
    """As in Slicer: what a reference leads to can change without ModifiedEvent of the node that refers to it."""

    hints = {"volume": Optional[scene.slicer.vtkMRMLScalarVolumeNode], "name": str}  # noqa: UP045
    Wrapped = parameterNodeWrapper(type("Wrapped", (), {"__annotations__": hints}))
    node = scene.add("vtkMRMLScriptedModuleNode")
    wrapped = Wrapped(node)
    node.UnsetParameter("volume_1")  # that of None
    node.SetParameter("volume_0", "")
    node.SetNodeReferenceID("volume_0", "vtkMRMLScalarVolumeNode1")  # as a file has it that is just being read
    volume = scene.add("vtkMRMLScalarVolumeNode")
    assert node.GetNodeReference("volume_0") is volume
    assert wrapped.volume is None
    assert Wrapped(node).volume is volume
    node.Modified()
    assert wrapped.volume is volume
    node.SetParameter("name", "x")
    assert wrapped.name == "x"
    with scene.slicer.util.NodeModify(node):
        node.SetParameter("name", "y")
        assert wrapped.name == "x", "not told yet"
    assert wrapped.name == "y"


def test_parameters_that_nobody_holds_are_let_go_of_unless_they_were_connected_to_controls(qt, scene) -> None:
    import vtk

    @parameterNodeWrapper
    class Wrapped:
        share: Annotated[float, WithinRange(0.0, 1.0)]

    node = scene.add("vtkMRMLScriptedModuleNode")
    Wrapped(node).share = 0.5
    assert not node.HasObserver(vtk.vtkCommand.ModifiedEvent)
    connected = Wrapped(node)
    connected.disconnectGui(connected.connectParametersToGui({"share": qt.QDoubleSpinBox()}))
    del connected
    assert node.HasObserver(vtk.vtkCommand.ModifiedEvent)


def test_parameters_refuse_wrong_types_values_out_of_range_and_controls_that_do_not_fit(qt, scene) -> None:
    @parameterNodeWrapper
    class Wrapped:
        share: Annotated[float, WithinRange(0.0, 1.0), Default(0.5)]
        free: float
        name: str

    node = scene.add("vtkMRMLScriptedModuleNode")
    wrapped = Wrapped(node)
    assert (wrapped.share, wrapped.name) == (0.5, "")
    with pytest.raises(ValueError, match="not within"):
        wrapped.share = 1.5
    with pytest.raises(TypeError):
        wrapped.name = 3
    with pytest.raises(RuntimeError, match="bounded"):
        wrapped.connectParametersToGui({"free": qt.QDoubleSpinBox()})
    with pytest.raises(RuntimeError, match="No connector"):
        wrapped.connectParametersToGui({"name": qt.QComboBox()})
    with pytest.raises(ValueError, match="Cannot find a param"):
        wrapped.connectParametersToGui({"shere": qt.QDoubleSpinBox()})
    box = qt.QDoubleSpinBox()
    tag = wrapped.connectParametersToGui({"share": box})
    box.value = 0.25
    wrapped.name = "x"
    assert (wrapped.share, Wrapped(node).share) == (0.25, 0.25)
    wrapped.share = 0.75
    assert box.value == 0.75
    wrapped.disconnectGui(tag)
    box.value = 0.1
    assert wrapped.share == 0.75
