"""How Slicer's parameterNodeWrapper writes one value into a parameter node and reads it: part of parameter_wrapper.py's double.

    str, bool, int, float, enum      text under the name of the parameter
    a MRML class                     node reference of that name, and an empty text that says that it was written
    Union[A, B, None]                the one that fits, under NAME_0, NAME_1 or NAME_2; None is the text "True"

Reading checks nothing: a text that is no number raises, a word that is no choice is given back.
"""

from __future__ import annotations

import enum
import sys
import typing
from typing import Annotated, Any


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


def parts_of(hint: Any) -> tuple[Any, tuple[Note, ...]]:
    """The bare type and the notes of a type."""
    base, *notes = typing.get_args(Annotated[hint, None])
    return base, tuple(notes[:-1])


def node_classes(base: Any) -> tuple[type, ...]:
    """The MRML classes of a node parameter; () for other types."""
    kinds = tuple(kind for kind in _members(base) if kind is not type(None))
    node = sys.modules["slicer"].vtkMRMLNode
    return kinds if all(isinstance(kind, type) and issubclass(kind, node) for kind in kinds) else ()


def _members(base: Any) -> tuple[Any, ...]:
    """Types of a `Union`; `A | B` is refused, as in Slicer."""
    return typing.get_args(base) if typing.get_origin(base) is typing.Union else (base,)


class Parameter:
    """Name, type, notes and default of one member."""

    def __init__(self, name: str, hint: Any, assigned: Any) -> None:
        self.name, self.hint = name, hint
        base, self.notes = parts_of(hint)
        self._kind = _kind(name, base)
        given = note_of(self.notes, Default)
        self.default = assigned if assigned is not None else given[0] if given is not None else self._kind.default

    def present(self, node: Any) -> bool:
        return self._kind.present(node, self.name)

    def write(self, node: Any, value: Any) -> None:
        """Raises ValueError or TypeError for a value that Slicer refuses."""
        self._kind.check(self.name, value)
        span, choices = note_of(self.notes, WithinRange), note_of(self.notes, Choice)
        if (span and not span[0] <= value <= span[1]) or (choices and value not in choices[0]):
            raise ValueError(f"{self.name}: {value!r} is not within {span or choices}.")
        self._kind.write(node, self.name, value)

    def read(self, node: Any) -> Any:
        if not self.present(node):  # a closed scene has emptied the node
            self.write(node, self.default)
        return self._kind.read(node, self.name)


def _kind(name: str, base: Any) -> Any:
    members = _members(base)
    return _OneOf([_single(name, member) for member in members]) if len(members) > 1 else _single(name, base)


def _single(name: str, base: Any) -> _Text:
    if base is type(None):
        return _Nothing(base)
    if node_classes(base):
        return _Node(base)
    if base in (bool, int, float, str) or (isinstance(base, type) and issubclass(base, enum.Enum)):
        return _Text(base)
    raise TypeError(f"No serializer for {name}: {base}.")


class _Text:
    """A value as the text of a parameter."""

    def __init__(self, base: Any) -> None:
        self.base = base
        self.enum = isinstance(base, type) and issubclass(base, enum.Enum)

    @property
    def default(self) -> Any:
        return next(iter(self.base)) if self.enum else self.base()

    def present(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def accepts(self, value: Any) -> bool:
        return isinstance(value, (int, float) if self.base is float else self.base)

    def check(self, name: str, value: Any) -> None:
        if not self.accepts(value):
            raise TypeError(f"{name} takes {self.base}, got {value!r}.")

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, value.name if self.enum else str(value))

    def read(self, node: Any, name: str) -> Any:
        text = node.GetParameter(name)
        if self.enum:
            return self.base[text]
        return text == "True" if self.base is bool else self.base(text)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)


class _Node(_Text):
    """A node as a reference; None is no reference."""

    default = None

    def accepts(self, value: Any) -> bool:
        return value is None or isinstance(value, self.base)

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, None if value is None else value.GetID())

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class _Nothing(_Text):
    """None, as a member of a union."""

    default = None

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "True")

    def read(self, node: Any, name: str) -> Any:
        return None


class _OneOf:
    """One of several types, each under a name of its own."""

    def __init__(self, kinds: list[_Text]) -> None:
        self._kinds = kinds
        self.default = None if isinstance(kinds[-1], _Nothing) else kinds[0].default

    def present(self, node: Any, name: str) -> bool:
        return any(kind.present(node, f"{name}_{n}") for n, kind in enumerate(self._kinds))

    def check(self, name: str, value: Any) -> None:
        if self._place(value) is None:
            raise TypeError(f"{name} takes {[kind.base for kind in self._kinds]}, got {value!r}.")

    def _place(self, value: Any) -> int | None:
        """None belongs to the member that is nothing else."""
        fits = [n for n, kind in enumerate(self._kinds) if isinstance(kind, _Nothing) == (value is None) and kind.accepts(value)]
        return fits[0] if fits else None

    def write(self, node: Any, name: str, value: Any) -> None:
        with sys.modules["slicer"].util.NodeModify(node):
            for n, kind in enumerate(self._kinds):
                kind.remove(node, f"{name}_{n}")
            place = self._place(value)
            self._kinds[place].write(node, f"{name}_{place}", value)

    def read(self, node: Any, name: str) -> Any:
        place = next(n for n, kind in enumerate(self._kinds) if kind.present(node, f"{name}_{n}"))
        return self._kinds[place].read(node, f"{name}_{place}")
