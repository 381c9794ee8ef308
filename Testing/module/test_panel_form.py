"""The form, its parameters and its catalogue: every control is bound once, ranges come from the settings, nothing is heavy."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import qt_needed

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytest.importorskip("PySide6.QtWidgets", reason=qt_needed.REASON, exc_type=ImportError)
pytestmark = pytest.mark.slicer

REPOSITORY = Path(__file__).resolve().parents[2]
FORM = REPOSITORY / "SpatialRegularization" / "Resources" / "UI" / "SpatialRegularization.ui"
BOUND = (
    "QCheckBox", "QComboBox", "QDoubleSpinBox", "QLineEdit", "QSpinBox", "ctkSliderWidget", "qMRMLNodeComboBox",
)  # fmt: skip
NUMBERS = ("QDoubleSpinBox", "QSpinBox", "ctkSliderWidget")
LABELS = {
    "similarity": "Similarity", "lncc_window": "Window", "mind_radius": "Radius", "mind_dilation": "Dilation",
    "prior": "Prior of λ", "affine": "Affine start", "global_search": "Global search", "levels": "Steps per level",
    "lambda_pooling": "λ blocks", "edge_relief": "Edge relief", "evidence": "Evidence",
    "learning_rate": "Step size", "tolerance": "Tolerance",
    "working_spacing_mm": "Working spacing", "max_voxels": "Largest lattice", "intensity": "Intensities",
    "seed": "Seed", "threads": "Threads", "precision": "Optimizer precision", "network_precision": "Model precision",
    "eta": "η", "lambda": "λ",
}  # fmt: skip
"""What the labels of settings without a symbol say."""
UNBOUND = {"deviceSelector"}
"""Remembered by the application, not by the scene."""


@pytest.fixture
def parameters(scene):
    """Fresh parameters of the panel in a fresh scene."""
    import slicer_module

    slicer_module.install(scene.slicer)
    from SpatialRegularizationGui.parameters import PanelParameters

    return PanelParameters(scene.add("vtkMRMLScriptedModuleNode"))


@dataclass(frozen=True)
class Form:
    """The form with the controls that are made from declarations."""

    ui: Any
    controls: Any
    section: Any

    def bound(self) -> list[tuple[str, str, str]]:
        """(class, name, parameter) of every control."""
        widgets = [widget for widget in vars(self.ui).values() if type(widget).__name__ in (*BOUND, "QPushButton")]
        named = [widget for widget in widgets if not widget.objectName.startswith("qt_")]  # parts of Qt's own widgets
        return [(type(w).__name__, w.objectName, w.property("SlicerParameterName") or "") for w in named]


def _form(parameters: Any, card: Any = None) -> Form:
    """The controls, showing the sliders of a model or of the preset."""
    import slicer
    from SpatialRegularizationGui.inputs.controls import SettingControls
    from SpatialRegularizationGui.inputs.regularization_section import RegularizationSection

    widget = slicer.util.loadUI(str(FORM))
    controls = SettingControls(widget)
    ui = slicer.util.childWidgetVariables(widget)
    ui.kept = widget  # a form that nobody holds takes its controls with it
    made = Form(ui, controls, RegularizationSection(ui, controls))
    made.section.show(parameters, card)
    controls.show(parameters)
    return made


def test_every_control_is_bound_to_one_parameter_and_every_parameter_to_one_control(parameters) -> None:
    controls = [(name, parameter) for kind, name, parameter in _form(parameters).bound() if kind != "QPushButton"]
    assert [name for name, parameter in controls if not parameter and name not in UNBOUND] == []
    assert sorted(parameter for _, parameter in controls if parameter) == sorted({*parameters.allParameters} - {"asked"})


def test_every_control_has_a_tool_tip_with_range_and_unit_where_it_is_a_number(parameters) -> None:
    form = _form(parameters)
    for kind, name, _ in form.bound():
        tip = getattr(form.ui, name).toolTip
        assert tip, f"{name} has no tool tip"
        assert kind not in NUMBERS or re.search(r"Range: .+ to .+(, no unit| [a-zμ]+)", tip), f"{name}: {tip}"


def test_every_setting_has_a_parameter_and_a_control_with_its_range_and_its_words(parameters) -> None:
    import parameter_wrapper
    from SpatialRegularizationGui.parameters import AUTOMATIC, OF_MODELS, PARAMETER_OF, WITHOUT

    from SpatialRegularizationLib.registration.settings import RULES

    assert set(PARAMETER_OF) == set(RULES) - {*WITHOUT} | set(OF_MODELS)
    form = _form(parameters)
    for setting, parameter in PARAMETER_OF.items():
        rules = RULES.get(setting, OF_MODELS[setting].metadata if setting in OF_MODELS else {})
        notes = parameters.allParameters[parameter].notes
        if "range" in rules:
            low, high = parameter_wrapper.note_of(notes, parameter_wrapper.WithinRange)
            assert high == rules["range"][1]
            assert low == (0 if setting in AUTOMATIC else rules["range"][0])
        elif "choices" in rules:
            assert parameter_wrapper.note_of(notes, parameter_wrapper.Choice) == (list(rules["choices"]),)
        control = form.controls[setting]
        assert control.editor.property("SlicerParameterName") == parameter
        assert rules["help"][1:] in control.editor.toolTip
        label, expected = control.label.text.rstrip(":"), LABELS.get(setting) or rules.get("symbol")
        assert label == expected if expected else set(label.lower().split()) <= set(setting.split("_")), setting


def test_controls_stand_in_the_sections_where_they_always_stood(parameters) -> None:
    form = _form(parameters)
    rows = {}
    for frame in (form.ui.regularizationFrame, form.ui.advancedFrame):
        layout = frame.layout()
        items = [layout.itemAt(row, layout.ItemRole.FieldRole) for row in range(layout.rowCount())]
        names = [item.widget().property("SlicerParameterName") for item in items if item is not None and item.widget()]
        rows[frame.objectName] = [name for name in names if name]
    assert rows["regularizationFrame"][0] == "prior"
    assert set(rows["regularizationFrame"]) >= {
        "prior", "lambdaMax", "alphaPrime", "lambdaMean", "sigmaPrime", "eta", "uniformLambda",
    }  # fmt: skip
    assert set(rows["advancedFrame"]) >= {
        "similarity", "lnccWindow", "mindRadius", "mindDilation", "lambdaFloor", "lambdaPooling", "affine", "globalSearch",
        "iterations", "learningRate", "tolerance", "workingSpacing", "maxVoxels", "intensity", "seed", "threads", "precision",
        "networkPrecision",
    }  # fmt: skip
    from SpatialRegularizationGui.parameters import PARAMETER_OF

    shown = rows["regularizationFrame"] + rows["advancedFrame"]
    assert sorted(shown) == sorted(PARAMETER_OF.values()), "each stands in one of the two"


WITH = [("lncc", {"lnccWindow"}), ("mind", {"mindRadius", "mindDilation"}), ("mse", set())]


@pytest.mark.parametrize(("similarity", "shown"), WITH)
def test_parameters_of_a_similarity_are_shown_with_it_alone(parameters, similarity: str, shown: set[str]) -> None:
    parameters.similarity = similarity
    ui = _form(parameters).ui
    boxes = {name: getattr(ui, f"{name}SpinBox") for name in ("lnccWindow", "mindRadius", "mindDilation")}
    assert {name for name, box in boxes.items() if not box.isHidden()} == shown


def test_the_floor_of_the_weight_is_shown_where_the_prior_has_one(parameters) -> None:
    for prior, hidden in (("beta", False), ("gaussian", False), ("uniform", True)):
        parameters.prior = prior
        ui = _form(parameters).ui
        assert (ui.lambdaFloorSlider.isHidden(), ui.lambdaFloorSliderLabel.isHidden()) == (hidden, hidden), prior


OF_OLD_SCENES = {
    "model": "tiny-hyper", "preset": "chest-ct", "prior": "gaussian", "lambdaMax": 3.25, "alphaPrime": 0.07, "lambdaMean": 1.5,
    "sigmaPrime": 0.2, "eta": 0.6, "uniformLambda": 0.25, "updateLive": True, "refineSteps": 12, "wantVolume": False,
    "wantLambda": False, "wantJacobian": False, "wantMagnitude": True, "composite": False, "applyInverse": True,
    "applyHarden": True, "similarity": "mse", "lnccWindow": 5, "affine": "rigid", "globalSearch": "off", "iterations": "1 2 3 4",
    "lambdaFloor": 0.05, "lambdaPooling": 3, "learningRate": 0.2, "tolerance": 0.001, "workingSpacing": 2.5, "maxVoxels": 1000000,
    "intensity": "ct", "seed": 7, "threads": 2, "precision": "float64", "networkPrecision": "bf16",
}  # fmt: skip
"""Parameters, and values as texts, that scenes of the first version hold."""


def test_a_scene_of_the_first_version_is_read_as_it_was_saved(scene, parameters) -> None:
    from SpatialRegularizationGui.parameters import PanelParameters

    node = scene.add("vtkMRMLScriptedModuleNode")
    for name, value in OF_OLD_SCENES.items():
        node.SetParameter(name, str(value))
    found = PanelParameters(node)
    assert {name: getattr(found, name) for name in OF_OLD_SCENES} == OF_OLD_SCENES
    new = {name for name in found.allParameters if name not in OF_OLD_SCENES and found.default(name).value is not None}
    assert new >= {"mindRadius", "mindDilation"}
    lacking = {name: found.default(name).value for name in new}
    assert {name: getattr(found, name) for name in new} == lacking, "what it lacks has its default"


def test_every_preset_written_to_the_panel_and_read_back_differs_in_nothing(parameters) -> None:
    from SpatialRegularizationGui.parameters import SETTINGS, settings_of, write_settings

    from SpatialRegularizationLib.registration.presets import PRESETS

    for name, settings in PRESETS.items():
        parameters.preset = name
        write_settings(parameters, settings, SETTINGS)
        assert settings_of(parameters) == {}, name


def test_only_what_differs_from_the_preset_is_asked_for(parameters) -> None:
    from SpatialRegularizationGui.parameters import settings_of

    parameters.lambdaMax, parameters.workingSpacing, parameters.iterations = 3.3, 2.5, "5, 4 3 2"
    assert settings_of(parameters) == {
        "lambda_max": 3.3, "working_spacing_mm": 2.5, "levels": ((8, 8, 5), (4, 4, 4), (2, 4, 3), (1, 2, 2)),
    }  # fmt: skip


def test_where_the_pair_decides_a_setting_that_was_changed_counts_also_when_it_is_moved_back(parameters) -> None:
    from SpatialRegularizationGui.parameters import remember_asked, settings_of

    from SpatialRegularizationLib.registration.presets import preset_settings

    assert parameters.preset == "auto"
    auto = preset_settings("auto")
    remember_asked(parameters)
    assert settings_of(parameters) == {}
    for similarity, largest in (("mind", 3.3), ("lncc", auto.lambda_max)):
        parameters.similarity, parameters.lambdaMax = similarity, largest
        remember_asked(parameters)
        assert settings_of(parameters) == {"similarity": similarity, "lambda_max": largest}
    parameters.iterations = " ".join(str(level[2]) for level in auto.levels)
    remember_asked(parameters)
    assert settings_of(parameters)["levels"] == auto.levels
    parameters.iterations = ""
    _form(parameters).section.reset(parameters, None)
    assert settings_of(parameters) == {"similarity": "lncc"}, "the button resets the sliders alone"
    _form(parameters).section.choose_preset(parameters, None)
    assert settings_of(parameters) == {}
    parameters.preset, parameters.similarity = "generic", "mind"
    remember_asked(parameters)
    parameters.similarity = "lncc"
    remember_asked(parameters)
    assert settings_of(parameters) == {}, "a preset that was named has no need of it"


@pytest.mark.parametrize("text", ["1 2", "a b c d", "1 2 3 -4", "1.5 2 3 4"])
def test_wrong_steps_per_level_are_refused_in_a_sentence(parameters, text: str) -> None:
    from SpatialRegularizationGui.parameters import settings_of

    parameters.iterations = text
    with pytest.raises(ValueError, match=r"Steps per level must be 4 whole numbers .* got '.*'; write for example 60 50 40 30"):
        settings_of(parameters)


def test_what_is_missing_is_said_until_nothing_is(parameters, scene) -> None:
    from SpatialRegularizationGui.inputs.model_cards import OFFERED, Card
    from SpatialRegularizationGui.inputs.panel_request import missing

    said = [missing(parameters, {})]
    parameters.fixedVolume = scene.add("vtkMRMLScalarVolumeNode", "F")
    said.append(missing(parameters, {}))
    parameters.movingVolume = parameters.fixedVolume
    said.append(missing(parameters, {}))
    parameters.movingVolume = scene.add("vtkMRMLScalarVolumeNode", "M")
    said.append(missing(parameters, {}))
    parameters.fixedPoints = scene.add("vtkMRMLMarkupsFiducialNode", "P")
    said.append(missing(parameters, {}))
    parameters.fixedPoints, parameters.model = None, "far"
    said.append(missing(parameters, {}))
    said.append(missing(parameters, {"far": Card("far", OFFERED)}))
    assert said == [
        "Select a fixed volume", "Select a moving volume", "Select two different volumes", "",
        "Select the moving landmarks, too", "Import the model far", "Download the model far",
    ]  # fmt: skip
    assert missing(None, {}) == "Open a scene"


def test_a_parameter_that_a_scene_brings_outside_of_the_range_of_a_preset_is_not_changed_by_showing_it(parameters) -> None:
    form = _form(parameters)
    slider = form.ui.lambdaMaxSlider
    parameters.connectParametersToGui({"lambdaMax": slider})
    parameters.lambdaMax = 250.0
    form.section.show(parameters, None)
    assert (parameters.lambdaMax, slider.value, slider.maximum) == (250.0, 250.0, 250.0)


SHIPPED = REPOSITORY / "SpatialRegularizationLib" / "zoo" / "bundled"


def test_a_step_of_every_slider_is_small_beside_its_value_whatever_the_model_or_preset(parameters) -> None:
    from SpatialRegularizationGui.inputs.model_cards import Card, Range, read_card
    from SpatialRegularizationGui.parameters import LIVE, PARAMETER_OF, SETTINGS, write_settings

    from SpatialRegularizationLib.registration.presets import PRESETS

    tiny = Card("tiny", "installed", ranges=(Range("alpha_prime", 0.0, 3e-5, 1.5e-5), Range("lambda_max", 0.05, 900.0, 450.0)))
    cards = [tiny, *(read_card(path.stem, path) for path in sorted(SHIPPED.glob("*.safetensors")))]
    seen = [(card, PARAMETER_OF[r.name], r.high - r.low, (r.low, r.high)) for card in cards for r in card.ranges]
    seen += [(None, name, None, preset) for preset in PRESETS for name in map(PARAMETER_OF.get, LIVE)]
    assert len(seen) > 30
    for card, name, span, ends in seen:
        if card is None:
            parameters.preset = ends
            write_settings(parameters, PRESETS[ends], SETTINGS)
        else:
            _form(parameters, card).section.reset(parameters, card)
        form = _form(parameters, card)
        slider = getattr(form.ui, f"{name}Slider")
        span = span or slider.maximum - slider.minimum
        assert span / 500 <= slider.singleStep <= span / 200 * 1.001, (ends, name, slider.singleStep)
        assert 10.0**-slider.decimals <= slider.singleStep / 10 * 1.001, "a tenth of a step can be typed"
        if card is None:
            value = getattr(parameters, name)
            assert slider.value == pytest.approx(value, rel=1e-9), f"{ends}: {name} is shown as it is"
            assert slider.singleStep <= value / 40 * 1.001, (ends, name)
        else:
            assert (slider.minimum, slider.maximum) == pytest.approx(ends, rel=1e-9), "ends are shown as they are"


def test_steps_of_the_advanced_numbers_are_small_beside_what_presets_hold(parameters) -> None:
    from SpatialRegularizationGui.parameters import PARAMETER_OF, SETTINGS

    from SpatialRegularizationLib.registration.presets import PRESETS, preset_settings

    form = _form(parameters)
    controls = {parameter: name for kind, name, parameter in form.bound() if kind in ("QDoubleSpinBox", "ctkSliderWidget")}
    for preset in PRESETS:
        for setting in SETTINGS:
            parameter, value = PARAMETER_OF[setting], getattr(preset_settings(preset), setting)
            if parameter in controls and value:
                control = getattr(form.ui, controls[parameter])
                assert control.singleStep <= value / 10 * 1.001, (preset, parameter)
                assert round(value, control.decimals) == value, (preset, parameter)


def test_the_reset_button_says_what_its_values_are(parameters) -> None:
    from SpatialRegularizationGui.inputs.model_cards import read_card

    said = {}
    for path in sorted(SHIPPED.glob("*.safetensors")):
        card, description = read_card(path.stem, path), json.loads(path.with_suffix(".json").read_text())["description"]
        if card.ranges:
            form = _form(parameters, card)
            button = form.ui.resetButton
            said[card.name] = button.text
            tuned = all(description[f"default_{r.name}"] is not None for r in card.ranges)
            assert ("found best" in button.toolTip) == tuned == ("tuned" in button.text), card.name
            assert ("middle of the range" in button.toolTip) != tuned, card.name
            assert ("not tuned" in card.html()) != tuned, card.name
            middle = [r.default == pytest.approx((r.low + r.high) / 2) for r in card.ranges]
            assert tuned or all(middle), card.name
    assert said == {
        "any-shapes-hyper": "Reset to the middle of the range",
        "head-any-hyper": "Reset to the middle of the range",
        "hippocampus-t1-hyper": "Reset to the tuned values",
    }
    assert _form(parameters).ui.resetButton.text == "Reset to the preset's values"
    assert "found best" not in _form(parameters).ui.resetButton.toolTip


def test_the_form_and_the_parameters_import_no_heavy_package() -> None:
    code = """
import sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'jinja2', 'scipy', 'nibabel', 'safetensors', 'requests'):
            raise ImportError(name)
sys.meta_path.insert(0, Forbid())
sys.path[:0] = [{module!r}, {tests!r}, {root!r}]
import slicer_scene
slicer = slicer_scene.start_slicer()
import slicer_module
slicer_module.install(slicer)
import numpy  # Slicer has numpy
import SpatialRegularization
widget = SpatialRegularization.SpatialRegularizationWidget()
assert 'torch' not in sys.modules
widget.cleanup()
"""
    folders = {"module": str(REPOSITORY / "SpatialRegularization"), "tests": str(Path(__file__).parent), "root": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code.format(**folders)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_list_of_names_in_the_readme_is_that_of_the_source() -> None:
    import qt_names

    assert qt_names.text() in qt_names.README.read_text(encoding="utf-8"), "run python Testing/module/qt_names.py"


def test_every_member_of_a_qt_class_that_the_source_names_exists(parameters) -> None:
    import qt
    import qt_names
    import qt_stand_ins

    kinds = {**qt_stand_ins.CTK, **qt_stand_ins.QMRML}
    found = {name: members for name, members in qt_names.collect().items() if name.startswith(("Q", "ctk", "qMRML"))}
    found.pop("ctk")
    for name, members in found.items():
        kind = kinds.get(name) or getattr(qt, name)
        unknown = [m for m in members if m != "connect" and m not in dir(kind)]
        assert unknown == [], f"{name}: {unknown}"


def test_the_checklist_for_a_desktop_has_at_most_25_steps() -> None:
    import qt_names

    steps = re.findall(r"^(\d+)\. ", qt_names.README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert steps == [str(n) for n in range(1, len(steps) + 1)]
    assert 10 <= len(steps) <= 25
