"""Double of Slicer's parameterNodeWrapper: typed names that live in a parameter node and are bound to widgets.

It follows the original (Base/Python/slicer/parameterNodeWrapper of Slicer) as far as the module uses it, and refuses the rest:
annotations, widget classes and types that are not listed here. As there,
    - every wrapper keeps the values, and reads them again at ModifiedEvent of the node and at no other time: what a reference
      leads to may change without one;
    - a wrapper that nobody holds any more takes its observers away, but one that was ever connected to widgets is held by an
      observer that nothing removes;
    - connecting a widget gives it the range of the parameter.

It does not prove PythonQt's conversions, `prefix`, packs, lists and paths, nor what the module does not use.
"""

from __future__ import annotations

import abc
import enum
import sys
import types
import typing
import weakref
from typing import Any

from parameter_types import Choice, Default, Parameter, WithinRange, node_classes, note_of, parts_of
from PySide6 import QtWidgets

__all__ = ["Choice", "Default", "GuiConnector", "WithinRange", "note_of", "parameterNodeWrapper"]
PROPERTY = "SlicerParameterName"


class GuiConnector(abc.ABC):
    """Base of connectors between a widget and a parameter, as in Slicer."""

    @staticmethod
    @abc.abstractmethod
    def canRepresent(widget: Any, datatype: Any) -> bool: ...

    @staticmethod
    @abc.abstractmethod
    def create(widget: Any, datatype: Any) -> GuiConnector: ...

    @abc.abstractmethod
    def _connect(self) -> None: ...

    @abc.abstractmethod
    def _disconnect(self) -> None: ...

    @abc.abstractmethod
    def widget(self) -> Any: ...

    @abc.abstractmethod
    def read(self) -> Any: ...

    @abc.abstractmethod
    def write(self, value: Any) -> None: ...

    def __init__(self) -> None:
        self._callback: Any = None

    def onChanged(self, callback: Any) -> None:
        self._callback = callback
        (self._disconnect if callback is None else self._connect)()

    def changed(self) -> None:
        if self._callback:
            self._callback()


class _WidgetConnector(GuiConnector):
    """One property of a widget and the signal that tells of it."""

    def __init__(self, widget: Any, signal: str, read: Any, write: Any) -> None:
        super().__init__()
        self._widget, self._signal, self._read, self._write = widget, signal, read, write
        self._slot = self.changed

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        return False

    @staticmethod
    def create(widget: Any, datatype: Any) -> GuiConnector:
        raise NotImplementedError

    def _connect(self) -> None:
        self._widget.connect(self._signal, self._slot)

    def _disconnect(self) -> None:
        self._widget.disconnect(self._signal, self._slot)

    def widget(self) -> Any:
        return self._widget

    def read(self) -> Any:
        return self._read()

    def write(self, value: Any) -> None:
        self._write(value)


def _connector(widget: Any, hint: Any) -> GuiConnector:
    """The connector of a widget for a type; the classes must be exactly those that Slicer knows."""
    base, notes = parts_of(hint)
    kind = type(widget).__name__

    def by(name: str, signal: str) -> GuiConnector:
        return _WidgetConnector(
            widget, signal, lambda: getattr(widget, name), lambda value: setattr(widget, name, value)
        )

    if base is bool and kind in ("QCheckBox", "QPushButton"):
        return by("checked", "toggled(bool)")
    if (base is int and kind in ("QSlider", "QSpinBox")) or (base is float and kind in ("QDoubleSpinBox", "ctkSliderWidget")):
        span = note_of(notes, WithinRange)
        if span is None:
            raise RuntimeError(f"{kind} needs a bounded number.")
        widget.minimum, widget.maximum = span
        return by("value", "valueChanged(int)" if base is int else "valueChanged(double)")
    if base is str and kind == "QLineEdit":
        return by("text", "textChanged(QString)")
    if isinstance(base, type) and issubclass(base, enum.Enum) and kind == "QComboBox":
        return _choices(widget, list(base), getattr(base, "label", lambda member: member.name))
    if base is str and kind == "QComboBox" and note_of(notes, Choice):
        return _choices(widget, list(note_of(notes, Choice)[0]), str)
    if kind == "qMRMLNodeComboBox" and node_classes(base):
        widget.nodeTypes = [node().GetClassName() for node in node_classes(base)]
        return _WidgetConnector(widget, "currentNodeChanged(vtkMRMLNode*)", widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"No connector between {base} and {kind}.")


