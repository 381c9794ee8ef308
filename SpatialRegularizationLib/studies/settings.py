"""Declare the settings of a study, as a study file holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..declaration import built, check_fields, choice, entry, integer, number, refuse_unknown
from .aims import Aim
from .baselines import Baselines
from .methods import START, Method, read_methods
from .regions import Region

FILES = ("pairs", "images", "out", "baselines", "baseline_python")
"""Settings that are paths; in a file they are relative to it."""


def _checked_labels(name: str, given: Any) -> dict[str, int]:
    """Name → number; a list names labels by their numbers."""
    entries = list(given.items()) if isinstance(given, Mapping) else None
    if entries is None and isinstance(given, list | tuple):
        entries = [(str(number), number) for number in given]
    if entries is None or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for _, n in entries):
        raise ValueError(f"{name} must be a list of numbers above 0, or {{name: number}}, got {given!r}.")
    if len({number for _, number in entries}) < len(entries):
        raise ValueError(f"{name} must name each number once, got {given!r}.")
    return {str(word): number for word, number in entries}


def _checked_regions(name: str, given: Any) -> tuple[Region, ...]:
    if isinstance(given, tuple) and all(isinstance(region, Region) for region in given):
        return given
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must hold names with values, got {given!r}.")
    return tuple(Region.of(str(word), value) for word, value in given.items())


def _checked_aims(name: str, given: Any) -> tuple[Aim, ...]:
    return tuple(built(Aim, value, "an aim") for value in _listed(name, given, "aims, {figure, method, ...}"))


def _checked_sweeps(name: str, given: Any) -> tuple[str, ...]:
    if not all(isinstance(folder, str) for folder in _listed(name, given, "folders")):
        raise ValueError(f"{name} must be a list of folders, got {given!r}.")
    return tuple(given)


def _listed(name: str, given: Any, what: str) -> Sequence[Any]:
    if not isinstance(given, list | tuple):
        raise ValueError(f"{name} must be a list of {what}, got {given!r}.")
    return given


@dataclass(frozen=True)
class StudySettings:
    """What a study does. The fields carry their help, unit, range and choices in `metadata`.

    Raises:
        ValueError: a field outside its range or choices, or fields that do not go together; one sentence.
    """

    methods: tuple[Method, ...] = entry((), "presets, models and baselines; names, or {name, preset | model | baseline, …}")
    title: str | None = entry(None, "heading of the report")
    out: str | None = entry(None, "folder of the results")
    pairs: str | None = entry(None, "list of the pairs (.csv or .json), as for register --batch")
    images: str | None = entry(None, "list of images (.csv or .json) of which random pairs are drawn")
    random_pairs: int = integer(100, 1, 1_000_000, "pairs", "how many random ordered pairs of different images are drawn")
    seed: int = integer(0, 0, 2**31 - 1, "", "seed of the random pairs")
    affine: str = choice(
        "affine", ("none", "center", "rigid", "affine"), "alignment that all methods start from, found once for each pair"
    )
    labels: Mapping[str, int] = entry(
        (), "labels that are scored: [1, 2] or {anterior: 1, posterior: 2}; default: all", check=_checked_labels
    )
    other_labels: str = choice("refuse", ("refuse", "ignore"), "what to do with a label map that holds other labels than these")
    label_warping: str = choice(
        "linear", ("linear", "nearest"), "how labels are carried: the largest linear share wins, or the nearest voxel"
    )
    regions: tuple[Region, ...] = entry(
        (), "where the weight is averaged: {name: [labels] or {labels, part, width_mm}}", check=_checked_regions
    )
    reference: str | None = entry(None, "method that all others are compared with; default: the first one")
    aims: tuple[Aim, ...] = entry((), "what must be reached: {figure, method, …}", check=_checked_aims)
    sweeps: tuple[str, ...] = entry((), "folders of `spatialreg sweep`, shown in the report", check=_checked_sweeps)
    pictures: int = integer(2, 0, 100, "pairs", "pairs that are shown in the report")
    baselines: str | None = entry(None, "folder of the baselines' scripts; default: that of the repository")
    baseline_python: str | None = entry(None, "interpreter that has the packages of the baselines")
    timeout_s: float = number(1800.0, 1.0, 1e6, "s", "a baseline is stopped after this time")
    processes: int = integer(1, 1, 256, "", "pairs that are worked on at once, each in a process of its own")
    threads: int | None = integer(None, 1, 1024, "", "CPU threads of each process; default: all")
    device: str = choice("auto", ("auto", "cpu", "cuda", "mps"), "where our own methods compute")

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "methods", read_methods(self.methods, self.all_baselines))
        if (self.pairs is None) == (self.images is None):
            raise ValueError("A study needs either pairs (a list of pairs) or images (a list to draw random pairs from).")
        needing = next((method.name for method in self.methods if method.kind == "baseline"), None)
        if needing is not None and self.baseline_python is None:
            raise ValueError(
                f"The baseline {needing!r} needs the interpreter of an environment with its packages: name it with "
                "baseline_python (or SPATIALREG_BENCH_PYTHON), or leave the baselines out (--methods)."
            )
        if self.reference is not None:
            refuse_unknown([self.reference], self.method_names, "method of the reference")
        for aim in self.aims:
            refuse_unknown([aim.method, aim.against or aim.method], self.method_names, "method of the aim")

    @property
    def method_names(self) -> tuple[str, ...]:
        """The affine start, then the methods in order."""
        return (START, *(method.name for method in self.methods))

    @property
    def compared_with(self) -> str:
        """The method that all others are compared with."""
        return self.reference or self.methods[0].name

    @property
    def scored_labels(self) -> tuple[int, ...] | None:
        """Numbers of the labels that count; None for all."""
        return tuple(self.labels.values()) or None

    @property
    def all_baselines(self) -> Baselines:
        """The baselines that there are."""
        return Baselines.of(self.baselines, self.baseline_python, self.timeout_s)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], only: Sequence[str] = ()) -> StudySettings:
        """From names and values.

        Args:
            values: of a study file.
            only: names of the methods to take, in any order; none takes all.

        Raises:
            ValueError: a name that is no setting (the nearest one is suggested), an unknown method, or a value out of range.
            FileNotFoundError: a model or the folder of the baselines is not there.
        """
        values = {str(name).replace("-", "_"): value for name, value in values.items() if value is not None}
        refuse_unknown(values, tuple(f.name for f in fields(cls)), "setting of a study")
        if only:
            values["methods"] = _chosen(values.get("methods"), only)
            names = {START, *only}
            aims = _checked_aims("aims", values.get("aims", ()))
            values["aims"] = tuple(aim for aim in aims if {aim.method, aim.against or aim.method} <= names)
            values["reference"] = values.get("reference") if values.get("reference") in names else None
        return cls(**values)


def _chosen(methods: Any, only: Sequence[str]) -> Any:
    """The methods of these names."""
    if not isinstance(methods, list | tuple):
        return methods
    named = {_name_of(value): value for value in methods}
    refuse_unknown(only, tuple(named), "method")
    return [value for name, value in named.items() if name in only]


def _name_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(next((value[key] for key in ("name", "model", "preset", "baseline") if key in value), value))
    return str(value)
