"""A prior and a similarity that the panel has never heard of: listed with the others, they are chosen, moved and sent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import qt_needed

pytest.importorskip("slicer", reason="needs the slicer-core package")
pytest.importorskip("PySide6.QtWidgets", reason=qt_needed.REASON, exc_type=ImportError)
pytestmark = pytest.mark.slicer

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = [str(REPOSITORY / "SpatialRegularization"), str(Path(__file__).parent), str(REPOSITORY), str(REPOSITORY / "Testing")]
PROGRAM = f"""
import json, sys
sys.path[:0] = {FOLDERS!r}
from dataclasses import dataclass
import SpatialRegularizationLib.priors as priors
import SpatialRegularizationLib.similarity as similarity
from SpatialRegularizationLib.declaration import integer, number

@dataclass(frozen=True)
class ToyPrior(priors.BetaPrior.__base__):
    name, summary = "toy", "a prior of a test"
    nu: float = number(0.7, 0.0, 42.0, "", "how much the toy believes", symbol="ν", live=True)
    reference = property(lambda self: 1.0)
    def __call__(self, lambda_map): return 0 * lambda_map.mean()
    def optimal_lambda(self, energy): return 0 * energy + 1

@dataclass(frozen=True)
class ToySimilarity(similarity.Mse.__base__):
    name, summary, prefix, title, good = "toy", "a similarity of a test", "toy_", "Toy", "0 is perfect."
    reach: int = integer(3, 1, 9, "voxels", "how far the toy looks")
    def __call__(self, warped, fixed, mask=None): return (warped - fixed).square().mean()

priors.PRIORS = (*priors.PRIORS, ToyPrior)
similarity.SIMILARITIES = (*similarity.SIMILARITIES, ToySimilarity)

import slicer_scene, slicer_module
host = slicer_scene.fresh_scene()
slicer_module.install(host.slicer)
import numpy as np, physical
from SpatialRegularizationLib.registration.settings import effect_of
from SpatialRegularization import SpatialRegularizationWidget
from SpatialRegularizationGui.parameters import SETTINGS
from SpatialRegularizationGui.run.install import Installed, Readiness
from SpatialRegularizationGui.scene.nodes import Image, set_image
from SpatialRegularizationGui.run.worker import ProcessWorker

class Recorder(ProcessWorker):
    sent = []
    def prepare(self): pass
    def submit(self, kind, values, answer):
        self.sent.append((kind, dict(values["settings"])))
        return len(self.sent)

class Ready:
    def check(self): return True
    def ensure(self): return Installed(Readiness.READY)

widget = SpatialRegularizationWidget()
widget.logic._chosen_worker, widget.logic._installer = Recorder(), Ready()
ui, told = widget.panel.ui, {{}}
grid = physical.grid("LPS", shape=(6, 7, 8))
for selector in (ui.fixedSelector, ui.movingSelector):
    node = host.add("vtkMRMLScalarVolumeNode", selector.objectName)
    set_image(node, Image(np.zeros(grid.shape, np.float32), grid))
    selector.setCurrentNode(node)

def shown():
    of_methods = [name for name in SETTINGS if (effect_of(name) or ("deformable",))[0] != "deformable"]
    return [name for name in of_methods if not widget.panel.controls[name].editor.isHidden()]

told["offered"] = [[box.itemText(n) for n in range(box.count)] for box in (ui.priorSelector, ui.similaritySelector)]
told["before"] = shown()
for box in (ui.priorSelector, ui.similaritySelector):
    box.currentIndex = box.findText("toy")
told["after"] = shown()
slider, number = ui.nuSlider, ui.toyReachSpinBox
told["slider"] = [ui.nuSliderLabel.text, slider.value, slider.minimum, slider.maximum, slider.toolTip]
told["number"] = [ui.toyReachSpinBoxLabel.text, number.value, number.minimum, number.maximum, number.suffix, number.toolTip]
slider.value, number.value = 2.5, 5
ui.applyButton.click()
told["sent"] = Recorder.sent
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What the panel showed and sent, in a process of its own: the tuples are read once, when settings are imported."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_prior_and_a_similarity_can_be_chosen_once_they_are_listed(told: dict[str, Any]) -> None:
    assert [(words[0], words[-1]) for words in told["offered"]] == [("beta", "toy"), ("lncc", "toy")]


def test_their_controls_show_with_them_and_those_of_others_go(told: dict[str, Any]) -> None:
    assert told["before"] == ["lncc_window", "lambda_max", "alpha_prime", "lambda_floor"]
    assert told["after"] == ["toy_reach", "nu"]


def test_label_range_unit_and_help_are_those_of_the_declaration(told: dict[str, Any]) -> None:
    assert told["slider"] == ["ν:", 0.7, 0.0, 3.5, "How much the toy believes. Range: 0 to 42, no unit."]
    assert told["number"] == ["Reach:", 3, 1, 9, " voxels", "How far the toy looks. Range: 1 to 9 voxels."]


def test_what_was_moved_stands_in_the_request_to_the_worker(told: dict[str, Any]) -> None:
    assert told["sent"] == [["register", {"similarity": "toy", "toy_reach": 5, "prior": "toy", "nu": 2.5}]]