def _choices(widget: Any, values: list[Any], label: Any) -> GuiConnector:
    widget.clear()
    for value in values:
        widget.addItem(label(value))
    return _WidgetConnector(
        widget, "currentIndexChanged(int)", lambda: values[widget.currentIndex],
        lambda value: setattr(widget, "currentIndex", values.index(value)),
    )  # fmt: skip


class _Kept:
    """The value of one parameter as it was read last."""

    def __init__(self, parameter: Parameter, node: Any) -> None:
        import vtk

        self.parameter, self._node, self._writing = parameter, node, False
        self.value = parameter.read(node)
        me = weakref.ref(self)  # the observer alone does not keep it
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: me()._renew())

    def __del__(self) -> None:
        self._node.RemoveObserver(self._tag)

    def write(self, value: Any) -> None:
        self._writing = True
        try:
            with sys.modules["slicer"].util.NodeModify(self._node):
                self.parameter.write(self._node, value)
                self.value = self.parameter.read(self._node)  # before any observer asks for it
        finally:
            self._writing = False

    def _renew(self) -> None:
        if not self._writing:
            self.value = self.parameter.read(self._node)


class _Wrapper:
    """What the decorator adds to a class."""

    allParameters: typing.ClassVar[dict[str, Parameter]]

    def __init__(self, parameterNode: Any) -> None:
        self.__dict__.update(parameterNode=parameterNode, _guis={}, _connected=0, _updating=False, _kept={})
        for name, parameter in self.allParameters.items():
            if not parameter.present(parameterNode):
                parameter.write(parameterNode, parameter.default)
            self._kept[name] = _Kept(parameter, parameterNode)

    def getValue(self, name: str) -> Any:
        self._known(name)
        return self._kept[name].value

    def setValue(self, name: str, value: Any) -> None:
        self._known(name)
        self._kept[name].write(value)

    def isCached(self, name: str) -> bool:
        self._known(name)
        return True  # every type that is known here

    @classmethod
    def dataType(cls, name: str) -> Any:
        return cls._known(name).hint

    def default(self, name: str) -> Any:
        return types.SimpleNamespace(value=self._known(name).default)

    def connectGui(self, gui: Any) -> None:
        widgets = [w for w in vars(gui).values() if isinstance(w, QtWidgets.QWidget) and w.property(PROPERTY)]
        self.connectParametersToGui({widget.property(PROPERTY): widget for widget in widgets})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        import vtk

        hints = {name: self._known(name).hint for name in mapping}
        made = {
            name: widget if isinstance(widget, GuiConnector) else _connector(widget, hints[name])
            for name, widget in mapping.items()
        }
        tag, self.__dict__["_connected"] = self._connected, self._connected + 1
        self._guis[tag] = made
        for name, connector in made.items():
            connector.write(self.getValue(name))
            connector.onChanged(lambda name=name, connector=connector: self._take(name, connector))
        self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show())  # nothing removes it
        return tag

    def disconnectGui(self, tag: int) -> None:
        for connector in self._guis.pop(tag, {}).values():
            connector.onChanged(None)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def StartModify(self) -> Any:
        return self.parameterNode.StartModify()

    def EndModify(self, before: Any) -> Any:
        return self.parameterNode.EndModify(before)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    @classmethod
    def _known(cls, name: str) -> Parameter:
        if name not in cls.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return cls.allParameters[name]

    def _take(self, name: str, connector: GuiConnector) -> None:
        with sys.modules["slicer"].util.NodeModify(self):
            if not self._updating:
                self.setValue(name, connector.read())

    def _show(self) -> None:
        if self._updating:
            return
        self.__dict__["_updating"] = True
        try:
            with sys.modules["slicer"].util.NodeModify(self):
                for gui in list(self._guis.values()):
                    for name, connector in gui.items():
                        connector.write(self.getValue(name))
        finally:
            self.__dict__["_updating"] = False


def parameterNodeWrapper(kind: type) -> type:
    """Class decorator: every annotated name becomes a property that lives in the parameter node."""
    hints = typing.get_type_hints(kind, include_extras=True)
    members = {name: Parameter(name, hint, vars(kind).get(name)) for name, hint in hints.items()}

    def accessor(name: str) -> property:
        return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))

    body = {name: accessor(name) for name in members} | {"allParameters": members, "__doc__": kind.__doc__}
    return type(kind.__name__, (_Wrapper,), body | {"__module__": kind.__module__})
