"""Double of Slicer's parameterNodeWrapper: typed names that live in a parameter node and are bound to widgets.

It follows the documented behavior (names, types, when a value is read and written, what is an error) as far as the module uses
it, and refuses the rest: annotations, widget classes and types that are not listed here.
"""

from __future__ import annotations

import abc
import enum
import sys
import types
import typing
from typing import Annotated, Any

from PySide6 import QtWidgets

PROPERTY = "SlicerParameterName"


class Note:
    """An annotation of a parameter's type."""

    def __init__(self, *values: Any) -> None:
        self.values = values


class WithinRange(Note):
    """Smallest and largest value."""


class Default(Note):
    """Value where none was written."""


class Choice(Note):
    """The values there are."""


def note_of(notes: tuple[Note, ...], kind: type[Note]) -> tuple[Any, ...] | None:
    return next((note.values for note in notes if isinstance(note, kind)), None)


def _parts(hint: Any) -> tuple[Any, tuple[Note, ...]]:
    """The bare type and the notes of a type."""
    base, *notes = typing.get_args(Annotated[hint, None])
    return base, tuple(notes[:-1])


def _node_classes(base: Any, slicer: Any) -> tuple[type, ...]:
    """The MRML classes of a node parameter; () for other types. `X | None` is refused as in Slicer."""
    members = typing.get_args(base) if typing.get_origin(base) is typing.Union else (base,)
    kinds = tuple(kind for kind in members if kind is not type(None))
    if all(isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode) for kind in kinds):
        return kinds
    return ()


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


def _connector(widget: Any, hint: Any, slicer: Any) -> GuiConnector:
    """The connector of a widget for a type; the classes must be exactly those that Slicer knows."""
    base, notes = _parts(hint)
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
        widget.maximum, widget.minimum = max(span), min(span)
        return by("value", "valueChanged(int)" if base is int else "valueChanged(double)")
    if base is str and kind == "QLineEdit":
        return by("text", "textChanged(QString)")
    if isinstance(base, type) and issubclass(base, enum.Enum) and kind == "QComboBox":
        return _choices(widget, list(base), getattr(base, "label", lambda member: member.name))
    if base is str and kind == "QComboBox" and note_of(notes, Choice):
        return _choices(widget, list(note_of(notes, Choice)[0]), str)
    if kind == "qMRMLNodeComboBox" and _node_classes(base, slicer):
        widget.nodeTypes = [node().GetClassName() for node in _node_classes(base, slicer)]
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


class _Parameter:
    """Type, default and text form of one member."""

    def __init__(self, name: str, hint: Any, assigned: Any, slicer: Any) -> None:
        self.name, self.hint = name, hint
        self.base, self.notes = _parts(hint)
        self.nodes = _node_classes(self.base, slicer)
        plain = self.base in (bool, int, float, str)
        self.enum = isinstance(self.base, type) and issubclass(self.base, enum.Enum)
        if not (self.nodes or plain or self.enum):
            raise TypeError(f"No serializer for {name}: {hint}.")
        given = note_of(self.notes, Default)
        if assigned is not None:
            self.default = assigned
        elif given is not None:
            self.default = given[0]
        else:
            self.default = None if self.nodes else next(iter(self.base)) if self.enum else self.base()

    def check(self, value: Any) -> None:
        """Raises ValueError or TypeError for a value that Slicer refuses."""
        if self.nodes:
            if value is not None and not isinstance(value, self.nodes):
                raise TypeError(f"{self.name} takes {self.nodes}, got {value.GetClassName()}.")
            return
        if not isinstance(value, (int, float) if self.base is float else self.base):
            raise TypeError(f"{self.name} takes {self.base}, got {value!r}.")
        span, choices = note_of(self.notes, WithinRange), note_of(self.notes, Choice)
        if (span and not span[0] <= value <= span[1]) or (choices and value not in choices[0]):
            raise ValueError(f"{self.name}: {value!r} is not within {span or choices}.")

    def write(self, node: Any, value: Any) -> None:
        self.check(value)
        if self.nodes:
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, None if value is None else value.GetID())
        else:
            node.SetParameter(self.name, value.name if self.enum else str(value))

    def read(self, node: Any) -> Any:
        if self.name not in node.GetParameterNames():  # a closed scene has emptied the node
            self.write(node, self.default)
        if self.nodes:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.enum:
            return self.base[text]
        return text == "True" if self.base is bool else self.base(text)


class _Wrapper:
    """What the decorator adds to a class."""

    allParameters: typing.ClassVar[dict[str, _Parameter]]

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        import vtk

        self.__dict__.update(parameterNode=parameterNode, _guis={}, _updating=False)
        for parameter in self.allParameters.values():
            if parameter.name not in parameterNode.GetParameterNames():
                parameter.write(parameterNode, parameter.default)
        self.__dict__["_tag"] = parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show())

    def getValue(self, name: str) -> Any:
        return self._known(name).read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:
        self._known(name).write(self.parameterNode, value)

    @classmethod
    def dataType(cls, name: str) -> Any:
        return cls._known(name).hint

    def default(self, name: str) -> Any:
        return types.SimpleNamespace(value=self._known(name).default)

    def connectGui(self, gui: Any) -> int:
        widgets = [w for w in vars(gui).values() if isinstance(w, QtWidgets.QWidget) and w.property(PROPERTY)]
        return self.connectParametersToGui({widget.property(PROPERTY): widget for widget in widgets})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        slicer = sys.modules["slicer"]
        made = {
            name: widget if isinstance(widget, GuiConnector) else _connector(widget, self._known(name).hint, slicer)
            for name, widget in mapping.items()
        }
        tag = len(self._guis)
        self._guis[tag] = made
        for name, connector in made.items():
            connector.write(self.getValue(name))
            connector.onChanged(lambda name=name, connector=connector: self._take(name, connector))
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
    def _known(cls, name: str) -> _Parameter:
        if name not in cls.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return cls.allParameters[name]

    def _take(self, name: str, connector: GuiConnector) -> None:
        if not self._updating:
            self.setValue(name, connector.read())

    def _show(self) -> None:
        if self._updating:
            return
        self.__dict__["_updating"] = True
        try:
            for gui in list(self._guis.values()):
                for name, connector in gui.items():
                    connector.write(self.getValue(name))
        finally:
            self.__dict__["_updating"] = False


def parameterNodeWrapper(kind: type) -> type:
    """Class decorator: every annotated name becomes a property that lives in the parameter node."""
    slicer = sys.modules["slicer"]
    hints = typing.get_type_hints(kind, include_extras=True)
    members = {name: _Parameter(name, hint, vars(kind).get(name), slicer) for name, hint in hints.items()}

    def accessor(name: str) -> property:
        return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))

    body = {name: accessor(name) for name in members} | {"allParameters": members, "__doc__": kind.__doc__}
    return type(kind.__name__, (_Wrapper,), body | {"__module__": kind.__module__})
