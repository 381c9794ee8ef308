"""Hold what a card tells beside the network itself: on which data it was trained, how, and how good it was in studies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any

from ..declaration import built, check_fields, integer, is_number, number

NOT_A_MEDICAL_DEVICE = "For research. Not a medical device: not reviewed or approved for diagnosis or treatment by anyone."


@dataclass(frozen=True)
class DataSource:
    """Images or label maps that a model was trained or chosen on.

    Args:
        name: of the data set.
        license: on which terms it is published.
        used_for: how much of it, and for what: "160 crops for training, 40 for validation".
        source: where it is published.
        citation: whose work it is.
    """

    name: str
    license: str
    used_for: str
    source: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        check_fields(self, "a data set's ")


@dataclass(frozen=True)
class TrainingRecord:
    """How a model was trained.

    Args:
        command: one line that does it again.
        settings: names and values of `training.settings.TrainingSettings`, paths as file names only.
        seconds: that it took, s, over all interruptions.
        steps: of the optimizer in all; None where that is not known.
        machine: on what: "2 CPU cores", "NVIDIA H200".
        curves: columns of history.csv by name, one number for each epoch; None where an epoch has none.
    """

    command: str
    settings: Mapping[str, Any]
    seconds: float = number(MISSING, 0.0, 1e12, "s", "that it took")
    steps: int | None = None
    machine: str = ""
    curves: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, "the training's ")
        for name, values in self.curves.items():
            if not isinstance(values, list | tuple) or not all(v is None or is_number(v) for v in values):
                raise ValueError(f"The curve {name} of a training must be a list of finite numbers (or null), got {values!r}.")
        lengths = {name: len(values) for name, values in self.curves.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"The curves of a training must be equally long, got {lengths}.")
        object.__setattr__(self, "curves", {name: tuple(values) for name, values in self.curves.items()})


@dataclass(frozen=True)
class StudyRecord:
    """How good the model was on one data set, beside other methods on the same pairs.

    Args:
        name: of the study, which says on what images.
        pairs: how many.
        methods: {method: {figure: {"mean": …, "sd": …}}}; None where a number is not finite.
    """

    name: str
    pairs: int = integer(MISSING, 1, 10**9, "", "how many")
    methods: Mapping[str, Mapping[str, Mapping[str, float | None]]]

    def __post_init__(self) -> None:
        check_fields(self, f"study {self.name}: ")
        for method, figures in self.methods.items():
            for figure, numbers in (figures if isinstance(figures, Mapping) else {"": figures}).items():
                whole = isinstance(numbers, Mapping) and all(v is None or is_number(v) for v in numbers.values())
                if not whole or "mean" not in numbers:
                    raise ValueError(
                        f'Study {self.name} must hold {{"mean": …, "sd": …}} for each figure of {method}, got '
                        f"{figure + ': ' if figure else ''}{numbers!r}."
                    )


def study_record(values: Any, sha256: str = "") -> StudyRecord:
    """What a card keeps of a finished study.

    Args:
        values: content of study.json: title, pairs, and for each of its methods the figures with their mean and sd.
        sha256: of the model that the study must have tried; "": not asked for.

    Raises:
        ValueError: not such a file, or a study of another model.
    """
    try:
        methods = values["methods"]
        figures = {
            method: {name: {k: numbers.get(k) for k in ("mean", "sd")} for name, numbers in found["figures"].items()}
            for method, found in methods.items()
        }
        record = StudyRecord(values["title"], values["pairs"], figures)
        tried = {found.get("sha256") for found in methods.values()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no result of a study ({type(error).__name__}: {error}); expected study.json") from error
    if sha256 and sha256 not in tried:
        raise ValueError(f"the study {record.name} has not tried this model (sha256 {sha256[:12]}…); run it with this file")
    return record


def built_each(cls: type, values: Any, what: str) -> tuple[Any, ...]:
    """A dataclass of each entry of a list.

    Raises:
        ValueError: no list, or as `declaration.built`.
    """
    if not isinstance(values, list | tuple):
        raise ValueError(f"{what} must be a list, got {values!r}.")
    return tuple(built(cls, value, f"{what} {n}") for n, value in enumerate(values, 1))
