"""Everything that can be chosen about a study: one frozen value, as a study file holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from ..declaration import checked_choice, checked_number, choice, integer, number, refuse_unknown
from .aims import Aim
from .baselines import Baselines
from .methods import START, Method, read_methods
from .regions import Region

FILES = ("pairs", "images", "out", "baselines", "baseline_python")
"""Settings that are paths; in a file they are relative to it."""


def _text(text: str) -> Any:
    return field(default=None, metadata={"text": True, "help": text, "unit": ""})


def _value(text: str) -> Any:
    return field(default=(), metadata={"help": text, "unit": ""})


@dataclass(frozen=True)
class StudySettings:
    """What a study does. The fields carry their help, unit, range and choices in `metadata`.

    Raises:
        ValueError: a field outside its range or choices, or fields that do not go together; one sentence.
    """

    methods: tuple[Method, ...] = _value("presets, models and baselines; names, or {name, preset | model | baseline, …}")
    title: str | None = _text("heading of the report")
    out: str | None = _text("folder of the results")
    pairs: str | None = _text("list of the pairs (.csv or .json), as for register --batch")
    images: str | None = _text("list of images (.csv or .json) of which random pairs are drawn")
    random_pairs: int = integer(100, 1, 1_000_000, "pairs", "how many random ordered pairs of different images are drawn")
    seed: int = integer(0, 0, 2**31 - 1, "", "seed of the random pairs")
    affine: str = choice(
        "affine", ("none", "center", "rigid", "affine"), "alignment that all methods start from, found once for each pair"
    )
    labels: Mapping[str, int] = _value("labels that are scored: [1, 2] or {anterior: 1, posterior: 2}; default: all")
    other_labels: str = choice("refuse", ("refuse", "ignore"), "what to do with a label map that holds other labels than these")
    label_warping: str = choice(
        "linear", ("linear", "nearest"), "how labels are carried: the largest linear share wins, or the nearest voxel"
    )
    regions: tuple[Region, ...] = _value("where the weight is averaged: {name: [labels] or {labels, part, width_mm}}")
    reference: str | None = _text("method that all others are compared with; default: the first one")
    aims: tuple[Aim, ...] = _value("what must be reached: {figure, method, …}")
    sweeps: tuple[str, ...] = _value("folders of `spatialreg sweep`, shown in the report")
    pictures: int = integer(2, 0, 100, "pairs", "pairs that are shown in the report")
    baselines: str | None = _text("folder of the baselines' scripts; default: that of the repository")
    baseline_python: str | None = _text("interpreter that has the packages of the baselines")
    timeout_s: float = number(1800.0, 1.0, 1e6, "s", "a baseline is stopped after this time")
    processes: int = integer(1, 1, 256, "", "pairs that are worked on at once, each in a process of its own")
    threads: int | None = integer(None, 1, 1024, "", "CPU threads of each process; default: all")
    device: str = choice("auto", ("auto", "cpu", "cuda", "mps"), "where our own methods compute")

    def __post_init__(self) -> None:
        for f in fields(self):
            object.__setattr__(self, f.name, _checked(f.name, getattr(self, f.name), f.metadata, f.default))
        if (self.pairs is None) == (self.images is None):
            raise ValueError("A study needs either pairs (a list of pairs) or images (a list to draw random pairs from).")
        names = self.method_names
        for name, place in [(self.reference, "reference")] + [(a.method, "aim") for a in self.aims]:
            if name is not None:
                refuse_unknown([name], names, f"method of the {place}")
        for against in (a.against for a in self.aims if a.against is not None):
            refuse_unknown([against], names, "method of the aim")

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
        for f in fields(cls):
            if f.metadata.get("text") and f.name in values:
                _checked(f.name, values[f.name], f.metadata, f.default)
        python = values.get("baseline_python")
        timeout = values.get("timeout_s", 1800.0)
        baselines = Baselines.of(values.get("baselines"), python, timeout)
        methods = read_methods(_chosen(values.get("methods"), only), baselines)
        needing = [method.name for method in methods if method.kind == "baseline"]
        if needing and python is None:
            raise ValueError(
                f"The baseline {needing[0]!r} needs the interpreter of an environment with its packages: name it with "
                "baseline_python (or SPATIALREG_BENCH_PYTHON), or leave the baselines out (--methods)."
            )
        names = (START, *(method.name for method in methods))
        changes: dict[str, Any] = {"methods": methods, "labels": _labels(values.get("labels", ()))}
        changes["regions"] = tuple(Region.of(str(name), v) for name, v in _mapping(values, "regions").items())
        aims = tuple(Aim.of(value) for value in _list(values, "aims"))
        changes["aims"] = tuple(a for a in aims if not only or {a.method, a.against or a.method} <= set(names))
        if only and values.get("reference") not in names:
            changes["reference"] = None
        return cls(**(values | changes))


def _chosen(methods: Any, only: Sequence[str]) -> Any:
    """The methods of these names."""
    if not only or not isinstance(methods, list | tuple):
        return methods
    named = {_name_of(value): value for value in methods}
    refuse_unknown(only, tuple(named), "method")
    return [value for name, value in named.items() if name in only]


def _name_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(next((value[key] for key in ("name", "model", "preset", "baseline") if key in value), value))
    return str(value)


def _labels(value: Any) -> dict[str, int]:
    """Name → number; a list names labels by their numbers."""
    entries = list(value.items()) if isinstance(value, Mapping) else None
    if entries is None and isinstance(value, list | tuple):
        entries = [(str(number), number) for number in value]
    if entries is None or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for _, n in entries):
        raise ValueError(f"labels must be a list of numbers above 0, or {{name: number}}, got {value!r}.")
    if len({number for _, number in entries}) < len(entries):
        raise ValueError(f"labels must name each number once, got {value!r}.")
    return {str(name): number for name, number in entries}


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = values.get(key, {})
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must hold names with values, got {value!r}.")
    return value


def _list(values: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = values.get(key, ())
    if not isinstance(value, list | tuple):
        raise ValueError(f"{key} must be a list, got {value!r}.")
    return value


def _checked(name: str, value: Any, rules: Mapping[str, Any], default: Any) -> Any:
    if value is None and default is None:
        return None
    if "choices" in rules:
        return checked_choice(name, value, rules["choices"])
    if "range" in rules:
        return checked_number(name, value, rules)
    if rules.get("text") and not isinstance(value, str):
        raise ValueError(f"{name} must be a text, got {value!r}.")
    if name == "sweeps" and not (isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)):
        raise ValueError(f"sweeps must be a list of folders, got {value!r}.")
    return value
