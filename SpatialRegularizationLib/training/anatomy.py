"""Say what the numbers of a label map stand for, as far as synthesis needs it: which look alike, which lie in the skull."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..declaration import built
from .config_file import read_config

Tissue = tuple[tuple[int, ...], ...]
"""Parts of one tissue; the labels of a part have one intensity."""


@dataclass(frozen=True)
class Anatomy:
    """Facts about the labels of a data set.

    Args:
        tissues: groups of parts, a part being the labels that always look the same (left and right), a tissue the parts that
            look similar. Given as [[[2, 41], 16], [[3, 42]], …]: a single label is a part of its own. The label 0 is air
            around the body unless a tissue lists it.
        stays: labels inside the skull, what remains when it is stripped; () where there is nothing to strip.
        counted: labels whose overlap counts, in the Dice term and in validation; () counts all.

    Raises:
        ValueError: not whole numbers ≥ 0, a label in two places, or `stays`, `counted` with labels that no tissue lists.
    """

    tissues: tuple[Tissue, ...]
    stays: tuple[int, ...] = ()
    counted: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "tissues", tuple(tuple(map(_part, _several(tissue))) for tissue in _several(self.tissues)))
        for name in ("stays", "counted"):
            object.__setattr__(self, name, tuple(_label(value) for value in _several(getattr(self, name))))
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if twice:
            raise ValueError(f"The anatomy lists the label {twice[0]} in two places, expected one; remove it from one of them.")
        for name in ("stays", "counted"):
            unknown = [label for label in getattr(self, name) if label not in self.labels]
            if unknown:
                raise ValueError(f"The anatomy's {name} has the label {unknown[0]}, which no tissue lists; add it to one.")

    @property
    def labels(self) -> list[int]:
        """All labels that it lists."""
        return [label for tissue in self.tissues for part in tissue for label in part]

    def unlisted(self, labels: Iterable[int]) -> list[int]:
        """Those of some labels, 0 apart, that it does not list."""
        return sorted(set(labels) - {0, *self.labels})

    @classmethod
    def of(cls, given: Anatomy | Mapping[str, Any] | str | os.PathLike) -> Anatomy:
        """An anatomy as it is written in configurations: a mapping of its fields, or the .yaml or .json file that holds one.

        Raises:
            FileNotFoundError, ValueError: no such file, unknown names, or as for the class.
        """
        return built(cls, read_config(given) if isinstance(given, (str, os.PathLike)) else given, "the anatomy")


def _several(value: Any) -> Iterable[Any]:
    if isinstance(value, (list, tuple)):
        return value
    raise ValueError(f"An anatomy is made of lists of labels, got {value!r} in place of a list; write [{value}].")


def _part(value: Any) -> tuple[int, ...]:
    return tuple(_label(label) for label in value) if isinstance(value, (list, tuple)) else (_label(value),)


def _label(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"Labels of an anatomy must be whole numbers of at least 0, got {value!r}; correct that entry.")
    return value
