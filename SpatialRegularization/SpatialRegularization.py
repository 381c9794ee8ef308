"""The classes that Slicer looks for; the work is in SpatialRegularizationGui and SpatialRegularizationLib."""

from __future__ import annotations

import importlib.util
import sys
import unittest
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if importlib.util.find_spec("SpatialRegularizationLib") is None:  # run from a checkout: the library lies beside this folder
    sys.path.append(str(Path(__file__).resolve().parent.parent))

if getattr(sys.modules.get("SpatialRegularizationGui"), "in_use", False):  # Reload executes this file again: then its parts, too
    for _name in [name for name in sys.modules if name.partition(".")[0] == "SpatialRegularizationGui"]:
        del sys.modules[_name]

from SpatialRegularizationGui.logic import RegistrationLogic
from SpatialRegularizationGui.parameters import PanelParameters


class SpatialRegularization(ScriptedLoadableModule):
    """Name, category and texts of the module."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Spatial Regularization")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        parent.dependencies = []
        parent.contributors = ["The SpatialRegularization contributors"]
        parent.helpText = _(
            "Deformable registration of two volumes with a regularization weight λ that varies in space: estimated from the "
            "pair itself, or by a trained model. Shows λ, Jacobian and folds beside the result."
        )
        parent.acknowledgementText = _("Methods: see CITATION.cff of the extension. For research; not a medical device.")
        slicer.app.connect("startupCompleted()", _register_samples)


def _register_samples() -> None:
    """The sample data of the tutorial, once the application is up."""
    from SpatialRegularizationGui.inputs.samples import register_samples

    register_samples()


class SpatialRegularizationLogic(ScriptedLoadableModuleLogic, RegistrationLogic):
    """`SpatialRegularizationLogic().register(fixedNode, movingNode, ...)`, and the parameter node of the scene."""

    def getParameterNode(self) -> PanelParameters:
        """The parameters of the present scene, read now: a wrapper keeps values, also those from before a scene was whole."""
        return PanelParameters(super().getParameterNode())


class SpatialRegularizationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Puts the panel into the application and tells it about the scene."""

    panel = None  # until `setup` has made it: the base may call that at once

    def setup(self) -> None:
        """Make the form."""
        from SpatialRegularizationGui.widget import Panel

        ScriptedLoadableModuleWidget.setup(self)
        form = slicer.util.loadUI(self.resourcePath("UI/SpatialRegularization.ui"))
        self.layout.addWidget(form)
        form.setMRMLScene(slicer.mrmlScene)
        self.logic = SpatialRegularizationLogic()
        self.panel = Panel(form, self.logic)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, lambda *_: self.panel.scene_closing())
        self.addObserver(scene, scene.EndCloseEvent, lambda *_: self.panel.attach(self.logic.getParameterNode()))
        self.addObserver(scene, scene.EndImportEvent, lambda *_: self.panel.attach(self.logic.getParameterNode()))
        self.panel.attach(self.logic.getParameterNode())

    def enter(self) -> None:
        """The user opens the module."""
        if self.panel is not None:
            self.panel.enter()

    def exit(self) -> None:
        """The user opens another module."""
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self) -> None:
        """The application closes, or the module is loaded again; perhaps one after the other."""
        self.removeObservers()
        if self.panel is not None:  # None where setup failed
            self.panel.cleanup()


class SpatialRegularizationTest(ScriptedLoadableModuleTest, unittest.TestCase):
    """Reload and Test: the panel opens, binds and says what is missing; no other extension is needed."""

    def runTest(self, **_options) -> None:
        """All of them."""
        slicer.mrmlScene.Clear()
        widget = SpatialRegularizationWidget()
        try:
            assert widget.panel.ui.applyButton.text == "Select a fixed volume"
            parameters = widget.logic.getParameterNode()
            parameters.preset = "brain-mri"
            assert widget.panel.ui.lnccWindowSpinBox.value == 5
        finally:
            widget.cleanup()
            widget.parent.deleteLater()


sys.modules["SpatialRegularizationGui"].in_use = True
