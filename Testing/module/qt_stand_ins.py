"""The widgets of CTK and MRML that the panel uses, made of plain Qt widgets; loaded by qt_layer.py.

Names of properties, methods and signals are those of the headers of CTK and Slicer; `SIGNALS` lists the documented signatures.
"""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal


class qMRMLWidget(QtWidgets.QWidget):
    """A widget that knows the scene and tells its children."""

    SIGNALS = ("mrmlSceneChanged(vtkMRMLScene*)",)
    mrmlSceneChanged = Signal(object)
    _scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


class ctkCollapsibleButton(QtWidgets.QGroupBox):
    """A section with a title; a collapsed one hides its children."""

    SIGNALS = ("contentsCollapsed(bool)",)
    contentsCollapsed = Signal(bool)
    _collapsed = False

    def __init__(self, *values: Any) -> None:
        super().__init__(*[v for v in values if isinstance(v, QtWidgets.QWidget)])
        self.setTitle(next((v for v in values if isinstance(v, str)), ""))

    def _set(self, collapsed: bool) -> None:
        self._collapsed = collapsed
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(not collapsed)
        self.setMaximumHeight(24 if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)

    collapsed = Property(bool, lambda self: self._collapsed, _set)
    text = Property(str, lambda self: self.title, lambda self, v: self.setTitle(v))


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider with a spin box; its value always lies in its range."""

    SIGNALS = ("valueChanged(double)", "valueIsChanging(double)")
    valueChanged, valueIsChanging = Signal(float), Signal(float)
    STEPS = 1000

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider, self._box = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal), QtWidgets.QDoubleSpinBox()
        self._slider.setRange(0, self.STEPS)
        self._box.setRange(0.0, 99.0)
        self._box.setButtonSymbols(QtWidgets.QAbstractSpinBox.ButtonSymbols.NoButtons)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._box)
        self._tracking = True
        self._box.valueChanged.connect(self._changed)
        self._slider.sliderMoved.connect(self._moved)

    def _changed(self, value: float) -> None:
        low, high = self._box.minimum, self._box.maximum
        self._slider.setValue(round(self.STEPS * (value - low) / (high - low)) if high > low else 0)
        self.valueChanged.emit(value)

    def _moved(self, position: int) -> None:
        low, high = self._box.minimum, self._box.maximum
        self._box.setValue(low + (high - low) * position / self.STEPS)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def _set_range(self, low: float, high: float) -> None:  # the real one is not to be seen from Python
        self._box.setRange(low, high)
        value = self._box.value
        self._slider.setValue(round(self.STEPS * (value - low) / (high - low)) if high > low else 0)

    value = Property(float, lambda self: self._box.value, setValue)
    minimum = Property(float, lambda self: self._box.minimum, lambda self, v: self._set_range(v, max(v, self._box.maximum)))
    maximum = Property(float, lambda self: self._box.maximum, lambda self, v: self._set_range(min(v, self._box.minimum), v))
    singleStep = Property(float, lambda self: self._box.singleStep, lambda self, v: self._box.setSingleStep(v))
    pageStep = Property(float, lambda self: 10 * self._box.singleStep, lambda self, v: None)
    decimals = Property(int, lambda self: self._box.decimals, lambda self, v: self._box.setDecimals(v))
    suffix = Property(str, lambda self: self._box.suffix, lambda self, v: self._box.setSuffix(v))
    tracking = Property(bool, lambda self: self._tracking, lambda self, v: setattr(self, "_tracking", v))


class ctkRangeWidget(QtWidgets.QWidget):
    """Two values, the lower never above the upper."""

    SIGNALS = ("valuesChanged(double,double)", "minimumValueChanged(double)", "maximumValueChanged(double)")
    valuesChanged, minimumValueChanged, maximumValueChanged = Signal(float, float), Signal(float), Signal(float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._low, self._high, self._values, self._decimals, self._step = 0.0, 99.0, (0.0, 99.0), 2, 1.0

    def setRange(self, low: float, high: float) -> None:
        self._low, self._high = float(low), max(float(low), float(high))
        self.setValues(*self._values)

    def setValues(self, low: float, high: float) -> None:
        low, high = (min(max(float(v), self._low), self._high) for v in sorted((low, high)))
        if (low, high) != self._values:
            self._values = (low, high)
            self.valuesChanged.emit(low, high)

    minimum = Property(float, lambda self: self._low, lambda self, v: self.setRange(v, self._high))
    maximum = Property(float, lambda self: self._high, lambda self, v: self.setRange(min(v, self._low), v))
    minimumValue = Property(float, lambda self: self._values[0], lambda self, v: self.setValues(v, self._values[1]))
    maximumValue = Property(float, lambda self: self._values[1], lambda self, v: self.setValues(self._values[0], v))
    decimals = Property(int, lambda self: self._decimals, lambda self, v: setattr(self, "_decimals", v))
    singleStep = Property(float, lambda self: self._step, lambda self, v: setattr(self, "_step", v))


def _held(name: str, kind: Any, default: Any) -> Property:
    """A property that is only kept."""
    return Property(
        kind, lambda self: self.__dict__.get(f"_{name}", default), lambda self, v: self.__dict__.__setitem__(f"_{name}", v)
    )


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Chooses a node of the scene; the first one where none may not be chosen."""

    SIGNALS = (
        "currentNodeChanged(vtkMRMLNode*)", "currentNodeChanged(bool)", "currentNodeIDChanged(QString)",
        "nodeAddedByUser(vtkMRMLNode*)", "nodeAdded(vtkMRMLNode*)",
    )  # fmt: skip
    currentNodeChanged, currentNodeIDChanged = Signal(object), Signal(str)
    nodeAddedByUser, nodeAdded = Signal(object), Signal(object)
    showHidden = _held("showHidden", bool, False)
    showChildNodeTypes = _held("showChildNodeTypes", bool, True)
    hideChildNodeTypes = _held("hideChildNodeTypes", "QStringList", [])
    addEnabled = _held("addEnabled", bool, True)
    removeEnabled = _held("removeEnabled", bool, True)
    editEnabled = _held("editEnabled", bool, False)
    renameEnabled = _held("renameEnabled", bool, False)
    selectNodeUponCreation = _held("selectNodeUponCreation", bool, True)
    noneDisplay = _held("noneDisplay", str, "None")
    baseName = _held("baseName", str, "")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node, self._scene, self._tags, self._types, self._none = None, None, [], [], False
        self._box = QtWidgets.QComboBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)

    def setMRMLScene(self, scene: Any) -> None:
        import vtk

        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        if scene is not None:
            self._tags = [
                scene.AddObserver(scene.NodeAddedEvent, self._added),
                scene.AddObserver(scene.NodeRemovedEvent, self._removed),
                scene.AddObserver(scene.EndCloseEvent, self._removed),
            ]
            for tag_function in (self._added, self._removed):
                tag_function.__func__.CallDataType = vtk.VTK_OBJECT
        self._choose_first()

    def mrmlScene(self) -> Any:
        return self._scene

    def nodes(self) -> list[Any]:
        """What can be chosen (not callable from Python in Slicer: tests only)."""
        if self._scene is None:
            return []
        found: dict[str, Any] = {}
        for kind in self._types:
            for index in range(self._scene.GetNumberOfNodesByClass(kind)):
                node = self._scene.GetNthNodeByClass(index, kind)
                found.setdefault(node.GetID(), node)
        return [node for node in found.values() if self._offers(node)]

    def nodeCount(self) -> int:
        return len(self.nodes())

    def currentNode(self) -> Any:
        return self._node

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node)
        if node is not None and (self._scene is None or not self._scene.IsNodePresent(node) or not self._offers(node)):
            node = None
        if node is None and not self._none and self.nodes():
            node = self._node if self._node in self.nodes() else self.nodes()[0]
        self._show(node)
        if node is not self._node:
            self._node = node
            self.currentNodeChanged.emit(node)
            self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, identifier: str) -> None:
        self.setCurrentNode(self._scene.GetNodeByID(identifier) if identifier else None)

    def addNode(self, kind: str | None = None) -> Any:
        """As a choice of 'Create new' does."""
        node = self._scene.AddNewNodeByClass(kind or self._types[0], self.baseName or "")
        self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def _set_types(self, kinds: Any) -> None:
        self._types = list(kinds)
        self._choose_first()

    def _set_none(self, enabled: bool) -> None:
        self._none = enabled
        self._choose_first()

    def _offers(self, node: Any) -> bool:
        exact = node.GetClassName() in self._types
        kind = exact or (self.showChildNodeTypes and any(node.IsA(kind) for kind in self._types))
        hidden = node.GetHideFromEditors() and not self.showHidden
        return kind and not hidden and not any(node.IsA(child) for child in self.hideChildNodeTypes)

    def _choose_first(self) -> None:
        self._show(self._node)
        if self._node is None and not self._none and self.nodes():
            self.setCurrentNode(self.nodes()[0])

    def _added(self, caller: Any, event: str, node: Any = None) -> None:
        self._choose_first()
        if node is not None and self._offers(node):
            self.nodeAdded.emit(node)

    def _removed(self, caller: Any, event: str, node: Any = None) -> None:
        if self._node is not None and not self._scene.IsNodePresent(self._node):
            self.setCurrentNode(None)

    def _show(self, node: Any) -> None:
        self._box.clear()
        self._box.addItem(self.noneDisplay if node is None else node.GetName() or "")

    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)
    noneEnabled = Property(bool, lambda self: self._none, _set_none)
    currentNodeID = Property(str, lambda self: self._node.GetID() if self._node is not None else "", setCurrentNodeID)


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """Chooses several nodes."""

    SIGNALS = (*qMRMLNodeComboBox.SIGNALS, "checkedNodesChanged()")
    checkedNodesChanged = Signal()

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._checked: list[str] = []

    def checkedNodes(self) -> list[Any]:
        return [node for node in self.nodes() if node.GetID() in self._checked]

    def setCheckState(self, node: Any, state: Any) -> None:
        on, identifier = state == QtCore.Qt.CheckState.Checked, node.GetID()
        if on != (identifier in self._checked):
            self._checked = [*self._checked, identifier] if on else [i for i in self._checked if i != identifier]
            self.checkedNodesChanged.emit()

    def check(self, node: Any) -> None:
        self.setCheckState(node, QtCore.Qt.CheckState.Checked)

    def uncheck(self, node: Any) -> None:
        self.setCheckState(node, QtCore.Qt.CheckState.Unchecked)


CTK = {kind.__name__: kind for kind in (ctkCollapsibleButton, ctkSliderWidget, ctkRangeWidget)}
QMRML = {kind.__name__: kind for kind in (qMRMLWidget, qMRMLNodeComboBox, qMRMLCheckableNodeComboBox)}
