"""PySide6 dressed as PythonQt, so that the panel's own code runs without the desktop application.

    qt, ctk = qt_layer.install(slicer)          # `import qt`, `import ctk`, slicer.qMRML… and slicer.util.loadUI work then
    qt_layer.wait_until(lambda: done, seconds=20)
    assert qt_layer.misspelt() == []            # nothing was set that no Qt class has

What PythonQt does and PySide6 does not: Qt properties are attributes; `object.connect("signal(types)", f)` with surplus values
left out; objectName is `name`. What PythonQt only prints is an error here: unknown signals, unknown widget classes and unknown
properties in a .ui file. The widgets of CTK and MRML are in qt_stand_ins.py.

What this proves: the .ui file is read, names exist, the flow of control. What it does not: PythonQt's own conversions and
ownership, the real widgets of CTK and MRML beyond the names and rules that their headers document, looks.
"""

from __future__ import annotations

import ctypes
import inspect
import os
import sys
import tempfile
import time
import types
import typing
import weakref
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

_MODULES = (QtCore, QtGui, QtWidgets)
_HOOK = ("connect", "disconnect")
UNDRESSED = ("sizeHint", "minimumSizeHint", "pos", "size", "rect", "geometry")
"""Qt itself calls these on classes made in Python; they stay methods."""
SPARE = 1 << 40
"""References to None that PySide6 may lose."""
_seen: weakref.WeakSet = weakref.WeakSet()
_settings = tempfile.TemporaryDirectory(prefix="qt-settings-")
_numbers = {"int": int, "bool": bool, "double": float, "QString": str}


class _QtProperty:
    """A Qt property as an attribute of the object; the class keeps what it had under that name (QTimer.singleShot)."""

    def __init__(self, name: str, before: Any) -> None:
        self._name, self._before = name, before

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        if owner is None:
            if self._before is None:
                raise AttributeError(self._name)
            return self._before.__get__(None, kind) if inspect.isroutine(self._before) else self._before
        return QtCore.QObject.property(owner, self._name)

    def __set__(self, owner: Any, value: Any) -> None:
        index = owner.metaObject().indexOfProperty(self._name)
        if index < 0 or not owner.metaObject().property(index).isWritable():
            raise AttributeError(f"{type(owner).__name__}.{self._name} cannot be set.")
        if not QtCore.QObject.setProperty(owner, self._name, value):
            raise TypeError(f"{type(owner).__name__}.{self._name} takes no {value!r}.")


def install(slicer: Any) -> tuple[types.ModuleType, types.ModuleType]:
    """Make `qt`, `ctk`, slicer.qMRML… of this process; once, later calls return the same."""
    if "qt" in sys.modules:
        return sys.modules["qt"], sys.modules["ctk"]
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    application.setQuitOnLastWindowClosed(False)
    _keep_settings_in(_settings.name)
    _keep_constants()
    _dress()
    import qt_stand_ins  # after the dressing: its classes inherit it

    qt, ctk = types.ModuleType("qt"), types.ModuleType("ctk")
    for module in _MODULES:
        for name in dir(module):
            if name.startswith("Q"):
                setattr(qt, name, getattr(module, name))
    qt.QUiLoader, qt.QFileDialog, qt.QDesktopServices, qt.application = Loader, FileDialog, DesktopServices, application
    for name, kind in qt_stand_ins.CTK.items():
        setattr(ctk, name, kind)
    for name, kind in qt_stand_ins.QMRML.items():
        setattr(slicer, name, kind)
    sys.modules["qt"], sys.modules["ctk"] = qt, ctk
    return qt, ctk


def _keep_constants() -> None:
    """PySide6 gives back a reference to None that it has not taken whenever it sets a property of a class made in Python.

    Python before 3.12 counts these references, and after some hundred tests with sliders ended at zero, with an abort.
    """
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value += SPARE


def _keep_settings_in(folder: str) -> None:
    """QSettings go there, not into the home of whoever runs the tests."""
    QtCore.QCoreApplication.setOrganizationName("tests")
    QtCore.QCoreApplication.setApplicationName("tests")
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
    QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, folder)


def wait_until(condition: Callable[[], Any], seconds: float = 20.0, what: str = "") -> None:
    """Run the event loop until the condition holds.

    Raises:
        AssertionError: it did not in that time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"Not within {seconds:g} s: {what or inspect.getsource(condition).strip()}")
        QtWidgets.QApplication.processEvents(QtCore.QEventLoop.ProcessEventsFlag.AllEvents, 20)
        time.sleep(0.002)


def wait(seconds: float) -> None:
    """Run the event loop for that long."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, seconds + 5.0)


def misspelt() -> list[str]:
    """Attributes that were set on widgets and that no Qt class has: PythonQt would refuse them."""
    found = []
    for widget in [w for w in _seen if shiboken6.isValid(w)]:
        unknown = [
            name
            for name, value in vars(widget).items()
            if not name.startswith("_") and name not in _HOOK and not isinstance(value, (QtCore.SignalInstance, QtCore.QObject))
        ]
        found += [f"{type(widget).__name__} {widget.objectName!r}: {name}" for name in unknown]
    return sorted(found)


class FileDialog:
    """Answers at once with `answer`, as a user would."""

    answer = ""

    @classmethod
    def getOpenFileName(cls, parent: Any, title: str, path: str, kinds: str) -> str:
        return cls.answer

    @classmethod
    def getSaveFileName(cls, parent: Any, title: str, path: str, kinds: str) -> str:
        return cls.answer


