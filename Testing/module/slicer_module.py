"""Doubles of what a scripted module is built on and slicer-core lacks: ScriptedLoadableModule and its kin, and i18n.

    slicer_module.install(slicer)      # after slicer_scene; makes the Qt layer and parameter_wrapper.py importable, too
"""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

import qt_layer
from parameter_wrapper import Choice, Default, GuiConnector, WithinRange, parameterNodeWrapper
from PySide6 import QtWidgets


class ScriptedLoadableModule:
    """What Slicer shows in its list of modules."""

    def __init__(self, parent: Any) -> None:
        super().__init__()
        self.parent, self.moduleName = parent, type(self).__name__


class ScriptedLoadableModuleWidget:
    """The panel of a module."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        slicer = sys.modules["slicer"]
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent or slicer.qMRMLWidget()
        if parent is None:
            self.parent.setLayout(QtWidgets.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()

    def setup(self) -> None:
        """Overridden."""

    def cleanup(self) -> None:
        """Overridden."""

    def resourcePath(self, name: str) -> str:
        module = sys.modules[type(self).__module__]
        return os.path.join(Path(module.__file__).parent, "Resources", name)


class ScriptedLoadableModuleLogic:
    """What a module computes; one parameter node for each scene."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        scene = sys.modules["slicer"].mrmlScene
        found = scene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if found is None:
            node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetModuleName(self.moduleName)
            node.SetName(self.moduleName)
            found = scene.AddNode(node)
        found.SetAttribute("ModuleName", self.moduleName)
        return found


class ScriptedLoadableModuleTest:
    """Base of a module's own test."""

    def runTest(self) -> None:
        """Overridden."""


def install(slicer: Any) -> None:
    """Make `slicer.ScriptedLoadableModule`, `slicer.parameterNodeWrapper` and `slicer.i18n` importable."""
    qt_layer.install(slicer)
    kinds = (
        ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleLogic, ScriptedLoadableModuleTest,
    )  # fmt: skip
    notes = (WithinRange, Default, Choice, GuiConnector, parameterNodeWrapper)
    offered = {
        "ScriptedLoadableModule": {kind.__name__: kind for kind in kinds},
        "parameterNodeWrapper": {kind.__name__: kind for kind in notes},
        "i18n": {"tr": lambda text: text, "translate": lambda context, text: text},
    }
    for name, content in offered.items():
        module = types.ModuleType(f"slicer.{name}")
        vars(module).update(content, __all__=list(content))
        sys.modules[module.__name__] = module
        setattr(slicer, name, module)
    complete(slicer)


def complete(slicer: Any) -> None:
    """What the panel asks the application for, beside what slicer_scene.py gives; again after every fresh scene."""
    slicer.app.connect = lambda signal, slot: True
    slicer.util.mainWindow = lambda verbose=True: None