class DesktopServices:
    """Remembers what was to be shown."""

    opened: typing.ClassVar[list[str]] = []

    @classmethod
    def openUrl(cls, url: QtCore.QUrl) -> bool:
        cls.opened.append(url.toLocalFile())
        return True


class Loader:
    """`qt.QUiLoader` that knows the stand-ins and refuses what Qt would pass over in silence."""

    def load(self, file: QtCore.QFile, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        """The widget of a .ui file; its children stay alive as long as it does."""
        import qt_stand_ins

        loader = QtUiTools.QUiLoader()
        for kind in {**qt_stand_ins.CTK, **qt_stand_ins.QMRML}.values():
            loader.registerCustomWidget(kind)
        root = ElementTree.parse(file.fileName()).getroot()
        unknown = {e.get("class") for e in root.iter("widget")} - set(loader.availableWidgets())
        if unknown:
            raise ValueError(f"{file.fileName()} has unknown widget classes: {sorted(unknown)}.")
        wires = list(root.iter("connection"))
        widget = loader.load(_without_connections(root), parent)
        named = {child.objectName: _hooked(child) for child in [widget, *widget.findChildren(QtWidgets.QWidget)]}
        widget._kept = list(named.values())
        _check_properties(root, named)
        for wire in wires:
            sender, receiver = named[wire.findtext("sender")], named[wire.findtext("receiver")]
            _connect(sender, wire.findtext("signal"), getattr(receiver, wire.findtext("slot").partition("(")[0]))
        return widget


def _without_connections(root: ElementTree.Element) -> QtCore.QBuffer:
    """The file without its connections: Qt would look for C++ signals that the stand-ins do not have."""
    for block in root.findall("connections"):
        root.remove(block)
    buffer = QtCore.QBuffer()
    buffer.setData(ElementTree.tostring(root))
    buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
    return buffer


def _check_properties(root: ElementTree.Element, named: dict[str, QtWidgets.QWidget]) -> None:
    for element in root.iter("widget"):
        widget = named[element.get("name")]
        for entry in element.findall("property"):
            dynamic = entry.get("stdset") == "0"
            known = widget.metaObject().indexOfProperty(entry.get("name")) >= 0
            if dynamic == known:
                what = "is a property, without stdset" if dynamic else "is no property"
                raise ValueError(f"{element.get('name')}: {entry.get('name')} of {element.get('class')} {what}.")


def _dress() -> None:
    """Properties, `name`, and connect by text, for all classes of Qt."""
    kinds = {
        kind
        for module in _MODULES
        for kind in (getattr(module, name) for name in dir(module))  # made when first asked for
        if isinstance(kind, type) and issubclass(kind, QtCore.QObject)
    }
    for kind in kinds:
        meta = kind.staticMetaObject
        for index in range(meta.propertyOffset(), meta.propertyCount()):
            name = meta.property(index).name()
            if name in UNDRESSED:
                continue
            setattr(kind, name, _QtProperty(name, kind.__dict__.get(name)))
    QtCore.QObject.name = _QtProperty("objectName", None)
    QtCore.QObject.className = lambda self: self.metaObject().className()
    for kind in kinds:
        if "__init__" in kind.__dict__:
            _hook_construction(kind)


def _hook_construction(kind: type) -> None:
    original = kind.__init__

    def __init__(self: Any, *values: Any, **named: Any) -> None:
        original(self, *values, **named)
        _hooked(self)

    kind.__init__ = __init__


def _hooked(widget: Any) -> Any:
    """PySide6 binds QObject.connect itself; only what stands in the object's own dictionary comes before it."""
    if "connect" not in vars(widget):
        vars(widget)["connect"] = types.MethodType(_connect, widget)
        vars(widget)["disconnect"] = types.MethodType(_disconnect, widget)
        _seen.add(widget)
    return widget


def _connect(sender: Any, signal: str, slot: Callable[..., Any]) -> bool:
    name, _, rest = signal.partition("(")
    kinds = [kind.strip() for kind in rest.rstrip(")").split(",") if kind.strip()]
    _check_signal(sender, signal, name)
    bound = getattr(sender, name)
    if len(kinds) == 1 and kinds[0] in _numbers:
        try:
            bound = bound[_numbers[kinds[0]]]
        except (KeyError, IndexError):
            bound = getattr(sender, name)
    taken = _taken(slot, len(kinds))

    def call(*values: Any) -> None:
        slot(*values[:taken])

    sender.__dict__.setdefault("_wires", {})[(signal, slot)] = (bound, call)
    bound.connect(call)
    return True


def _disconnect(sender: Any, signal: str, slot: Callable[..., Any]) -> bool:
    bound, call = sender.__dict__.get("_wires", {}).pop((signal, slot), (None, None))
    if bound is None:
        return False
    bound.disconnect(call)
    return True


def _check_signal(sender: Any, signal: str, name: str) -> None:
    exact = QtCore.QMetaObject.normalizedSignature(signal)
    text = exact.data().decode() if isinstance(exact, QtCore.QByteArray) else str(exact)
    documented = getattr(type(sender), "SIGNALS", None)
    known = text in documented if documented is not None and name in _names(documented) else _has(sender, text)
    if not known:
        raise ValueError(f"{type(sender).__name__} has no signal {signal}.")


def _names(signals: tuple[str, ...]) -> set[str]:
    return {signal.partition("(")[0] for signal in signals}


def _has(sender: Any, text: str) -> bool:
    return sender.metaObject().indexOfSignal(text) >= 0


def _taken(slot: Callable[..., Any], count: int) -> int:
    """How many of the values a Python function takes."""
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):
        return count
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return count
    return min(count, sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters))
